"""Verification beside live writes: planted faults of every kind, found, told apart and repaired."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import attrs

import polystore
from benchmarks.figures.figure import Figure, Outcome
from benchmarks.figures.main_job import urls as places
from polystore import Collection, Config, Group, PolystoreError, Store
from polystore.driver import Consistency, Driver, Stored, Unprocessed, Write
from polystore.migration.backfill import Copier
from polystore.migration.compare import (
    AHEAD,
    DIFFERENT,
    EXTRA,
    FOREIGN,
    KINDS,
    MISSING,
    STALE,
    kind_of,
)
from polystore.migration.coordinator import Coordinator
from polystore.migration.group import OpenGroup
from polystore.migration.request import Request
from polystore.migration.stages import SOURCE, TARGET, Setting
from polystore.migration.verify import Verifier
from polystore.migration.walk import Verified
from polystore.values import Fields, Key

NOTES = Collection("notes", ["id:int"])
RECORDS, FAULTS = 25_000, 60
PAIRS = ((("sqlite", "sqlite"), 500), (("datastore", "dynamodb"), 100))
"""Source and target, and the writes a second beside the verification."""

WRITERS, PROCESSES = 16, 2
"""Threads that write, and the processes that they are in: a verification has one of its own."""

KEPT = 0.98
"""Share of the writes asked for that must be done, or the load was another one."""

Planted: TypeAlias = dict[Key, str]
"""Kind of the fault of each key that has one."""


def verification() -> list[Figure]:
    """The figures, one for each pair."""
    return [
        Figure(
            f"verification of {RECORDS:,} records, {source} → {target}, {rate} writes/s",
            "all planted faults found, each as its kind, 0 false, all repaired; "
            f"≥ {KEPT:.0%} of the writes done",
            f"{FAULTS} faults of each of {len(KINDS)} kinds, written past the library; {WRITERS} "
            f"threads in {PROCESSES} processes of the application write all other keys from before "
            "the first walk to after the second, which must find nothing; then both sides of "
            "every planted key are read",
            partial(_measured, (source, target), rate),
        )
        for (source, target), rate in PAIRS
    ]


def _measured(pair: tuple[str, str], rate: int) -> Outcome:
    with _places(pair) as (source, target):
        found = verified(source, target, records=RECORDS, faults=FAULTS, rate=rate)
    kinds = ", ".join(f"{n} {kind}" for kind, n in found.kinds.items())
    value = (
        f"{found.planted} planted, {found.found} found ({kinds}), {found.false} false, "
        f"{found.left} left after repair; {found.writes} writes, {found.writes_a_second:.0f}/s, "
        f"{found.errors} errors; walked and repaired in {found.seconds:.1f} s"
    )
    return Outcome(value, found.holds and found.writes_a_second >= KEPT * rate)


@contextmanager
def _places(pair: tuple[str, str]) -> Iterator[tuple[str, str]]:
    engines = [name for name in pair if name != "sqlite"]
    with TemporaryDirectory() as folder, places(*engines) as found:
        source, target = (
            found[name]
            if name in engines
            else f"sqlite:///{Path(folder) / side}.db?synchronous=normal"
            for name, side in zip(pair, (SOURCE, TARGET), strict=True)
        )
        yield source, target


@attrs.frozen(kw_only=True)
class Found:
    """What a verification made of the faults that were planted.

    Attributes:
        planted: faults that were written.
        found: those that were reported, each as its kind.
        kinds: how many of each kind were reported.
        false: reports of a key without a fault, or of another kind; and all of a second run.
        left: planted keys whose sides differ after the repair, or whose home was changed by it.
        writes, errors: of the application, meanwhile.
        seconds: of the run that repaired.
        writes_a_second: over both runs.
    """

    planted: int
    found: int
    kinds: Mapping[str, int]
    false: int
    left: int
    writes: int
    errors: int
    seconds: float
    writes_a_second: float

    @property
    def holds(self) -> bool:
        """Whether all were found and repaired, and nothing else was said or failed."""
        return self.found == self.planted > 0 == self.false + self.left + self.errors


def verified(source: str, target: str, *, records: int, faults: int, rate: int) -> Found:
    """Plant faults in a group in dual-read, verify it twice under load, and read what is left.

    Args:
        source, target: URLs of empty databases.
        records: how many there are before.
        faults: of each kind.
        rate: writes a second, over keys without a fault.
    """
    with polystore.open(_config(source, target), check=False) as store:
        store.create()
        return _Bench(store, records).found(faults, rate)


def _config(source: str, target: str) -> Config:
    group = Group(name="g", source=source, target=target, collections=("notes",))
    return Config(collections={"notes": NOTES}, groups={"g": group})


class _Bench:
    """A group that is brought to dual-read, with its records."""

    def __init__(self, store: Store, records: int) -> None:
        self.store = store
        self.records = records
        self.member = store._databases.member("g")
        self.group: OpenGroup = self.member.group
        self.coordinator = Coordinator(self.group)
        run = store._databases.runner.run
        _written(self.group, SOURCE, [_write(i, 0) for i in range(records)])
        request = Request("figures", "faults are planted", sole=True)
        self.member.enter()
        run(self.member.session.join())
        run(self.coordinator.preflight(request))
        run(self.coordinator.start(request))
        for _ in ("prepare", "dual-write"):
            run(self.coordinator.advance(request))
        run(Copier(self.group).run())
        self.setting: Setting = run(self.coordinator.advance(request))

    def found(self, faults: int, rate: int) -> Found:
        planted = self._plant(faults)
        quiet = {key[0] for key in planted}
        homes = self._sides(planted)[0]
        others = [i for i in range(self.records) if i not in quiet]
        with _writing((self.group.config.source, self.group.config.target), others, rate) as load:
            begun = time.monotonic()
            first = self._run()
            seconds = time.monotonic() - begun
            second = self._run()
            while time.monotonic() - begun < 1.0:  # a rate over less says little
                time.sleep(0.1)
        reported = {d.key: d.kind for d in first.discrepancies}
        false = sum(planted.get(key) != kind for key, kind in reported.items())
        return Found(
            planted=len(planted),
            found=sum(reported.get(key) == kind for key, kind in planted.items()),
            kinds=first.kinds(),
            false=false + len(second.discrepancies),
            left=first.open + self._left(planted, homes),
            writes=load.done,
            errors=load.errors,
            seconds=seconds,
            writes_a_second=load.done / load.seconds,
        )

    def _run(self) -> Verified:
        verifier = Verifier(self.member.session, self.coordinator.fleet)
        return self.store._databases.runner.run(verifier.run())["notes"]

    def _plant(self, faults: int) -> Planted:
        """Write the faults past the library, on keys spread over all; the source is home."""
        at = self.setting.floor() + 9
        planted: Planted = {}
        source, target = [], []
        step = max(self.records // (faults * len(KINDS)), 1)
        for n in range(faults * len(KINDS)):
            kind, i = KINDS[n % len(KINDS)], n * step
            if kind == MISSING:
                target.append(Write(NOTES, (i,), None))
            elif kind == EXTRA:
                i = self.records + n
                target.append(_write(i, 1, at))
            elif kind == FOREIGN:
                source.append(_write(i, 1))
            else:
                source.append(_write(i, 1, at))
                mirror = {STALE: at - 1, DIFFERENT: at, AHEAD: at + 3}[kind]
                target.append(_write(i, 2, mirror))
            planted[i,] = kind
        _written(self.group, SOURCE, source)
        _written(self.group, TARGET, target)
        return planted

    def _sides(self, planted: Planted) -> list[dict[Key, Stored | None]]:
        """What both sides hold of these keys, read past the library."""
        return [
            {key: _read(self.group.sides[side].driver, key) for key in planted}
            for side in (SOURCE, TARGET)
        ]

    def _left(self, planted: Planted, before: Mapping[Key, Stored | None]) -> int:
        homes, mirrors = self._sides(planted)
        return sum(
            kind_of(self.setting, homes[key], mirrors[key]) is not None
            or _fields(homes[key]) != _fields(before[key])
            for key in planted
        )


def _fields(stored: Stored | None) -> Fields | None:
    return None if stored is None else stored.fields


def _read(driver: Driver, key: Key) -> Stored | None:
    return driver.read(NOTES, (key,), Consistency.STRONG).records[0]


def _write(i: int, value: int, stamp: int | None = None) -> Write:
    """A put of one record: a plain one, or one of the run with its stamp."""
    fields: Fields = {"id": i, "value": value, "text": "x" * 80}
    return Write(NOTES, (i,), fields, write_id=None if stamp is None else f"w{i}", stamp=stamp)


def _written(group: OpenGroup, name: str, writes: list[Write]) -> None:
    """Write past the library, until all is there."""
    side = group.sides[name]
    for part in side.batches(writes):
        left = list(part)
        while left:
            outcomes = side.driver.write_many(left)
            left = [w for w, o in zip(left, outcomes, strict=True) if isinstance(o, Unprocessed)]


@attrs.define
class _Load:
    """Writes that an application has done."""

    done: int = 0
    errors: int = 0
    seconds: float = 0.0


@contextmanager
def _writing(urls: tuple[str, str], keys: list[int], rate: int) -> Iterator[_Load]:
    """Processes of an application write at a rate, all together, as long as the context lasts."""
    spawning = multiprocessing.get_context("spawn")
    ready, go, stop = spawning.Barrier(PROCESSES + 1), spawning.Event(), spawning.Event()
    done: Any = spawning.SimpleQueue()
    parts = [(urls, keys, rate, number, ready, go, stop, done) for number in range(PROCESSES)]
    processes = [spawning.Process(target=_application, args=part, daemon=True) for part in parts]
    for process in processes:
        process.start()
    load = _Load()
    try:
        ready.wait(60.0)
        go.set()
        yield load
    finally:
        stop.set()
        ready.abort()
        for process in processes:
            process.join(30.0)
    for _ in processes:
        one = done.get()
        load.seconds = max(load.seconds, one.seconds)
        load.done += one.done
        load.errors += one.errors


def _application(
    urls: tuple[str, str],
    keys: list[int],
    rate: int,
    process: int,
    ready: Any,
    go: Any,
    stop: Any,
    done: Any,
) -> None:
    """One process of the application: its threads take their turns of all writes."""
    load, lock = _Load(), threading.Lock()
    with polystore.open(_config(*urls), check=False) as store:
        notes = store["notes"]
        notes.get(keys[0])
        ready.wait()
        go.wait()
        begun = time.monotonic()

        def write(turn: int) -> None:
            while not stop.is_set():
                time.sleep(max(begun + turn / rate - time.monotonic(), 0.0))
                i = keys[turn * 7919 % len(keys)]
                try:
                    notes.put({"id": i, "value": turn, "text": "y" * 80})
                except PolystoreError:
                    with lock:
                        load.errors += 1
                else:
                    with lock:
                        load.done += 1
                turn += WRITERS

        each = range(process, WRITERS, PROCESSES)
        threads = [threading.Thread(target=write, args=(turn,)) for turn in each]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        load.seconds = time.monotonic() - begun  # what closing takes is no time for writes
    done.put(load)
