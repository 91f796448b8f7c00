"""A record is one record, by whichever way it is written and by whichever it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import attrs
import pytest

from polystore.driver import (
    NOTHING,
    Check,
    Consistency,
    Driver,
    OlderThan,
    Refused,
    Segment,
    Stored,
    Unchanged,
    Write,
    Written,
    alone,
)
from polystore.queries import From, QueryPlan
from polystore.schema import Collection
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import (
    WRITINGS,
    Make,
    answer,
    delete,
    found,
    put,
    refused,
    rejected,
    scanned,
    sent,
    tombstone,
    written,
)
from polystore.testing.suite.test_commits import STORE
from polystore.testing.suite.test_indexes import BY_TWO
from polystore.testing.suite.test_values import ODD
from polystore.values import Key, canonical

pytestmark = pytest.mark.about_what_is_stored

IN_STATE = QueryPlan(BY_TWO, ("s",))

Reading: TypeAlias = Callable[[Driver, Collection, list[Key]], list[Stored | None]]

READINGS: dict[str, Reading] = {
    "one by one": lambda d, c, keys: [found(d, c, key) for key in keys],
    "many": lambda d, c, keys: d.read(c, keys, Consistency.STRONG).records,
    "eventually": lambda d, c, keys: d.read(c, keys, Consistency.EVENTUAL).records,
    "partition": lambda d, c, keys: [*answer(d, c, QueryPlan(None, ("p",)))],
    "pages": lambda d, c, keys: [*answer(d, c, QueryPlan(None, ("p",), From(0)), 3)],
    "backwards": lambda d, c, keys: [*answer(d, c, QueryPlan(None, ("p",), None, True), 4)],
    "index": lambda d, c, keys: [*answer(d, c, IN_STATE)],
    "index, pages": lambda d, c, keys: [*answer(d, c, QueryPlan(BY_TWO, ("s",), From(0), True), 3)],
    "scan": lambda d, c, keys: [*scanned(d, c)],
    "scan, pages": lambda d, c, keys: [*scanned(d, c, None, 3)],
    "segments": lambda d, c, keys: [r for i in (0, 1) for r in scanned(d, c, Segment(i, 2))],
    "snapshot": lambda d, c, keys: [*scanned(d, c, Segment(snapshot=True))],
    "refusal": lambda d, c, keys: [
        refusal.current for key in keys if (refusal := refused(d, put(c, key, NOTHING))).told
    ],
}
"""The ways to read records; of the last a driver may tell nothing."""


def is_as_written(record: Stored, write: Write) -> bool:
    """Whether a record is all that was written: its key, values and bookkeeping."""
    is_, was = (
        [[*one.key], one.fields, one.write_id, one.stamp, one.expires] for one in (record, write)
    )
    return canonical(is_) == canonical(was)  # types, too


@pytest.mark.rule("VAL-2", "REC-1", "DRV-1", "DRV-4", "DRV-13")
@pytest.mark.parametrize("writing", WRITINGS)
def test_a_record_is_what_was_written_by_every_way_to_read_it(
    driver: Driver, harness: Harness, make: Make, writing: str
) -> None:
    """Values of every kind, with and without a stamp, expired, about to expire and never."""
    things = make(["p", "s:int"], indexes=[BY_TWO])
    writes: dict[Key, Write] = {}
    for n, odd in enumerate(ODD.values()):
        fields: dict[str, Any] = {f"f{i}": value for i, value in enumerate(odd)}
        bookkeeping: dict[str, Any] = {"stamp": n if n % 2 else None, "expires": EXPIRIES[n % 3]}
        write = put(things, ("p", n), **bookkeeping, state="s", rank=n, inner=[*odd], **fields)
        writes[write.key] = write
        assert isinstance(sent(driver, write, writing), Written)
    harness.settle()
    read_alike(driver, things, writes, READINGS.keys())


EXPIRIES = (None, 5, 2**52)


def there(driver: Driver, things: Collection, keys: list[Key], name: str) -> list[Stored]:
    return [record for record in READINGS[name](driver, things, keys) if record is not None]


def read_alike(
    driver: Driver, things: Collection, writes: dict[Key, Write], names: Iterable[str]
) -> None:
    """The records of some writes are these, under one token, by each of these ways to read."""
    tokens = {record.key: record.token for record in there(driver, things, [*writes], "one by one")}
    assert [*tokens] == [*writes]
    for name in names:
        records = there(driver, things, [*writes], name)
        for record in records:
            assert is_as_written(record, writes[record.key]), f"{name}, {record.key}"
            assert record.token == tokens[record.key], f"{name}, {record.key}"
        assert len(records) == len(writes) or (name == "refusal" and not records), name


@pytest.mark.rule("DRV-2", "DRV-3", "DRV-13", "VAL-2")
@pytest.mark.parametrize("writing", [*WRITINGS, pytest.param("of a check", marks=STORE)])
@pytest.mark.parametrize("name", ["nothing", "unchanged", "older than"])
def test_what_a_refusal_tells_is_what_is_there(
    driver: Driver, make: Make, writing: str, name: str
) -> None:
    """By whichever condition, of records of every kind and of tombstones."""
    things, others = make(["p", "s:int"]), make()
    writes = [
        put(things, ("p", n), stamp=7, expires=5, l=[*odd]) for n, odd in enumerate(ODD.values())
    ]
    for write in [*writes, tombstone(things, ("p", -1), stamp=7)]:
        stale = Unchanged(written(driver, put(things, write.key)))
        token = written(driver, write)
        of: dict[str, Any] = {"nothing": NOTHING, "unchanged": stale, "older than": OlderThan(7)}
        if writing == "of a check":
            checked = of[name] if name != "older than" else NOTHING  # no check is of a stamp
            check = Check(things, write.key, checked)
            outcome: Any = alone(rejected(driver, [put(others, ("k",))], check))
        else:
            outcome = sent(driver, put(things, write.key, of[name]), writing)
        assert isinstance(outcome, Refused)
        if outcome.told:
            assert outcome.current is not None
            assert is_as_written(outcome.current, write)
            assert outcome.current.token == token


@pytest.mark.rule("VAL-10", "DRV-1", "DRV-6", "QRY-1")
def test_what_another_program_wrote_is_found_by_every_way(
    driver: Driver, harness: Harness, make: Make
) -> None:
    """An index may lack it: polystore did not put it there."""
    things = make(["p", "s:int"], indexes=[BY_TWO])
    writes = {key: Write(things, key, {"p": "p", "s": key[1], "n": 1}) for key in KEYS}
    for key in KEYS:
        harness.poke(things, key, {"n": 1})
    harness.settle()
    read_alike(driver, things, writes, READINGS.keys() - {"index", "index, pages"})


KEYS: list[Key] = [("p", 1), ("p", 2), ("p", 3)]


@pytest.mark.rule("VAL-7", "DRV-1", "DRV-13", "QRY-2", "QRY-8")
@pytest.mark.parametrize("writing", WRITINGS)
def test_a_write_leaves_nothing_of_the_record_before(
    driver: Driver, harness: Harness, make: Make, writing: str
) -> None:
    """Of its fields, of what is within them, of its bookkeeping and of its places in an index."""
    things = make(["p", "s:int"], indexes=[BY_TWO])
    key = ("p", 1)
    records: list[dict[str, Any]] = [
        {"rank": 2, "a": 1.5, "m": {"x": 1, "y": {"z": 1}}, "l": [1, {"a": 1}], "c": None},
        {"rank": 1, "a": "1.5", "m": {"y": {"w": 2}}, "l": [{"b": 2}]},
        {"rank": 2},
        {"rank": 1, "m": {}},
    ]
    full, other, bare, last = (put(things, key, **fields, state="s") for fields in records)
    writes = [attrs.evolve(full, stamp=5, expires=5), other, attrs.evolve(bare, stamp=5, expires=6)]
    writes += [tombstone(things, key, stamp=6), attrs.evolve(last, write_id=None)]
    writes += [gone := delete(things, key), last]
    for write in writes:
        assert isinstance(sent(driver, write, writing), Written)
        harness.settle()
        for name in READINGS.keys() - ({"refusal"} if write.fields is None else {}):
            read = there(driver, things, [key], name)
            assert all(is_as_written(record, write) for record in read), name
            shown = write is not gone and (write.fields is not None or "index" not in name)
            assert len(read) == shown or name == "refusal", name


@pytest.mark.rule("EXP-3", "CON-1", "DRV-2")
@pytest.mark.parametrize("writing", WRITINGS)
def test_what_has_expired_is_there_for_every_condition(
    driver: Driver, make: Make, writing: str
) -> None:
    """To hide it is the core's part, which writes over it under its token."""
    things = make()
    token = written(driver, put(things, ("k",), expires=5, n=1))
    assert not isinstance(sent(driver, put(things, ("k",), NOTHING, n=2), writing), Written)
    record = found(driver, things, ("k",))
    assert record is not None
    assert (record.token, record.expires) == (token, 5)


