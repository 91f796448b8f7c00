"""The harness itself: what it shows and writes does not go through the driver."""

from __future__ import annotations

import pytest

from polystore.driver import Driver
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import Make, delete, fields_of, found, put, written


@pytest.mark.rule("CNF-3")
def test_peek_sees_each_write_and_nothing_else(
    driver: Driver, harness: Harness, make: Make
) -> None:
    things = make(["p", "s:int"])
    key, other = ("k", 1), ("k", 2)
    assert harness.peek(things, key) is None
    written(driver, put(things, key, n=1))
    one = harness.peek(things, key)
    assert one is not None
    written(driver, put(things, other, n=1))
    assert found(driver, things, key) is not None
    assert harness.peek(things, key) == one
    written(driver, put(things, key, n=1))
    assert harness.peek(things, key) not in (None, one)
    written(driver, delete(things, key))
    assert harness.peek(things, key) is None


@pytest.mark.rule("CNF-3", "DRV-1")
def test_what_was_poked_is_read(driver: Driver, harness: Harness, make: Make) -> None:
    things = make(["p", "s:int"])
    key = ("k", 1)
    written(driver, put(things, key, stamp=7, old=True))
    pokes: list[dict[str, str | int]] = [{"n": 1, "text": "é"}, {"n": -(2**53)}]
    for fields in pokes:
        harness.poke(things, key, fields)
        harness.settle()
        assert fields_of(driver, things, key) == {"p": "k", "s": 1, **fields}
        record = found(driver, things, key)
        assert record is not None
        assert (record.write_id, record.stamp, record.expires) == (None, None, None)
