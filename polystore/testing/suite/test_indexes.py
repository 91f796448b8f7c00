"""Queries of an index: its order, ranges on the second field, what is in it and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polystore.capabilities import EmptyIndexed, Scope
from polystore.driver import NOTHING, Driver, Write
from polystore.queries import Above, Below, Between, From, Position, QueryPlan, Range, UpTo
from polystore.schema import Collection, Index
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import (
    Make,
    answer,
    committed,
    delete,
    fill,
    found,
    put,
    tombstone,
    written,
)
from polystore.testing.suite.neutral import key_order, value_order
from polystore.values import CANONICAL_NAN, Fields, GeoPoint, Key, Ref, canonical, same

pytestmark = pytest.mark.about_what_is_stored

BY_STATE = Index("by_state", ("state",))
BY_TWO = Index("by_two", ("state", "rank"))
BY_THREE = Index("by_three", ("state", "rank", "more"))
BY_RANK = Index("by_rank", ("rank",))
NOON = datetime(2020, 2, 29, 12, tzinfo=UTC)
FAMILIES: dict[str, list[Any]] = {
    "empty-and-none": [None, "", "\x01", "a", "a\x00", "ab", "b", "é", "\uffee", "\U0001f600"],
    "bool": [False, True],
    "int": [-(2**63), -2, 0, 1, 10, 2**53, 2**53 + 1, 2**63 - 1],
    "float": [float("-inf"), -1e300, -1.5, 0.0, 5e-324, 0.1, 1.5, 1e22, float("inf")],
    "decimal": [
        Decimal(text)
        for text in ("-1E+6144", "-1.5", "-1", "0", "1E-6144", "1", "1.5", "1E+1", "9" * 38)
    ],
    "bytes": [b"", b"\x00", b"a", b"a\x00", b"b", b"\xff"],
    "datetime": [
        datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC), NOON,
        NOON + timedelta(microseconds=1), datetime(9999, 12, 31, tzinfo=UTC),
    ],
    "ref": [Ref("a", ("k",)), Ref("b", (1,)), Ref("b", (2,)), Ref("b", ("",)), Ref("b", ("k",))],
    "geo-point": [
        GeoPoint(-90.0, 0.0), GeoPoint(1.0, -2.0), GeoPoint(1.0, 2.0), GeoPoint(2.0, -180.0),
    ],
    "mixed": [
        None, False, True, CANONICAL_NAN, -1, -0.5, 0, -0.0, 0.0, Decimal(0), 1, 1.0,
        Decimal("1.0"), Decimal(1), 2**53, 2.0**53, 2**53 + 1, NOON, "", "1", b"", b"1",
        Ref("a", ("k",)), Ref("a", (b"k",)), GeoPoint(0.0, -0.0), GeoPoint(0.0, 0.0),
    ],
}  # fmt: skip


@attrs.frozen
class Shelf:
    """A filled collection, its records, and the values in their second field.

    Where ``ordered`` is false, the values are of types that a native index may order its own way
    among each other: then the same records are found, and pages go on where they stopped.
    """

    driver: Driver
    collection: Collection
    records: list[Fields]
    values: list[Any]
    ordered: bool

    def check(self, plan: QueryPlan, limit: int = 100, after: Position | None = None) -> None:
        """The answer is what the neutral order says."""
        index = plan.index
        assert index is not None
        asked = [record for record in self.records if matches(index, plan, record)]
        asked.sort(key=lambda r: self.order(index, r), reverse=plan.descending)
        if after is not None:
            at = (*map(value_order, after.values), key_order(after.key))
            asked = [r for r in asked if beyond(self.order(index, r), at, plan.descending)]
        given_ = answer(self.driver, self.collection, plan, limit, after)
        if not self.ordered:
            asked = self.in_its_own_order(plan, asked, after)
        assert [record.key for record in given_] == [self.key(record) for record in asked]
        assert all(map(same, [record.fields for record in given_], asked))

    def in_its_own_order(
        self, plan: QueryPlan, asked: list[Fields], after: Position | None
    ) -> list[Fields]:
        """The same records as the driver orders them, in one page, from a position on."""
        page = self.driver.query(self.collection, plan, None, 1000)
        fields = [record.fields for record in page.records if record.fields is not None]
        if after is None:
            found_keys, keys = set(map(self.key, fields)), set(map(self.key, asked))
            assert len(found_keys) == len(fields)
            assert found_keys == keys
            return fields
        places = [record.key for record in page.records]
        return fields[places.index(after.key) + 1 :]

    def key(self, record: Fields) -> Key:
        return tuple(record[name] for name in self.collection.key_names)  # type: ignore[misc]

    def order(self, index: Index, record: Fields) -> tuple[Any, ...]:
        """Its fields, and then the key."""
        return (*(value_order(record[name]) for name in index.fields), key_order(self.key(record)))


def beyond(one: tuple[Any, ...], at: tuple[Any, ...], descending: bool) -> bool:
    return one < at if descending else one > at


def matches(index: Index, plan: QueryPlan, record: Fields) -> bool:
    if any(isinstance(record.get(name, []), list | dict | frozenset) for name in index.fields):
        return False
    width = len(plan.equals)
    if not all(map(same, plan.equals, (record[name] for name in index.fields))):
        return False
    return plan.range is None or within(plan.range, record[index.fields[width]])


def within(bounds: Range, value: Any) -> bool:
    """Of the bounds' type alone, numbers being one."""
    place = value_order(value)
    for bound in (bounds.low, bounds.high):
        if bound is not None and place[0] != value_order(bound[0])[0]:
            return False
    if bounds.low is not None:
        low = value_order(bounds.low[0])
        if place < low or (place == low and not bounds.low_included):
            return False
    if bounds.high is not None:
        high = value_order(bounds.high[0])
        if place > high or (place == high and not bounds.high_included):
            return False
    return True


