"""The expiry of a record: kept beside its fields, to the microsecond, wherever it is read."""

from __future__ import annotations

import pytest

from polystore.driver import NOTHING, Driver, Stored
from polystore.queries import QueryPlan
from polystore.schema import Collection, Index
from polystore.testing.suite.calls import (
    WRITINGS,
    Make,
    answer,
    fill,
    found,
    put,
    refused,
    scanned,
    sent,
    tombstone,
    written,
)
from polystore.values import Key

YEAR_1, YEAR_9999 = -62_135_596_800_000_000, 253_402_300_799_999_999
MOMENTS = (None, YEAR_1, -1, 0, 1, 1_795_000_000_000_001, YEAR_9999)
BY_N = Index("by_n", ("n",))


def everywhere(driver: Driver, things: Collection, key: Key) -> list[Stored | None]:
    """One record in all ways in which a driver returns it."""
    ways = [*scanned(driver, things), *answer(driver, things, QueryPlan(None, key[:1]))]
    ways += answer(driver, things, QueryPlan(BY_N, (1,)))
    refusal = refused(driver, put(things, key, NOTHING))
    assert isinstance(refusal.current, Stored) is refusal.told
    told = [refusal.current] if refusal.told else []
    return [*(r for r in ways if r.key == key), *told, found(driver, things, key)]


@pytest.mark.rule("DRV-13")
@pytest.mark.parametrize("stamp", [None, 7])
def test_the_expiry_comes_back_with_the_record_wherever_it_is_read(
    driver: Driver, make: Make, stamp: int | None
) -> None:
    things = make(["p", "s:int"], indexes=[BY_N])
    for i, moment in enumerate(MOMENTS):
        key = ("p", i)
        written(driver, put(things, key, stamp=stamp, expires=moment, n=1))
        ways = everywhere(driver, things, key)
        assert len(ways) >= 4
        for record in ways:
            assert record is not None
            assert (record.expires, record.stamp) == (moment, stamp)
            assert record.fields == {"p": "p", "s": i, "n": 1}


@pytest.mark.rule("DRV-13")
@pytest.mark.parametrize("writing", WRITINGS)
def test_the_next_write_decides_about_the_expiry_anew(
    driver: Driver, make: Make, writing: str
) -> None:
    things = make()
    fill(driver, [put(things, (name,), expires=5) for name in "abc"])
    assert [r.expires for r in scanned(driver, things)] == [5, 5, 5]
    sent(driver, put(things, ("a",)), writing)
    sent(driver, put(things, ("b",), expires=6, stamp=1), writing)
    sent(driver, tombstone(things, ("c",), stamp=1), writing)
    records = {r.key[0]: (r.fields is None, r.expires) for r in scanned(driver, things)}
    assert records == {"a": (False, None), "b": (False, 6), "c": (True, None)}
