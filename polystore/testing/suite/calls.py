"""Calls of a driver in the few words that its tests need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, TypeAlias

import pytest

from polystore.driver import (
    ANYTHING,
    Committed,
    Condition,
    Consistency,
    Driver,
    QueryPage,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Stored,
    Token,
    Unprocessed,
    Write,
    Written,
    alone,
)
from polystore.errors import Contention, DriverError, PolystoreError, Throttled
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Fields, Key, KeyPart, same

Make: TypeAlias = Callable[..., Collection]
"""Makes a collection of a key and a declaration, under a name that nothing else has."""

WRITINGS = [
    "alone",
    "among many",
    pytest.param("in a commit", marks=pytest.mark.claims("transactions over the store")),
]
"""The ways to write a record, for :func:`sent`."""

_numbers = count(1)


def fresh() -> str:
    """A text that no other call gave, in any process: a write id, or a key part."""
    return f"n{os.getpid()}{next(_numbers):08d}"


def absent(collection: Collection) -> Key:
    """A key under which nothing is."""
    text = fresh()
    of: dict[type, KeyPart] = {str: text, int: 2**40 + next(_numbers), bytes: text.encode()}
    return tuple(of[part.type] for part in collection.key)


def whole(collection: Collection, key: Key, fields: Mapping[str, Any]) -> Fields:
    """A record: its key fields, and these."""
    return {**dict(zip(collection.key_names, key, strict=True)), **fields}


def put(
    collection: Collection,
    key: Key,
    condition: Condition = ANYTHING,
    *,
    stamp: int | None = None,
    expires: int | None = None,
    **fields: Any,
) -> Write:
    """A put of a record, under a write id of its own."""
    record = whole(collection, key, fields)
    return Write(collection, key, record, condition, fresh(), stamp, expires)


def tombstone(
    collection: Collection, key: Key, condition: Condition = ANYTHING, *, stamp: int
) -> Write:
    """A tombstone, under a write id of its own."""
    return Write(collection, key, None, condition, fresh(), stamp)


def delete(collection: Collection, key: Key, condition: Condition = ANYTHING) -> Write:
    """A delete that leaves nothing behind."""
    return Write(collection, key, None, condition)


def found(driver: Driver, collection: Collection, key: Key) -> Stored | None:
    """The record of a key, read strongly."""
    reply = driver.read(collection, [key], Consistency.STRONG)
    assert not reply.unprocessed
    (record,) = reply.records
    return record


def fields_of(driver: Driver, collection: Collection, key: Key) -> Fields | None:
    """The fields of a record that is there; ``None`` for nothing and for a tombstone."""
    record = found(driver, collection, key)
    return None if record is None else record.fields


def written(driver: Driver, write: Write) -> Token:
    """Carry out a write that nothing refuses; its token."""
    outcome = driver.write(write)
    assert isinstance(outcome, Written), outcome
    return outcome.token


def refused(driver: Driver, write: Write) -> Refused:
    """Try a write whose condition is false."""
    outcome = driver.write(write)
    assert isinstance(outcome, Refused), outcome
    return outcome


def sent(driver: Driver, write: Write, writing: str) -> Written | Refused | Unprocessed:
    """Send one write in one of the :data:`WRITINGS`; those about it leave nothing behind."""
    if writing == "alone":
        return driver.write(write)
    if writing == "among many":
        before, after = (delete(write.collection, absent(write.collection)) for _ in range(2))
        outcomes = driver.write_many([before, write, after])
        assert len(outcomes) == 3
        return outcomes[1]
    return alone(driver.commit([write], []))


def attempt(driver: Driver, write: Write, writing: str = "alone") -> Written | Refused | None:
    """One write among others of the same record; ``None`` where the database gave way to them."""
    told = told_of(driver, lambda: sent(driver, write, writing))
    error = told.error if isinstance(told, Unprocessed) else told
    assert isinstance(error, Written | Refused | Contention | Throttled), error
    return error if isinstance(error, Written | Refused) else None


def committed(driver: Driver, writes: list[Write], *checks: Any) -> tuple[Token, ...]:
    """Carry out a commit that nothing refuses; its tokens."""
    outcome = driver.commit(writes, checks)
    assert isinstance(outcome, Committed), outcome
    return outcome.tokens


def rejected(driver: Driver, writes: list[Write], *checks: Any) -> Rejected:
    """Try a commit of which a condition is false."""
    outcome = driver.commit(writes, checks)
    assert isinstance(outcome, Rejected), outcome
    return outcome


def fill(driver: Driver, writes: list[Write]) -> None:
    """Carry out writes that nothing refuses, as many at once as the driver takes."""
    for start in range(0, len(writes), 25):
        outcomes = driver.write_many(writes[start : start + 25])
        assert all(isinstance(outcome, Written) for outcome in outcomes), outcomes


def pages(
    driver: Driver,
    collection: Collection,
    plan: QueryPlan,
    limit: int = 100,
    after: Position | None = None,
) -> Iterator[QueryPage]:
    """The pages of a query, to its end."""
    while True:
        page = driver.query(collection, plan, after, limit)
        assert len(page.records) <= limit
        yield page
        if page.next is None:
            return
        assert page.next != after, "the query does not go on"
        after = page.next
        check_position(collection, plan, after)


def check_position(collection: Collection, plan: QueryPlan, place: Position) -> None:
    """A place in a query is the key and the indexed values of a record: any driver knows it."""
    assert tuple(map(type, place.key)) == tuple(field.type for field in collection.key), place
    assert len(place.values) == (len(plan.index.fields) if plan.index else 0), place
    assert all(map(same, plan.equals, place.values or place.key)), place


def answer(
    driver: Driver,
    collection: Collection,
    plan: QueryPlan,
    limit: int = 100,
    after: Position | None = None,
) -> list[Stored]:
    """All records of a query, in its order."""
    return [r for page in pages(driver, collection, plan, limit, after) for r in page.records]


def scan_pages(
    driver: Driver, collection: Collection, segment: Segment, limit: int, cursor: str | None = None
) -> Iterator[ScanPage]:
    """The pages of a segment, each asked for when it is wanted, to its end."""
    while True:
        page = driver.scan(collection, segment, cursor, limit)
        assert len(page.records) <= limit
        yield page
        if page.cursor is None:
            return
        assert type(page.cursor) is str, "a cursor is text, which is kept and sent"
        assert page.cursor != cursor, "the scan does not go on"
        cursor = page.cursor


def scanned(
    driver: Driver,
    collection: Collection,
    segment: Segment | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> list[Stored]:
    """All records of a segment, by default of the whole collection."""
    parts = scan_pages(driver, collection, segment or Segment(), limit, cursor)
    return [record for page in parts for record in page.records]


def error_of(driver: Driver, call: Callable[[], object]) -> PolystoreError:
    """The error of the tree for what a call raises, which the driver must know."""
    error = refusal_of(driver, call)
    assert isinstance(error, PolystoreError), "no error"
    assert not isinstance(error, DriverError), error.__cause__
    return error


def refusal_of(driver: Driver, call: Callable[[], object]) -> PolystoreError | None:
    """The error of the tree for what a call raises; ``None`` where the database takes it."""
    told = told_of(driver, call)
    return told if isinstance(told, PolystoreError) else None


def told_of(driver: Driver, call: Callable[[], object]) -> object:
    """What a call answers, or the error of the tree for what it raises."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001  # whatever the database raises
        told = driver.translate(error)
        assert isinstance(told, PolystoreError)
        return told


def taken(driver: Driver, write: Write) -> bool:
    """Whether the database takes a write, and gives it back whole."""
    if refusal_of(driver, lambda: written(driver, write)) is not None:
        return False
    record = found(driver, write.collection, write.key)
    return record is not None and same(record.fields, write.fields)
