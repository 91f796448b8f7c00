"""Many writes that are not one, and many reads: an answer for each, in order."""

from __future__ import annotations

import pytest

from polystore.driver import (
    NOTHING,
    Consistency,
    Driver,
    OlderThan,
    Refused,
    Unchanged,
    Write,
    Written,
)
from polystore.testing.suite.calls import Make, delete, found, put, tombstone, written
from polystore.values import Key


@pytest.mark.rule("DRV-4", "DRV-2")
def test_an_outcome_for_each_write_in_order(driver: Driver, make: Make) -> None:
    """Two collections, every condition and action, refused ones between the others."""
    things, others = make(), make(["p", "s:int"])
    stale = written(driver, put(things, ("changed",), n=0))
    fresh = written(driver, put(things, ("changed",), stamp=5, n=1))
    kept = written(driver, put(others, ("kept", 1), n=1))
    written(driver, put(others, ("stamped", 1), stamp=5, n=1))
    writes: list[tuple[Write, bool]] = [
        (put(things, ("a",), n=2), True),
        (put(things, ("changed",), Unchanged(stale), n=2), False),
        (put(others, ("new", 1), NOTHING, n=2), True),
        (put(others, ("kept", 1), NOTHING, n=2), False),
        (delete(things, ("absent",)), True),
        (put(others, ("stamped", 1), OlderThan(5), stamp=5, n=2), False),
        (tombstone(things, ("t",), OlderThan(5), stamp=5), True),
        (delete(things, ("b",), Unchanged(fresh)), False),
        (put(others, ("blind", 2), n=2), True),
    ]
    outcomes = driver.write_many([write for write, _ in writes])
    assert [type(o) for o in outcomes] == [Written if ok else Refused for _, ok in writes]
    for (write, ok), outcome in zip(writes, outcomes, strict=True):
        record = found(driver, write.collection, write.key)
        if ok:
            assert isinstance(outcome, Written)
            assert (record.token if record else None) == outcome.token
            assert (record.write_id if record else None) == write.write_id
        elif record is not None:
            assert (record.fields or {})["n"] == 1
    assert found(driver, others, ("kept", 1)).token == kept  # type: ignore[union-attr]


@pytest.mark.rule("DRV-4", "CON-3")
@pytest.mark.parametrize("condition", ["nothing", "unchanged", "older-than"])
def test_every_second_write_is_refused(driver: Driver, make: Make, condition: str) -> None:
    """Wide enough that a driver which sends parts has to look at several."""
    things = make()
    tokens = [written(driver, put(things, (f"k{i:02}",), stamp=1, n=0)) for i in range(0, 60, 2)]
    writes = []
    for i in range(60):
        held = {"nothing": NOTHING, "older-than": OlderThan(1), "unchanged": Unchanged(tokens[0])}
        if condition == "unchanged" and i % 2 == 0:
            held["unchanged"] = Unchanged(tokens[i // 2])
        writes.append(put(things, (f"k{i:02}",), held[condition], stamp=1, n=1))  # type: ignore[arg-type]
    outcomes = driver.write_many(writes)
    applied = [isinstance(outcome, Written) for outcome in outcomes]
    assert applied == [(i % 2 == 0) == (condition == "unchanged") for i in range(60)]
    for write, outcome in zip(writes, outcomes, strict=True):
        record = found(driver, things, write.key)
        done = record is not None and record.write_id == write.write_id
        assert done == isinstance(outcome, Written)


@pytest.mark.rule("DRV-4", "CAP-3", "CAP-4")
def test_as_many_writes_as_one_call_takes(driver: Driver, make: Make) -> None:
    things = make()
    limit = driver.capabilities(things).batches.write_items
    width = limit.most if limit else 500
    writes = [put(things, (f"k{i}",), stamp=i + 1, expires=5, n=i) for i in range(width)]
    outcomes = driver.write_many(writes)
    assert len(outcomes) == len(writes)
    assert all(isinstance(outcome, Written) for outcome in outcomes)
    reply = driver.read(things, [write.key for write in writes[-50:]], Consistency.STRONG)
    read = [r and (r.fields, r.write_id, r.stamp, r.expires) for r in reply.records]
    assert read == [(w.fields, w.write_id, w.stamp, w.expires) for w in writes[-50:]]
    tokens = [record and Written(record.token) for record in reply.records]
    assert tokens == outcomes[-50:]


@pytest.mark.rule("DRV-4")
@pytest.mark.parametrize("width", [26, 51, 101])
def test_as_many_writes_as_are_one_more_than_round(driver: Driver, make: Make, width: int) -> None:
    """A driver that sends parts sends the last one too."""
    things = make()
    limit = driver.capabilities(things).batches.write_items
    most = width if limit is None else min(width, limit.most)
    writes = [put(things, (f"k{n}",), n=n) for n in range(most)]
    outcomes = driver.write_many(writes)
    assert len(outcomes) == len(writes)
    assert all(isinstance(outcome, Written) for outcome in outcomes)
    assert found(driver, things, writes[-1].key) is not None


@pytest.mark.rule("DRV-4", "KEY-4")
def test_keys_of_different_collections_are_different_among_many(driver: Driver, make: Make) -> None:
    """One key in two collections, and keys that look alike as text."""
    shapes = [["id"], ["id"], ["id:int"], ["id:bytes"], ["p", "q"], ["p", "q:int"]]
    keys: list[Key] = [("1",), ("1",), (1,), (b"1",), ("1", "1"), ("1", 1)]
    collections = [make(shape) for shape in shapes]
    writes = [put(c, key, n=n) for n, (c, key) in enumerate(zip(collections, keys, strict=True))]
    outcomes = driver.write_many(writes)
    for write, outcome in zip(writes, outcomes, strict=True):
        assert isinstance(outcome, Written)
        record = found(driver, write.collection, write.key)
        assert record is not None
        assert (record.token, record.write_id) == (outcome.token, write.write_id)
        assert record.fields == write.fields


@pytest.mark.rule("DRV-4")
def test_no_writes(driver: Driver) -> None:
    assert driver.write_many([]) == []


@pytest.mark.rule("DRV-1", "REC-2", "CAP-3", "CAP-4")
def test_as_many_keys_as_one_call_takes(driver: Driver, make: Make) -> None:
    """Their order is kept, with every third there, some of them tombstones."""
    things = make(["p", "s:int"])
    limit = driver.capabilities(things).batches.read_keys
    width = limit.most if limit else 1000
    keys: list[Key] = [(f"k{i % 7}", i) for i in range(width)]
    present = set(range(0, 90, 3))
    for i in present:
        written(driver, put(things, keys[i], n=i) if i % 2 else tombstone(things, keys[i], stamp=i))
    for consistency in Consistency:
        reply = driver.read(things, keys[::-1], consistency)
        assert reply.unprocessed == ()
        records = reply.records[::-1]
        assert len(records) == width
        for i, record in enumerate(records):
            assert (record is not None) == (i in present)
            if record is not None:
                assert record.key == keys[i]
                assert (record.fields is None) == (i % 2 == 0)


@pytest.mark.rule("DRV-1")
def test_no_keys(driver: Driver, make: Make) -> None:
    assert driver.read(make(), [], Consistency.STRONG).records == []