def of_one_type(bounds: Range) -> bool:
    """Whether the core would let this range through (QRY-12)."""
    ends = (bounds.low, bounds.high)
    return len({value_order(bound[0])[0] for bound in ends if bound is not None}) < 2


def filled(driver: Driver, make: Make, family: str, **declaration: Any) -> Shelf:
    """Each value three times, in partitions that are apart; two states; some not in the index."""
    things = make(["p", "s:int"], indexes=[BY_STATE, BY_TWO, BY_THREE], **declaration)
    values = FAMILIES[family]
    writes: list[Write] = []
    for i, value in enumerate(values[::-1]):
        for n, p in enumerate(("b", "a", "a\x00")):
            fields = {"state": "", "rank": value, "more": [3, 1, 2][n]}
            writes.append(put(things, (p, 100 * n - i), **fields))
        writes.append(put(things, ("other", i), state="x", rank=value, more="y"))
        writes.append(put(things, ("values", i), state=value, rank=0))
    writes += [
        put(things, ("out", 1), state=""),
        put(things, ("out", 2), state="", rank=[values[0]]),
        put(things, ("out", 3), state="", rank={"a": values[0]}, more=1),
        put(things, ("out", 4), state="", rank=frozenset()),
        put(things, ("out", 5), rank=values[0], more=1),
        put(things, ("out", 6), state=[""], rank=values[0]),
    ]
    fill(driver, writes)
    records = [write.fields for write in writes if write.fields is not None]
    encoded = driver.capabilities(things).indexes.empty["by_two"] is EmptyIndexed.ENCODED
    ordered = family != "mixed" or bool(declaration) or encoded  # in the order that all share
    return Shelf(driver, things, records, values, ordered)


@pytest.fixture(scope="module", params=FAMILIES)
def shelf(request: pytest.FixtureRequest, driver: Driver, make: Make) -> Shelf:
    return filled(driver, make, request.param)


@pytest.mark.rule("QRY-2", "QRY-3", "QRY-5", "DRV-5")
@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("index", [BY_STATE, BY_TWO, BY_THREE], ids=lambda index: index.name)
def test_an_index_in_its_order(shelf: Shelf, index: Index, descending: bool) -> None:
    for limit in (100, 4):
        shelf.check(QueryPlan(index, ("",), None, descending), limit)


@pytest.mark.rule("QRY-2", "QRY-3", "QRY-12", "VAL-2")
def test_each_value_is_found_and_no_other(shelf: Shelf) -> None:
    """As the first field, and as the second; it is a bound as any other, ``None`` too."""
    for value in shelf.values:
        shelf.check(QueryPlan(BY_STATE, (value,)))
        shelf.check(QueryPlan(BY_TWO, (value, 0)))
        shelf.check(QueryPlan(BY_TWO, ("", value), descending=True))
        shelf.check(QueryPlan(BY_THREE, ("", value), Above(1)), 2)
        for bounds in (From(value), Above(value), UpTo(value), Below(value)):
            shelf.check(QueryPlan(BY_TWO, ("",), bounds))


