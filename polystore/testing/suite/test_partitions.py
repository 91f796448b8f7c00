"""Queries of a partition: key order, both ways, every bound, pages, and where they go on."""

from __future__ import annotations

from itertools import product
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polystore.driver import Driver
from polystore.queries import Above, Below, Between, From, Position, QueryPlan, Range, UpTo
from polystore.schema import Collection
from polystore.testing.suite.calls import Make, answer, delete, fill, found, put, tombstone, written
from polystore.testing.suite.neutral import key_order, part_order
from polystore.values import Key, KeyPart

pytestmark = pytest.mark.about_what_is_stored

TEXTS = ["\x01", "\x7f", "A", "a", "a\x00", "a\x01", "ab", "b", "é", "\uffff", "\U0001f600"]
INTS = [-(2**63), -(2**53) - 2, -(2**53) - 1, -(2**53), -300, -5, 0, 3, 17, 300, 2**63 - 1]
BYTES = [b"\x00", b"\x01", b"a", b"a\x00", b"ab", b"\x7f", b"\xff"]
PARTS: dict[type, list[Any]] = {str: TEXTS, int: INTS, bytes: BYTES}
PARTITIONS: dict[type, list[Any]] = {str: ["a", "a\x00", "ab"], int: [-1, 7], bytes: [b"a", b"aa"]}
PATHS = {
    "path-int": "ShelfA/{p}/ShelfB/{s}",
    "path-str-int": "ShelfC/{p}/ShelfD/{s}/ShelfE/{t}",
}
"""Kind paths in Datastore; elsewhere these are shapes like the others."""

SHAPES: dict[str, tuple[list[str], int]] = {
    "str": (["p:str", "s:str"], 1),
    "int": (["p:int", "s:int"], 1),
    "bytes": (["p:bytes", "s:bytes"], 1),
    "int-str": (["p:str", "s:int", "t:str"], 1),
    "bytes-int": (["p:str", "s:bytes", "t:int"], 1),
    "two-str": (["p:str", "q:int", "s:str"], 2),
    "whole": (["p:str"], 1),
    "path-int": (["p:str", "s:int"], 1),
    "path-str-int": (["p:int", "s:str", "t:int"], 1),
}


@attrs.frozen
class Shelf:
    """A filled collection, and its keys."""

    driver: Driver
    collection: Collection
    keys: list[Key]

    def check(self, plan: QueryPlan, limit: int = 100, after: Position | None = None) -> None:
        """The answer is what the neutral order says."""
        asked = [key for key in self.keys if matches(plan, key)]
        asked.sort(key=key_order, reverse=plan.descending)
        if after is not None:
            at = key_order(after.key)
            asked = [
                k for k in asked if (k_at := key_order(k)) != at and (k_at < at) == plan.descending
            ]
        given_ = answer(self.driver, self.collection, plan, limit, after)
        assert [record.key for record in given_] == asked


def matches(plan: QueryPlan, key: Key) -> bool:
    width = len(plan.equals)
    if key[:width] != plan.equals:
        return False
    bounds = plan.range
    if bounds is None:
        return True
    part = part_order(key[width])
    if bounds.low is not None:
        low = part_order(bounds.low[0])
        if part < low or (part == low and not bounds.low_included):
            return False
    if bounds.high is not None:
        high = part_order(bounds.high[0])
        if part > high or (part == high and not bounds.high_included):
            return False
    return True


def shelf_keys(collection: Collection) -> list[Key]:
    pools = []
    for i, field in enumerate(collection.key):
        pool = PARTITIONS if i < collection.partition and len(collection.key) > 1 else PARTS
        parts = pool[field.type]
        pools.append(parts[::3] if i == 2 and collection.partition == 1 else parts)
    return list(product(*pools))


@pytest.fixture(scope="module", params=SHAPES)
def shelf(request: pytest.FixtureRequest, driver: Driver, make: Make) -> Shelf:
    key, partition = SHAPES[request.param]
    path = PATHS.get(request.param)
    placements = {"datastore": {"path": path}} if path else {}
    collection = make(key, partition=partition, placements=placements)
    keys = shelf_keys(collection)
    held = driver.capabilities(collection).keys
    keys = [k for k in keys if all(type(p) is not int or p >= held.int_min for p in k)]
    fill(driver, [put(collection, key, n=i) for i, key in enumerate(keys)])
    return Shelf(driver, collection, keys)


def prefixes(shelf: Shelf) -> st.SearchStrategy[tuple[KeyPart, ...]]:
    """Whole partitions, and what follows them in some keys."""
    least, most = shelf.collection.partition, len(shelf.collection.key)
    return st.builds(
        lambda key, width: key[:width], st.sampled_from(shelf.keys), st.integers(least, most)
    )


def near(kind: type) -> st.SearchStrategy[Any]:
    """Parts that are there, and parts between them."""
    between: dict[type, list[Any]] = {
        str: ["", "\x02", "a\x00\x00", "aa", "z", "\U0010ffff"],
        int: [-(2**63) + 1, -1, 1, 18, 2**62],
        bytes: [b"", b"\x00\x00", b"a\x01", b"b", b"\xff\xff"],
    }
    return st.sampled_from(PARTS[kind] + between[kind])


