"""Application processes that are killed between the home commit and the mirror, over and over.

Each worker is the demo's own, logging what it was told. It wraps its drivers: once the mirror of an
application's collection is about to be written for the n-th time, the process kills itself with
SIGKILL, the home commit done and the mirror write not sent. Others recover it; a new one takes its
place. At the end, before any verification has run, both sides are read past polystore and compared.

Run as ``python -m benchmarks.kills SOURCE TARGET``; a worker of it is started with ``--worker``.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polystore
import polystore_engines
from polystore.cli.crew.journal import Entry, Journal, entries
from polystore.cli.demo.dataset import Dataset, load
from polystore.cli.demo.declared import GROUP, write_config
from polystore.cli.demo.judge import judge
from polystore.cli.demo.worker import Worker
from polystore.cli.place import opened
from polystore.driver import Write
from polystore.membership import Membership
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.request import Request
from polystore.migration.stages import SOURCE, TARGET
from polystore.runner import SyncRunner
from polystore.testing.kills.sides import at_home, differing

CITIES = 400
WORKERS = 4
RATE = 50
AFTER = (10, 40)
"""A worker dies at one of so many mirror writes."""

UNVERIFIED = frozenset({"verified", "way-back-proven", "nobody-closed"})
"""Gates that a dial passes here: nothing is compared before the end."""

ROOT = Path(__file__).parents[1]


def kills(pair: tuple[str, str], at_least: int = 20) -> dict[str, Any]:
    """Run it on real engines (or two files, for sqlite); what was found.

    Args:
        pair: names of the drivers of source and target.
        at_least: processes to be killed.
    """
    with tempfile.TemporaryDirectory() as name, _urls(pair, Path(name)) as places:
        config = write_config(Path(name) / "kills.toml", *places, TIMES)
        with polystore.open(config, check=False) as store:
            store.create()
        with opened(config, GROUP) as member:
            return _Run(config, Path(name), member, at_least).result()


@contextmanager
def _urls(pair: tuple[str, str], folder: Path) -> Iterator[tuple[str, str]]:
    engines = sorted({name for name in pair if name in polystore_engines.NAMES})
    with polystore_engines.start_many(*engines) as started:
        for engine in started.values():
            os.environ.update(engine.env)
        source, target = (
            started[name].url if name in started else f"sqlite:///{folder}/{side}.db"
            for side, name in zip((SOURCE, TARGET), pair, strict=True)
        )
        yield source, target


TIMES = {"lease": 1.0, "poll": 0.3, "call_timeout": 2.0, "quarantine": 4.0}


class _Run:
    """One run: the fleet, the walk to dual-read, and what both sides hold at the end."""

    def __init__(self, config: Path, folder: Path, member: Membership, at_least: int) -> None:
        self._config = config
        self._folder = folder
        self._member = member
        self._at_least = at_least
        self._data = load(CITIES)
        self._runner = SyncRunner()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._started = 0
        self._kills = 0

    def result(self) -> dict[str, Any]:
        """Run it; counts of what was found."""
        began = time.monotonic()
        group = self._member.group
        source = group.sides[SOURCE].driver
        for name, records in self._data.records().items():
            for key, fields in records.items():
                source.write(Write(group.collection(name), key, fields))
        coordinator = Coordinator(group)
        try:
            self._walk(coordinator)
        finally:
            self._stop()
        missing = self._runner.run(coordinator.fleet.wait(lambda _: False, within=15.0))
        setting = self._runner.run(group.ledger.setting())
        different = len(differing(self._member, setting))
        found = judge(self._operations(), self._data.records(), at_home(self._member, setting))
        return {
            "kills": self._kills,
            "acknowledged": found.acknowledged,
            "lost": len(found.lost),
            "wrong": len(found.doubled) + len(found.returned) + len(found.stale),
            "errors": dict(found.errors),
            "different": different + len(found.different) + len(missing),
            "recovered": len(coordinator.fleet.recovered),
            "findings": found.told(),
            "seconds": round(time.monotonic() - began, 1),
        }

    def _walk(self, coordinator: Coordinator) -> None:
        request = Request("kills", "a figure", sole=True)
        run = self._runner.run
        run(coordinator.preflight(request))
        run(coordinator.start(request))
        run(coordinator.advance(request))
        run(coordinator.advance(request))
        for _ in range(WORKERS):
            self._start()
        self._kill_until(self._at_least // 2)
        run(Copier(self._member.group).run())
        run(coordinator.advance(request))
        self._kill_until(self._at_least * 3 // 4)
        request = Request("kills", "a figure", override=UNVERIFIED)
        for _ in range(10):
            try:
                run(coordinator.dial(50, request))
                break
            except polystore.MigrationError:  # a member died in a freeze: nothing moved
                self._replace()
        self._kill_until(self._at_least)

    def _start(self) -> None:
        self._started += 1
        name = f"k{self._started}"
        command = [
            sys.executable, "-m", "benchmarks.kills", "--worker", str(self._config),
            str(self._folder / f"{name}.journal"), name, str(self._folder / "stop"),
        ]  # fmt: skip
        with (self._folder / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
            )

    def _replace(self) -> None:
        for process in list(self._processes):
            if process.poll() is not None:
                self._processes.remove(process)
                self._kills += process.returncode == -signal.SIGKILL
                self._start()

    def _kill_until(self, kills_: int) -> None:
        deadline = time.monotonic() + 120
        while self._kills < kills_:
            assert time.monotonic() < deadline, f"only {self._kills} of {kills_} were killed"
            self._replace()
            time.sleep(0.05)

    def _stop(self) -> None:
        (self._folder / "stop").touch()
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
            self._kills += process.poll() == -signal.SIGKILL

    def _operations(self) -> list[Entry]:
        found = []
        for path in sorted(self._folder.glob("*.journal")):
            found += entries(path)
        return found


# -- a worker ---------------------------------------------------------------------------------


def _doomed(member: Membership, number: str) -> None:
    """Make this process kill itself right before one of its mirror writes."""
    left = random.Random(number).randint(*AFTER)
    group = member.group

    for name, side in group.sides.items():

        def guarded(call: Any, name: str = name) -> Any:
            def wrapped(argument: Any) -> Any:
                nonlocal left
                write: Write = argument[0] if isinstance(argument, Sequence) else argument
                setting = member.session.latch.setting
                mirrored = setting is not None and setting.stage.mirrored
                if mirrored and write.collection.name in group.collections:
                    assert setting is not None
                    if setting.home(group.bucket(write.key)) != name:
                        left -= 1
                        if left <= 0:
                            os.kill(os.getpid(), signal.SIGKILL)
                return call(argument)

            return wrapped

        driver: Any = side.driver
        driver.write = guarded(driver.write)
        driver.write_many = guarded(driver.write_many)


def be_worker(config: str, journal: str, number: str, stop: str) -> None:
    """Work until killed, or until the file ``stop`` is there."""
    data: Dataset = load(CITIES)
    with polystore.open(config) as store:
        _doomed(store._databases.member(GROUP), number)
        worker = Worker(store, data, Journal(Path(journal)), number)
        while not Path(stop).exists():
            worker.one()
            time.sleep(1 / RATE)


if __name__ == "__main__":
    if sys.argv[1] == "--worker":
        be_worker(*sys.argv[2:])
    else:
        print(json.dumps(kills((sys.argv[1], sys.argv[2])), indent=1))