@pytest.mark.rule("QRY-2", "QRY-5", "QRY-12", "DRV-5")
def test_every_range_of_the_second_field(shelf: Shelf) -> None:
    value = st.sampled_from(shelf.values)
    bounds = st.one_of(
        st.none(),
        st.builds(From, value),
        st.builds(Above, value),
        st.builds(UpTo, value),
        st.builds(Below, value),
        st.builds(Between, value, value),
        st.builds(Range, st.tuples(value), st.tuples(value), st.booleans(), st.booleans()),
    )
    plans = st.builds(
        QueryPlan,
        st.sampled_from([BY_TWO, BY_THREE]),
        st.sampled_from([("",), ("x",)]),
        bounds.filter(lambda bounds: bounds is None or of_one_type(bounds)),
        st.booleans(),
    )

    @settings(max_examples=max(15, settings().max_examples // 2))
    @given(plans, st.sampled_from([1, 4, 100]))
    def check(plan: QueryPlan, limit: int) -> None:
        shelf.check(plan, limit)

    check()


@pytest.mark.rule("QRY-2", "QRY-5")
def test_a_query_goes_on_after_every_position(shelf: Shelf) -> None:
    """Also after a record that is not there any more, and with a range."""
    plan = QueryPlan(BY_TWO, ("",))
    places = [
        Position(shelf.key(record), ("", record["rank"]))
        for record in shelf.records
        if matches(BY_TWO, plan, record)
    ]
    if shelf.ordered:
        places += [Position(("a", 5000), ("", value)) for value in shelf.values[::2]]
    high = shelf.values[len(shelf.values) // 2]
    low = next(value for value in shelf.values if of_one_type(Range((value,), (high,))))
    for i, place in enumerate(places):
        bounds = None if i % 2 else Range((low,), (high,))
        if bounds is None or within(bounds, place.values[1]):
            shelf.check(QueryPlan(BY_TWO, ("",), bounds, descending=i % 3 == 0), 100, place)


@pytest.mark.rule("QRY-2", "VAL-2")
def test_values_that_look_alike_are_different_in_an_index(driver: Driver, make: Make) -> None:
    """To a collation, without regard to case or spaces at the end, and cut to a length."""
    things = make(indexes=[BY_STATE])
    values: list[Any] = ["a", "A", "a ", " a", "a\x00", "é", "e\u0301", "e", "ß", "ss", "1", "01"]
    values += ["x" * 600 + end for end in ("", "a", "b")]
    values += [value.encode() for value in values]
    fill(driver, [put(things, (f"k{n}",), state=value) for n, value in enumerate(values)])
    for n, value in enumerate(values):
        assert keys_of(driver, things, QueryPlan(BY_STATE, (value,))) == [(f"k{n}",)], value


ONLY = QueryPlan(BY_TWO, ("s",))


def keys_of(driver: Driver, things: Collection, plan: QueryPlan = ONLY) -> list[Key]:
    return [record.key for record in answer(driver, things, plan)]


@pytest.mark.rule("QRY-2", "QRY-3")
def test_records_enter_and_leave_their_indexes(
    driver: Driver, harness: Harness, make: Make
) -> None:
    """Each of several shows it under the values that it has, and under none that it had."""
    things = make(["p", "s:int"], indexes=[BY_STATE, BY_TWO, BY_RANK])
    key, other = ("p", 1), ("p", 2)
    written(driver, put(things, other, state="s", rank=5))
    plans: dict[bytes, QueryPlan] = {}
    records: list[dict[str, Any]] = [
        {"state": "s"}, {"state": "s", "rank": 1}, {"state": "s", "rank": [1]},
        {"state": "s", "rank": None}, {"state": "t", "rank": None}, {"state": "s", "rank": ""},
        {"rank": ""}, {"state": "s", "rank": Decimal(9)}, {},
    ]  # fmt: skip
    for fields in records:
        written(driver, put(things, key, **fields))
        harness.settle()
        inside = set()
        for index in things.indexes:
            values = [fields[name] for name in index.fields if name in fields]
            if len(values) == len(index.fields) and [1] not in values:
                place = canonical([index.name, values])
                plans[place] = QueryPlan(index, tuple(values))
                inside.add(place)
        for place, plan in plans.items():
            keys = [record.key for record in answer(driver, things, plan)]
            assert (key in keys) == (place in inside), (fields, plan)
        assert other in keys_of(driver, things)
        record = found(driver, things, key)
        assert record is not None
        assert record.fields == {"p": "p", "s": 1, **fields}


@pytest.mark.rule("QRY-8", "QRY-2")
@pytest.mark.parametrize("rank", [1, Decimal(1), ""], ids=["int", "decimal", "empty"])
def test_tombstones_and_deleted_records_are_in_no_index(
    driver: Driver, make: Make, rank: Any
) -> None:
    things = make(["p", "s:int"], indexes=[BY_STATE, BY_TWO])
    fill(driver, [put(things, ("p", n), stamp=n, state="s", rank=rank) for n in range(1, 5)])
    written(driver, tombstone(things, ("p", 2), stamp=9))
    written(driver, delete(things, ("p", 3)))
    for index in (BY_STATE, BY_TWO):
        assert keys_of(driver, things, QueryPlan(index, ("s",))) == [("p", 1), ("p", 4)]
    written(driver, put(things, ("p", 2), stamp=10, state="s", rank=rank))
    assert keys_of(driver, things) == [("p", 1), ("p", 2), ("p", 4)]


@pytest.mark.rule("QRY-2")
def test_an_index_of_key_fields(driver: Driver, make: Make) -> None:
    """Records of all partitions by a part of their key."""
    things = make(["p", "s:int"], indexes={"by_s": ["s", "p"]})
    fill(driver, [put(things, (p, n)) for n in (1, 2) for p in ("b", "a", "c")])
    plan = QueryPlan(things.index("by_s"), (1,))
    assert keys_of(driver, things, plan) == [("a", 1), ("b", 1), ("c", 1)]
    ranged = QueryPlan(things.index("by_s"), (2,), Above("a"), descending=True)
    assert keys_of(driver, things, ranged) == [("c", 2), ("b", 2)]


@pytest.mark.rule("DRV-19")
def test_an_index_that_another_process_makes(
    harness: Harness, driver: Driver, another: Driver, make: Make
) -> None:
    """Whoever had the collection open writes in each way, and asks."""
    bare = make()
    for one in (driver, another):
        written(one, put(bare, ("before",), state="other"))
    things = harness.placed(Collection(bare.name, ["id"], indexes=[BY_STATE]))
    driver.create(things)
    written(another, put(things, ("a",), state="s"))
    written(another, put(things, ("0",), state="s"))
    written(another, delete(bare, ("0",)))
    fill(another, [put(things, ("b",), NOTHING, state="s")])
    keys = [("a",), ("b",)]
    if another.capabilities(things).transactions.scope is not Scope.NONE:
        committed(another, [put(things, ("c",), state="s")])
        keys.append(("c",))
    harness.settle()
    assert keys_of(driver, things, QueryPlan(BY_STATE, ("s",))) == keys
    other = harness.placed(Collection(bare.name, ["id"], indexes=[BY_RANK]))
    another.create(other)
    written(driver, put(other, ("d",), rank=1))
    harness.settle()
    for one in (driver, another):
        assert one.describe(things).problems == ()
        assert keys_of(one, things, QueryPlan(BY_STATE, ("s",))) == keys
        assert keys_of(one, other, QueryPlan(other.indexes[0], (1,))) == [("d",)]
        assert found(one, things, ("before",)) is not None


@pytest.mark.rule("CAP-3", "QRY-3")
def test_the_claim_about_empty_values_holds(driver: Driver, make: Make) -> None:
    things = make(indexes=[BY_STATE])
    claim = driver.capabilities(things).indexes.empty
    assert claim["by_state"] in (EmptyIndexed.INDEXED, EmptyIndexed.ENCODED)
    fill(driver, [put(things, (f"k{i}",), state=v) for i, v in enumerate(("", None, b"", "x"))])
    for i, value in enumerate(("", None, b"")):
        assert keys_of(driver, things, QueryPlan(BY_STATE, (value,))) == [(f"k{i}",)]


@pytest.mark.rule("QRY-2", "DRV-1")
def test_an_index_gives_what_a_read_gives(driver: Driver, make: Make) -> None:
    things = make(indexes=[BY_TWO])
    write = put(things, ("k",), stamp=7, state="s", rank=Decimal("1.50"), more={"a": [None, 1.0]})
    written(driver, write)
    (record,) = answer(driver, things, ONLY)
    read = found(driver, things, ("k",))
    assert read is not None
    assert same(record.fields, read.fields)
    assert record.token == read.token
    assert (record.write_id, record.stamp) == (write.write_id, 7)
