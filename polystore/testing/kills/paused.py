"""Processes that are stopped inside an operation and wake up after its key has a new home.

A writer stops when its commit is about to be sent, a reader when its answer has come. Their keys
are handed over meanwhile and changed at the new home. Then both go on: the commit must not land at
the old home, and the reader must not return what it had been told.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs

import polystore
from polystore.driver import Committed
from polystore.errors import PolystoreError
from polystore.migration.coordinator import Coordinator
from polystore.migration.stages import SOURCE
from polystore.store import Store
from polystore.testing.kills.roles import Log, Operator
from polystore.testing.kills.settings import GROUP, ITEMS, Settings
from polystore.testing.kills.sides import differing

OLD, NEW, MINE = 1, 2, 3
"""What a record holds before the hand-over, after it, and what a writer brings."""


@attrs.define
class Woken:
    """What became of processes that were paused through a hand-over.

    Attributes:
        writers, readers: how many were paused.
        landed: commits that reached the old home after the hand-over.
        stale: reads that returned what the old home had said.
        outcomes: what each operation came to in the end.
        different: keys that the sides do not agree on at rest.
    """

    writers: int = 0
    readers: int = 0
    landed: int = 0
    stale: int = 0
    outcomes: list[Any] = attrs.field(factory=list)
    different: int = 0


def woken(folder: Path, urls: Mapping[str, str], each: int = 2) -> Woken:
    """Pause so many writers and readers, hand all buckets over, let them go on.

    Args:
        folder: for the files of the processes.
        urls: of ``source``, ``target`` and ``control``; the databases are empty.
        each: how many writers, and how many readers.
    """
    config = Settings(polls=(0.1,), fast_polls=(0.05,)).write(folder, urls)[0]
    sleepers = [(f"{mode}{n}", mode) for n in range(each) for mode in ("write", "read")]
    with (
        closing(Log(folder / "operator.log")) as log,
        polystore.open(config, check=False) as store,
    ):
        store.create()
        for owner, _ in sleepers:
            store[ITEMS].put({"owner": owner, "item": 1, "v": OLD})
        operator = Operator(store, log)
        operator.begin()
        operator.forward()
        processes = [_asleep(folder, config, owner, mode) for owner, mode in sleepers]
        operator.turn(100)
        for owner, _ in sleepers:
            store[ITEMS].put({"owner": owner, "item": 1, "v": NEW})
        for process in processes:
            process.send_signal(signal.SIGCONT)
            if process.wait(60) != 0:
                raise AssertionError("a paused process failed after it woke up")
        found = Woken(writers=each, readers=each)
        for owner, mode in sleepers:
            told = json.loads((folder / f"{owner}.told").read_text())
            found.outcomes.append(told["outcome"])
            found.landed += told["landed"]
            found.stale += mode == "read" and told["outcome"] == OLD
        found.different = len(_at_rest(store))
    return found


def _at_rest(store: Store) -> list[Any]:
    run, member = store._databases.runner.run, store._databases.member(GROUP)
    coordinator = Coordinator(member.group)
    setting = run(coordinator.finish())
    run(coordinator.fleet.barrier(within=30.0))
    return list(differing(member, setting))


def _asleep(folder: Path, config: Path, owner: str, mode: str) -> subprocess.Popen[bytes]:
    """A process that has stopped inside its operation."""
    command = [
        sys.executable, "-m", "polystore.testing.kills.paused", str(config), str(folder), owner,
        mode,
    ]  # fmt: skip
    process = subprocess.Popen(command)
    until = time.monotonic() + 30
    while not _stopped(process.pid):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise AssertionError(f"the {mode} of {owner} did not come to where it is paused")
        time.sleep(0.01)
    return process


def _stopped(pid: int) -> bool:
    """Whether a process stands still (Linux: the state after its name in /proc/PID/stat)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


# -- a process that is paused -----------------------------------------------------------------


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def main(config: str, folder: str, owner: str, mode: str) -> None:
    """Open a store, stop inside one operation, and write down what became of it."""
    landed = False
    with polystore.open(config, check=False) as store:
        driver: Any = store._databases.member(GROUP).group.sides[SOURCE].driver
        commit, read = driver.commit, driver.read

        def paused_commit(writes: Any, checks: Any) -> Any:
            nonlocal landed
            driver.commit = commit
            _stop()
            outcome = commit(writes, checks)
            landed = isinstance(outcome, Committed)
            return outcome

        def paused_read(collection: Any, keys: Any, consistency: Any) -> Any:
            answer = read(collection, keys, consistency)
            if collection.name == ITEMS:
                driver.read = read
                _stop()
            return answer

        store[ITEMS].get("nobody", 1)  # it has joined, and has slots
        if mode == "write":
            driver.commit = paused_commit
            outcome = _outcome(
                lambda: store[ITEMS].put({"owner": owner, "item": 1, "v": MINE}, timeout=60)
            )
        else:
            driver.read = paused_read
            outcome = _outcome(lambda: _value(store, owner))
    told = {"outcome": outcome, "landed": landed}
    (Path(folder) / f"{owner}.told").write_text(json.dumps(told))


def _value(store: Store, owner: str) -> Any:
    record = store[ITEMS].get(owner, 1, timeout=60)
    return None if record is None else record["v"]


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        found = call()
    except PolystoreError as error:
        return error.code
    return found if isinstance(found, int) else "done"


if __name__ == "__main__":
    main(*sys.argv[1:])