def ranges(kind: type) -> st.SearchStrategy[Range | None]:
    """The five kinds of bounds, and bounds that only the contract can say."""
    value = near(kind)
    return st.one_of(
        st.none(),
        st.builds(From, value),
        st.builds(Above, value),
        st.builds(UpTo, value),
        st.builds(Below, value),
        st.builds(Between, value, value),
        st.builds(
            Range,
            st.tuples(value),
            st.tuples(value),
            st.booleans(),
            st.booleans(),
        ),
    )


def plans(shelf: Shelf) -> st.SearchStrategy[QueryPlan]:
    fields = shelf.collection.key

    def with_range(equals: tuple[KeyPart, ...]) -> st.SearchStrategy[QueryPlan]:
        bounds: Any = st.none()
        if len(equals) < len(fields):
            bounds = ranges(fields[len(equals)].type)
        return st.builds(QueryPlan, st.none(), st.just(equals), bounds, st.booleans())

    return prefixes(shelf).flatmap(with_range)


@pytest.mark.rule("QRY-1", "QRY-5", "KEY-3", "DRV-5")
def test_every_partition_in_key_order(shelf: Shelf) -> None:
    for equals in sorted({key[: shelf.collection.partition] for key in shelf.keys}):
        for descending in (False, True):
            for limit in (100, 3):
                shelf.check(QueryPlan(None, equals, None, descending), limit)


@pytest.mark.rule("QRY-1", "KEY-3")
def test_every_part_is_a_bound(shelf: Shelf) -> None:
    """Of the part after the partition: what goes on from a text or bytes is beyond it."""
    width = shelf.collection.partition
    equals = shelf.keys[-1][:width]
    inside = [key for key in shelf.keys if key[:width] == equals and len(key) > width]
    for part in sorted({key[width] for key in inside}):
        for bounds in (From(part), Above(part), UpTo(part), Below(part)):
            shelf.check(QueryPlan(None, equals, bounds))


@pytest.mark.rule("QRY-1", "QRY-5", "KEY-3", "DRV-5")
def test_every_range(shelf: Shelf) -> None:
    @settings(max_examples=max(20, settings().max_examples * 6 // 10))
    @given(plans(shelf), st.sampled_from([1, 4, 100]))
    def check(plan: QueryPlan, limit: int) -> None:
        shelf.check(plan, limit)

    check()


@pytest.mark.rule("QRY-1", "QRY-5")
def test_a_query_goes_on_after_every_position(shelf: Shelf) -> None:
    """Also after a key that is not there, since its record may be gone."""
    equals = shelf.keys[-1][: shelf.collection.partition]
    inside = [key for key in shelf.keys if key[: len(equals)] == equals]
    if len(inside[0]) > len(equals):
        kind = type(inside[0][len(equals)])
        absent: dict[type, Any] = {str: "aa", int: 1, bytes: b"b"}
        rest = inside[0][len(equals) + 1 :]
        inside.append((*equals, absent[kind], *rest))
    for key in inside:
        for descending in (False, True):
            shelf.check(QueryPlan(None, equals, None, descending), 100, Position(key))


@pytest.mark.rule("QRY-1")
def test_nothing_is_found_in_a_partition_that_is_not_there(shelf: Shelf) -> None:
    absent: dict[type, Any] = {str: "none", int: 99, bytes: b"none"}
    partition = shelf.collection.key[: shelf.collection.partition]
    equals = tuple(absent[field.type] for field in partition)
    for descending in (False, True):
        assert (
            answer(shelf.driver, shelf.collection, QueryPlan(None, equals, None, descending)) == []
        )


def keys_of(driver: Driver, things: Collection, limit: int) -> list[Key]:
    """A partition in pages of a size."""
    return [record.key for record in answer(driver, things, QueryPlan(None, ("p",)), limit)]


@pytest.mark.rule("QRY-1", "DRV-1", "DRV-5", "REC-1")
def test_a_query_gives_what_a_read_gives(driver: Driver, make: Make) -> None:
    """Tombstones too; what was deleted is gone."""
    things = make(["p", "s:int"])
    fill(driver, [put(things, ("p", n), stamp=n, n=n, m={"a": [1.5]}) for n in range(1, 6)])
    written(driver, tombstone(things, ("p", 2), stamp=9))
    written(driver, delete(things, ("p", 4)))
    records = answer(driver, things, QueryPlan(None, ("p",)))
    assert [(record.key[1], record.fields is None) for record in records] == [
        (1, False), (2, True), (3, False), (5, False),
    ]  # fmt: skip
    for limit in (1, 2):  # a page that ends at a tombstone is no end
        assert keys_of(driver, things, limit) == [record.key for record in records]
    for record in records:
        same = found(driver, things, record.key)
        assert same is not None
        assert (record.fields, record.token) == (same.fields, same.token)
        assert (record.write_id, record.stamp) == (same.write_id, same.stamp)
