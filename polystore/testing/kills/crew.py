"""The processes of a run: started, replaced when they died, paused, ended.

They are forked from a server that has imported everything, before it opened anything: a process
that is killed every other second must not spend a second on its imports.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import attrs

from polystore.plugin.registry import default_registry
from polystore.testing.kills.roles import main
from polystore.testing.kills.settings import Settings


@attrs.define(eq=False)
class Running:
    """One process: its role, and whether it stands still just now."""

    role: str
    process: ForkServerProcess
    paused: bool = False


class Crew:
    """Keeps so many processes of each role running.

    Args:
        folder: for journals, logs and the file that tells all to stop.
        configs: configuration files; processes take them in turn.
        settings: of the run.
    """

    def __init__(self, folder: Path, configs: Sequence[Path], settings: Settings) -> None:
        self._folder = folder
        self._configs = configs
        self._settings = settings
        self._number = 0
        self._forking = multiprocessing.get_context("forkserver")
        self._forking.set_forkserver_preload(["__main__", __name__, *_drivers()])
        self.running: list[Running] = []
        self.ended: Counter[str] = Counter()

    def start(self, role: str) -> None:
        """Start one more process of a role."""
        self._number += 1
        config = self._configs[self._number % len(self._configs)]
        out = self._folder / f"{role}{self._number}.out"
        arguments = (role, config, self._folder, self._number, self._settings)
        process = self._forking.Process(target=_begun, args=(out, dict(os.environ), arguments))
        process.start()
        self.running.append(Running(role, process))

    def kill(self, one: Running) -> None:
        """SIGKILL it, and start another in its place."""
        one.process.kill()
        one.process.join()
        self.running.remove(one)
        self.ended[one.role] += 1
        self.start(one.role)

    def pause(self, one: Running) -> None:
        """SIGSTOP it."""
        one.paused = True
        _signalled(one, signal.SIGSTOP)

    def resume(self, one: Running) -> None:
        """SIGCONT it, if it is still there."""
        one.paused = False
        if one.process.is_alive():
            _signalled(one, signal.SIGCONT)

    def check(self) -> None:
        """Raises AssertionError: a process ended by itself; its output is shown."""
        for one in self.running:
            if not one.process.is_alive():
                outs = self._folder.glob(f"{one.role}*.out")
                text = "\n".join(path.read_text()[-1500:] for path in outs)
                raise AssertionError(f"a {one.role} ended by itself: {text[-4000:]}")

    def end(self, within: float = 20.0) -> None:
        """Tell all to stop, and kill those that do not."""
        (self._folder / "stop").touch()
        for one in self.running:
            self.resume(one)
        until = time.monotonic() + within
        for one in self.running:
            one.process.join(max(until - time.monotonic(), 0.1))
            if one.process.is_alive():
                one.process.kill()
                one.process.join()
                self.ended[one.role] += 1
        self.running.clear()


def _drivers() -> Iterator[str]:
    """Modules of the installed drivers, which import their SDKs."""
    registry = default_registry()
    for name in registry.names():
        yield registry.spec(name).factory.partition(":")[0]


def _signalled(one: Running, number: int) -> None:
    assert one.process.pid is not None
    os.kill(one.process.pid, number)


def _begun(
    out: Path, environment: Mapping[str, str], arguments: tuple[str, Path, Path, int, Settings]
) -> None:
    """Be a process of the run, with the environment of who started it."""
    os.environ.update(environment)
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    main(*arguments)
