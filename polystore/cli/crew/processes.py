"""Application processes: started, watched through their journals, stopped."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from polystore.cli.crew.journal import Entry, Reader, entries
from polystore.errors import MigrationError

T = TypeVar("T")

_DATA = "data.pickle"
"""What the processes are given to work with."""

_SIGNS = ("go", "hurry", "stop")
"""Files by which the processes are told what to do."""


def journal_of(folder: Path, name: str) -> Path:
    """The journal of one process."""
    return folder / f"{name}.journal"


def given(folder: Path) -> Any:
    """What the crew gave its processes to work with."""
    with (folder / _DATA).open("rb") as file:
        return pickle.load(file)  # noqa: S301 - written by the process that started us


def work(folder: Path, rate: float, one: Callable[[], None]) -> None:
    """Carry out operations from the sign ``go`` to the sign ``stop``, or until the crew is dead.

    Args:
        rate: operations a second; as fast as the databases answer where ``hurry`` is there.
        one: carries out the next operation.
    """
    go, hurry, stop = (folder / sign for sign in _SIGNS)
    parent = os.getppid()
    pause = 1 / rate
    while not go.exists() and os.getppid() == parent:
        time.sleep(0.05)
    due = time.monotonic()
    while not stop.exists() and os.getppid() == parent:
        one()
        due = time.monotonic() if hurry.exists() else max(due, time.monotonic() - 1) + pause
        time.sleep(max(due - time.monotonic(), 0))


class Crew:
    """Application processes, all of one kind.

    Args:
        command: the Python module that is one, with its first arguments; it is also told the
            folder, its name and its rate.
        folder: where their journals, what they print and the signs to them go.
        data: what they work with; they read a copy.
        processes: how many.
        rate: operations a second of each, except where they hurry.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, data: object, processes: int, rate: float
    ) -> None:
        self._folder = folder
        with (folder / _DATA).open("wb") as file:
            pickle.dump(data, file)
        self._go, self._hurry, self._stop = (folder / sign for sign in _SIGNS)
        self._readers: dict[Path, Reader] = {}
        self._kinds: dict[tuple[Path, int], str] = {}
        self._processes = [self._started(command, f"p{n}", rate) for n in range(processes)]

    def _started(self, module: Sequence[str], name: str, rate: float) -> subprocess.Popen[bytes]:
        journal = journal_of(self._folder, name)
        journal.touch()
        self._readers[journal] = Reader(journal)
        command = [sys.executable, "-m", *module, str(self._folder), name, str(rate)]
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def go(self) -> None:
        """Have all begin; until then they are only open."""
        self._go.touch()

    def counted(self) -> Counter[str]:
        """How many operations of each kind have ended since the last call."""
        found: Counter[str] = Counter()
        for path, reader in self._readers.items():
            for line in reader.lines():
                if line[0] == "try":
                    self._kinds[path, line[1]] = line[2]
                elif line[0] == "done":
                    found[self._kinds.pop((path, line[1]))] += 1
                else:
                    found[line[1]] += 1
        return found

    def work_until(self, counts: Counter[str], least: Mapping[str, int], total: int) -> None:
        """Have them hurry until enough operations of each kind have ended; adds to ``counts``.

        Raises:
            MigrationError: an application process has died.
        """
        self._hurry.touch()
        while True:
            counts.update(self.counted())
            if counts.total() >= total and all(counts[k] >= n for k, n in least.items()):
                break
            self.check()
            time.sleep(0.1)
        self._hurry.unlink()

    def working(
        self,
        counts: Counter[str],
        least: Mapping[str, int],
        total: int,
        beside: Callable[[], T],
    ) -> T:
        """Do something while they hurry, until enough operations have ended; what it returns."""
        with ThreadPoolExecutor(1) as pool:
            hurry = pool.submit(self.work_until, counts, least, total)
            done = beside()
            hurry.result()
        return done

    def check(self) -> None:
        """Whether all still live. Raises MigrationError with the end of what a dead one printed."""
        for number, process in enumerate(self._processes):
            if process.poll() is not None:
                log = (self._folder / f"p{number}.log").read_text(errors="replace")
                raise MigrationError(f"application process p{number} has died:\n{log[-2000:]}")

    def stop(self) -> None:
        """Have all finish their operation, leave the fleet, and end."""
        self._stop.touch()
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def printed(self) -> str:
        """What they printed: errors, one a line."""
        return "".join(
            (self._folder / f"p{n}.log").read_text(errors="replace")
            for n in range(len(self._processes))
        )

    def operations(self) -> list[Entry]:
        """All operations of all journals."""
        return [entry for path in self._readers for entry in entries(path)]