def spoiled(value: Any) -> None:
    """Change every list and map of a value, at any depth."""
    if isinstance(value, dict):
        spoiled([*value.values()])
        value["spoiled"] = 1
    elif isinstance(value, list):
        for item in value:
            spoiled(item)
        value.append("spoiled")


def nested(things: Collection, key: Key) -> Write:
    fields: dict[str, Any] = {"l": [1, {"a": [1]}], "m": {"x": {"y": [1]}}}
    return put(things, key, state="s", rank=1, **fields)


@pytest.mark.rule("DRV-23")
@pytest.mark.parametrize("writing", WRITINGS)
def test_a_driver_changes_and_keeps_nothing_of_what_it_is_given(
    driver: Driver, make: Make, writing: str
) -> None:
    things = make(["p", "s:int"], indexes=[BY_TWO])
    write = nested(things, ("p", 1))
    fields, before = write.fields, canonical(write.fields)
    driver.measure(write)
    assert isinstance(sent(driver, write, writing), Written)
    assert write.fields is fields
    assert canonical(fields) == before
    spoiled(fields)
    record = found(driver, things, ("p", 1))
    assert record is not None
    assert canonical(record.fields) == before


@pytest.mark.rule("DRV-23")
@pytest.mark.parametrize("name", READINGS)
def test_what_a_driver_returns_is_its_callers_own(
    driver: Driver, harness: Harness, make: Make, name: str
) -> None:
    things = make(["p", "s:int"], indexes=[BY_TWO])
    write = nested(things, ("p", 1))
    written(driver, write)
    harness.settle()
    for record in there(driver, things, [write.key], name):
        spoiled(record.fields)
    for reading in (name, "one by one"):
        for record in there(driver, things, [write.key], reading):
            assert is_as_written(record, write)


@pytest.mark.rule("DRV-23")
@STORE
def test_what_a_refused_commit_tells_is_its_callers_own(driver: Driver, make: Make) -> None:
    things, others = make(["p", "s:int"]), make(["p", "s:int"])
    writes = [nested(things, ("p", 1)), nested(others, ("p", 1))]
    for write in writes:
        written(driver, write)
    outcome = rejected(driver, [put(things, ("p", 1), NOTHING)], Check(others, ("p", 1), NOTHING))
    for refusal in outcome.refusals:
        if refusal is not None and refusal.current is not None:
            spoiled(refusal.current.fields)
    for write in writes:
        record = found(driver, write.collection, write.key)
        assert record is not None
        assert is_as_written(record, write)
