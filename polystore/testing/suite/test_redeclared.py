"""Collections that are declared otherwise than before: an index is added, changed, left out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest

from polystore.capabilities import Filling
from polystore.driver import Driver
from polystore.queries import QueryPlan
from polystore.schema import Collection, Index
from polystore.testing import WEAKER
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import (
    WRITINGS,
    Make,
    answer,
    delete,
    fill,
    found,
    fresh,
    put,
    sent,
    tombstone,
    written,
)
from polystore.values import Key, same

BY_STATE = Index("by_state", ("state",))
BY_RANK = Index("by_state", ("rank",))
"""Another index of that name."""

VALUES = ("s", 7, 1.5, Decimal("1.50"), True, datetime(2020, 2, 29, tzinfo=UTC), b"b", "", None)
"""Of these types a record may have been before there was an index."""

Tell = Callable[[str], None]


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Says that a claim is weaker than the truth."""
    return lambda says: request.node.user_properties.append((WEAKER, says))


@pytest.fixture
def declared(harness: Harness) -> Callable[..., Collection]:
    """The same collection with other indexes."""
    return lambda things, *indexes: harness.placed(
        Collection(things.name, things.key, indexes=indexes)
    )


def keys_of(driver: Driver, things: Collection, value: Any) -> list[Key]:
    """What the first index has under a value, asked for one by one."""
    plan = QueryPlan(things.indexes[0], (value,))
    return [record.key for record in answer(driver, things, plan, 1)]


@pytest.mark.rule("QRY-14", "CAP-3", "CNF-9")
@pytest.mark.promise("indexes.filled")
@pytest.mark.parametrize("before", [(), (BY_RANK,)], ids=["added", "changed"])
def test_an_index_that_is_made_where_records_are_holds_what_is_claimed(
    driver: Driver,
    another: Driver,
    harness: Harness,
    make: Make,
    declared: Callable[..., Collection],
    before: tuple[Index, ...],
    tell: Tell,
) -> None:
    """Records of every type, with a stamp, of another program; what is deleted is in no index."""
    old = make(indexes=before)
    writes = [put(old, (f"k{i}",), state=value, rank=i) for i, value in enumerate(VALUES)]
    fill(driver, [*writes, put(old, ("stamped",), stamp=5, expires=2**52, state="s", rank=0)])
    written(driver, tombstone(old, ("gone",), stamp=6))
    harness.poke(old, ("foreign",), {"state": "s", "rank": 0})
    things = declared(old, BY_STATE)
    filled = driver.capabilities(things).indexes.filled
    assert filled is Filling.WRITTEN or driver.describe(things).problems
    driver.create(things)
    assert driver.describe(things).problems == ()
    harness.settle()
    whole = {f"k{i}": value for i, value in enumerate(VALUES)} | dict.fromkeys(
        ("stamped", "foreign"), "s"
    )
    lacking = []
    for one in (driver, another):
        for value in VALUES:
            there = keys_of(one, things, value)
            asked = sorted((key,) for key, held in whole.items() if same(held, value))
            assert not set(there) - set(asked), "what is not under that value"
            lacking += [key for key in asked if key not in there]
    if filled is Filling.ALL:
        assert not lacking, f"{filled.value} is claimed"
        (record,) = [
            r for r in answer(driver, things, QueryPlan(BY_STATE, ("s",))) if r.key == ("stamped",)
        ]
        assert (record.stamp, record.expires) == (5, 2**52)
    elif not lacking:
        tell(f"indexes.filled: {filled.value} is claimed, it holds them all")
    for write in writes:  # what is written again is there in any case
        written(another, attrs.evolve(write, collection=things, write_id=fresh()))
    harness.settle()
    for write in writes:
        assert write.key in keys_of(driver, things, (write.fields or {})["state"])


@pytest.mark.rule("QRY-14", "DRV-19")
@pytest.mark.parametrize("writing", WRITINGS)
def test_who_does_not_declare_an_index_leaves_nothing_wrong_in_it(
    driver: Driver,
    another: Driver,
    harness: Harness,
    make: Make,
    declared: Callable[..., Collection],
    writing: str,
) -> None:
    """Records that it changed or deleted are under their old values no more."""
    things = make(indexes=[BY_STATE])
    keys: list[Key] = [("changed",), ("bare",), ("gone",), ("buried",), ("same",)]
    fill(driver, [put(things, key, stamp=1, state="s") for key in keys])
    older = declared(things)
    for write in (
        put(older, ("changed",), stamp=2, state="t"),
        put(older, ("bare",), stamp=2),
        delete(older, ("gone",)),
        tombstone(older, ("buried",), stamp=2),
    ):
        sent(another, write, writing)
    assert found(driver, things, ("changed",)) is not None
    harness.settle()
    for one in (driver, another):
        assert set(keys_of(one, things, "s")) <= {("same",)}
        assert set(keys_of(one, things, "t")) <= {("changed",)}


@pytest.mark.rule("QRY-14", "PLC-3")
def test_a_collection_that_is_made_again_has_nothing_of_the_one_before(
    driver: Driver, another: Driver, harness: Harness, make: Make
) -> None:
    """Neither records nor their places in an index, which other records of these keys have now."""
    things = make(indexes=[BY_STATE])
    fill(driver, [put(things, (key,), state="s") for key in ("same", "other", "absent")])
    another.drop(things)
    another.create(things)
    fill(driver, [put(things, ("same",), state="s"), put(things, ("other",), state="t")])
    harness.settle()
    for one in (driver, another):
        assert keys_of(one, things, "s") == [("same",)]
        assert keys_of(one, things, "t") == [("other",)]
        assert found(one, things, ("absent",)) is None
