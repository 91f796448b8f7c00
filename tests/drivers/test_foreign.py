"""Records that polystore never wrote: read as they are, found, compared, and taken over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from polystore.driver import Check, Driver, OlderThan, Stored, Unchanged
from polystore.queries import Between, QueryPlan
from polystore.schema import Collection
from polystore.testing.suite.calls import (
    answer,
    committed,
    delete,
    found,
    put,
    refused,
    rejected,
    scanned,
    tombstone,
    written,
)
from polystore.values import Key, same
from tests.drivers.facts import BLIND_TO_ADDITIONS
from tests.drivers.strangers import Stranger

KEY: Key = ("c1", 17)
Take = Callable[[], Collection]


def read(driver: Driver, collection: Collection, key: Key = KEY) -> Stored:
    record = found(driver, collection, key)
    assert record is not None
    return record


@pytest.mark.rule("VAL-10", "PLC-4", "DRV-1", "REC-1")
def test_every_native_type_is_read(driver: Driver, stranger: Stranger, theirs: Take) -> None:
    orders = theirs()
    expected = stranger.leave_everything(orders, KEY)
    record = read(driver, orders)
    assert record.fields is not None
    for name, value in expected.items():
        assert same(record.fields.get(name, ...), value), name
    assert record.fields.keys() == expected.keys()
    assert same(list(record.key), list(KEY))
    assert (record.write_id, record.stamp) == (None, None)


@pytest.mark.rule("VAL-10", "PLC-4", "QRY-1", "DRV-6")
def test_they_are_found_by_query_and_scan(driver: Driver, stranger: Stranger, theirs: Take) -> None:
    orders = theirs()
    left = [stranger.leave(orders, ("c1", n), n=n, note="x") for n in (17, 2, 300)]
    stranger.leave(orders, ("c2", 9), n=9, note="y")
    by_number = sorted(left, key=lambda record: record["n"])  # type: ignore[arg-type,return-value]
    found_ = answer(driver, orders, QueryPlan(None, ("c1",)))
    assert [record.fields for record in found_] == by_number
    found_ = answer(driver, orders, QueryPlan(None, ("c1",), Between(2, 17), descending=True))
    assert [record.key for record in found_] == [("c1", 17), ("c1", 2)]
    assert sorted(record.key for record in scanned(driver, orders)) == [
        ("c1", 2), ("c1", 17), ("c1", 300), ("c2", 9),
    ]  # fmt: skip


@pytest.mark.rule("PLC-4", "VAL-9")
def test_the_other_program_reads_what_polystore_wrote(
    driver: Driver, stranger: Stranger, theirs: Take
) -> None:
    orders = theirs()
    expected = stranger.leave(orders, KEY, n=1, note="theirs")
    record = read(driver, orders)
    assert record.fields == expected
    changed = {**expected, "n": 2, "note": "ours"}
    written(driver, put(orders, KEY, Unchanged(record.token), stamp=7, **_free(orders, changed)))
    assert stranger.sees(orders, KEY) == {"n": 2, "note": "ours"}
    assert same(read(driver, orders).fields, changed)


def _free(orders: Collection, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in orders.key_names}


CHANGES: dict[str, dict[str, Any]] = {
    "value": {"n": 8},
    "type": {"n": "7"},
    "none": {"n": None},
    "absent": {},
    "more": {"n": 7, "note": "x"},
}


@pytest.mark.rule("CON-4", "DRV-2")
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_by_the_other_program_is_noticed(
    driver: Driver, stranger: Stranger, theirs: Take, change: str
) -> None:
    if change == "more" and driver.name in BLIND_TO_ADDITIONS:
        return
    orders = theirs()
    stranger.leave(orders, KEY, n=7)
    token = read(driver, orders).token
    now = stranger.leave(orders, KEY, **CHANGES[change])
    refused(driver, put(orders, KEY, Unchanged(token), n=9))
    refused(driver, delete(orders, KEY, Unchanged(token)))
    rejected(driver, [put(orders, ("c2", 1))], Check(orders, KEY, Unchanged(token)))
    assert same(read(driver, orders).fields, now)
    assert found(driver, orders, ("c2", 1)) is None


@pytest.mark.rule("CON-4", "DRV-2", "DRV-3")
def test_what_nobody_changed_passes(driver: Driver, stranger: Stranger, theirs: Take) -> None:
    orders = theirs()
    for order, act in enumerate((put, delete, tombstone), 1):
        key = ("c1", order)
        stranger.leave_everything(orders, key)
        token = read(driver, orders, key).token
        committed(driver, [put(orders, ("c2", order))], Check(orders, key, Unchanged(token)))
        options: dict[str, Any] = {"stamp": 3} if act is tombstone else {}
        written(driver, act(orders, key, Unchanged(token), **options))  # type: ignore[operator]
        refused(driver, put(orders, key, Unchanged(token)))


@pytest.mark.rule("WR-4", "MIR-1")
def test_they_are_older_than_any_stamp(driver: Driver, stranger: Stranger, theirs: Take) -> None:
    orders = theirs()
    stranger.leave(orders, KEY, n=7)
    written(driver, put(orders, KEY, OlderThan(1), stamp=1, n=8))
    refused(driver, put(orders, KEY, OlderThan(1), stamp=1, n=9))
