"""Calls that meet a fault: what is told of them, and what the database then holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from polystore.driver import (
    ANYTHING,
    NOTHING,
    Committed,
    Consistency,
    Driver,
    OlderThan,
    Refused,
    Rejected,
    Unchanged,
    Unprocessed,
    Write,
    Written,
)
from polystore.errors import (
    Contention,
    OutcomeUnknown,
    PolystoreError,
    Unavailable,
)
from polystore.schema import Collection
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import delete, fresh, put, told_of, written

TIMEOUT = 0.5
"""Seconds that calls wait for an answer."""

OVERTIME = 3.0
"""Seconds that a call may take until it ends without an answer: it may be several exchanges."""

PATIENCE = 4.0
"""Seconds within which a driver must get through again; gRPC waits for up to 2 between tries."""

NOT_APPLIED = (Unavailable, Contention)
"""Errors that say: surely not applied."""

Prepare: TypeAlias = Callable[[Driver, Collection], list[Write]]
Told: TypeAlias = object
"""What a call answered, or the error of the tree for what it raised."""


def _there(driver: Driver, things: Collection, **given: Any) -> tuple[tuple[str], Any]:
    """A record of its own: its key and token."""
    key = (fresh(),)
    return key, written(driver, put(things, key, n=0, **given))


def _insert(driver: Driver, things: Collection) -> list[Write]:
    return [put(things, (fresh(),), NOTHING, n=1)]


def _replace(driver: Driver, things: Collection) -> list[Write]:
    key, token = _there(driver, things)
    return [put(things, key, Unchanged(token), n=1)]


def _blind(driver: Driver, things: Collection) -> list[Write]:
    key, _ = _there(driver, things)
    return [put(things, key, ANYTHING, n=1)]


def _remove(driver: Driver, things: Collection) -> list[Write]:
    key, token = _there(driver, things)
    return [delete(things, key, Unchanged(token))]


def _newer(driver: Driver, things: Collection) -> list[Write]:
    key, _ = _there(driver, things, stamp=1)
    return [put(things, key, OlderThan(2), stamp=2, n=1)]


def _one_of_each(driver: Driver, things: Collection) -> list[Write]:
    return [one for kind in (_insert, _replace, _blind, _remove) for one in kind(driver, things)]


def _two(driver: Driver, things: Collection) -> list[Write]:
    return [*_insert(driver, things), *_replace(driver, things)]


def _write(driver: Driver, writes: Sequence[Write]) -> object:
    (write,) = writes
    return driver.write(write)


def _commit(driver: Driver, writes: Sequence[Write]) -> object:
    return driver.commit(writes, [])


def _many(driver: Driver, writes: Sequence[Write]) -> object:
    return driver.write_many(writes)


@attrs.frozen
class Kind:
    """A kind of call that writes.

    Attributes:
        prepare: its writes, with what must be there before them.
        call: sends them.
    """

    prepare: Prepare
    call: Callable[[Driver, Sequence[Write]], object]


SINGLE: Mapping[str, Kind] = {
    "insert": Kind(_insert, _write),
    "replace": Kind(_replace, _write),
    "blind put": Kind(_blind, _write),
    "delete": Kind(_remove, _write),
    "newer": Kind(_newer, _write),
}
MANY = Kind(_one_of_each, _many)
COMMIT = Kind(_two, _commit)


@attrs.define
class Tried:
    """A call that met a fault.

    Attributes:
        writes: what it was to write.
        before: what the database held under their keys, as the harness shows it.
        told: what came of it.
        seconds: that it took.
    """

    writes: Sequence[Write]
    before: list[Any]
    told: Told
    seconds: float

    def agrees(self, harness: Harness) -> bool:
        """Hold what was told against what the database has; whether anything was written.

        Raises:
            AssertionError: they differ.
        """
        after = [harness.peek(write.collection, write.key) for write in self.writes]
        changed = [one != other for one, other in zip(self.before, after, strict=True)]
        for told, is_there in zip(self._each(), changed, strict=True):
            match told:
                case Written():
                    assert is_there, f"told as written, and is not there: {self.told}"
                case Refused() | Unprocessed():
                    assert not is_there, f"told as not applied, and is there: {self.told}"
                case OutcomeUnknown():
                    pass
                case _:
                    assert isinstance(told, NOT_APPLIED), f"what became of it is not told: {told}"
                    assert not is_there, f"told as not applied, and is there: {told!r}"
        return any(changed)

    def _each(self) -> list[object]:
        """What was told of each write."""
        told = self.told
        if isinstance(told, list):
            for one in told:
                if isinstance(one, Unprocessed):
                    assert isinstance(one.error, NOT_APPLIED), one
            return told
        if isinstance(told, Committed):
            return [Written(token) for token in told.tokens]
        if isinstance(told, Rejected):
            return [Refused()] * len(self.writes)
        return [told] * len(self.writes)

    @property
    def succeeded(self) -> bool:
        """Whether all was told as written."""
        return all(isinstance(one, Written) for one in self._each())


def tried(harness: Harness, driver: Driver, kind: Kind, writes: Sequence[Write]) -> Tried:
    """Send writes; what came of it."""
    before = [harness.peek(write.collection, write.key) for write in writes]
    began = time.monotonic()
    told = told_of(driver, lambda: kind.call(driver, writes))
    return Tried(writes, before, told, time.monotonic() - began)


def through(driver: Driver, things: Collection) -> None:
    """Wait until a read gets through: the driver has connections again."""
    until = time.monotonic() + PATIENCE
    while True:
        told = told_of(driver, lambda: driver.read(things, [("nobody",)], Consistency.STRONG))
        if not isinstance(told, PolystoreError):
            return
        assert isinstance(told, Unavailable), f"a read that fails is unavailable: {told!r}"
        assert time.monotonic() < until, f"it does not work again by itself: {told!r}"
        time.sleep(0.02)


def repeated(harness: Harness, driver: Driver, write: Write) -> None:
    """Send a write again, under its condition and write id, whose outcome was unknown.

    It is applied once: as this, or as the first.
    """
    was = harness.peek(write.collection, write.key)
    until = time.monotonic() + PATIENCE
    while isinstance(told := told_of(driver, lambda: driver.write(write)), NOT_APPLIED):
        assert time.monotonic() < until, told
    record = driver.read(write.collection, [write.key], Consistency.STRONG).records[0]
    if isinstance(told, Refused):
        assert harness.peek(write.collection, write.key) == was, "refused and written"
        if told.told and write.fields is not None:
            assert told.current is not None
            assert told.current.write_id == write.write_id, "another's record refuses it"
    else:
        assert isinstance(told, Written), told
    if write.fields is None:
        assert record is None, "the delete was not applied"
    else:
        assert record is not None
        assert record.write_id == write.write_id, "the write was not applied"
        assert record.fields == write.fields
