"""Queries and scans on the Datastore stub; what a query must give, the reference driver says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polystore.driver import ANYTHING, Driver, Segment, Stored, Write
from polystore.drivers.memory.driver import MemoryDriver, Space
from polystore.errors import CursorExpired, InvalidKey
from polystore.queries import Between, Position, QueryPlan, Range
from polystore.schema import Collection, Index
from polystore.values import GeoPoint, Ref, same
from polystore_datastore.driver import DatastoreDriver
from polystore_datastore.messages import CommitRequest
from polystore_datastore.scans import SPLITS
from polystore_datastore.writes import make_atomic

Made = Callable[..., Collection]
pytestmark = pytest.mark.engine

TEXTS = ["", "\x00", "\x01", "__a__", "__a__\x00", "a", "a\x00", "a\x01", "ab", "é", "\U0001f600"]
INTS = [-(2**63), -5, 0, 3, 17, 2**63 - 1]
IDS = [1, 2, 17, 2**63 - 1]
BYTES = [b"", b"\x00", b"a", b"a\x00", b"ab", b"\xff"]
PARTS: dict[str, list[Any]] = {"str": TEXTS, "int": INTS, "bytes": BYTES, "id": IDS}
BY_STATE, BY_TWO = Index("by_state", ("state",)), Index("by_two", ("state", "rank"))
BY_THREE = Index("by_three", ("state", "rank", "third"))
SHAPES: dict[str, tuple[list[str], str | None]] = {
    "name": (["p:str"], None),
    "text": (["p:str", "s:int", "r:str"], None),
    "bytes": (["p:str", "s:bytes", "r:int"], None),
    "path": (["p:str", "s:str", "r:int"], "P/{p}/S/{s}/R/{r}"),
    "ids": (["p:int", "s:int"], "P2/{p}/S2/{s}"),
}
FAMILIES: dict[str, list[Any]] = {
    "numbers": [
        -3, 1, 1.0, Decimal(1), Decimal("1.0"), 2.5, Decimal("2.5"), 3, -0.0, 0.0, 0,
        float("inf"), float("-inf"), float("nan"), Decimal("1E+400"), 2**63 - 1, -(2**63),
    ],
    "texts": ["", "a", "a\x01", "ab", "b", "é", "\U0001f600"],
    "bytes": [b"", b"a", b"ab", b"\xff"],
    "moments": [datetime(1960, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)],
    "small": [None, False, True],
    "points": [GeoPoint(1.0, 2.0), GeoPoint(-0.0, 2.0), GeoPoint(0.0, -3.0)],
    "refs": [Ref("c", ("k",)), Ref("c", (5,)), Ref("c", (b"k",)), Ref("c", ("k", "l"))],
}  # fmt: skip
EVERY = [value for family in FAMILIES.values() for value in family]


@attrs.define
class Pair:
    """One collection with the same records in Datastore and in memory."""

    datastore: DatastoreDriver
    memory: Driver
    collection: Collection

    def fill(self, records: list[dict[str, Any]]) -> None:
        names = self.collection.key_names
        writes = [
            Write(self.collection, tuple(r[n] for n in names), r, ANYTHING, f"w{i}")
            for i, r in enumerate(records)
        ]
        for start in range(0, len(writes), 500):
            self.datastore.write_many(writes[start : start + 500])
            self.memory.write_many(writes[start : start + 500])


def pair(driver: DatastoreDriver, collection: Collection) -> Pair:
    made = Pair(driver, MemoryDriver(Space()), collection)
    made.memory.create(collection)
    return made


def parts_of(text: str, path: str | None) -> list[Any]:
    kind = text.partition(":")[2]
    return PARTS["id" if kind == "int" and path else kind]


@pytest.fixture(scope="session")
def shapes(driver: DatastoreDriver) -> dict[str, Pair]:
    pairs = {}
    for name, (key, path) in SHAPES.items():
        placements = {"datastore": {"path": path}} if path else {}
        collection = Collection(f"shape-{name}", key, placements=placements)
        pairs[name] = pair(driver, collection)
        parts = [parts_of(text, path) for text in key]
        parts[0] = parts[0] if len(parts) == 1 else parts[0][:2]
        pairs[name].fill([dict(zip(collection.key_names, k, strict=True)) for k in product(*parts)])
    return pairs


@pytest.fixture(scope="session")
def indexed(driver: DatastoreDriver) -> Pair:
    collection = Collection("indexed", ["p", "s:int"], indexes=[BY_STATE, BY_TWO, BY_THREE])
    made = pair(driver, collection)
    records: list[dict[str, Any]] = []
    for family, values in FAMILIES.items():
        for copy in range(2):
            records += [
                {"p": "p", "s": len(records) + n, "state": family, "rank": value, "third": copy}
                for n, value in enumerate(values)
            ]
    for value in [*EVERY, [1], {}, frozenset({1}), ["a", "b"]]:
        records.append({"p": "q", "s": len(records), "state": value})
        records.append({"p": "q", "s": len(records), "state": "mixed", "rank": value})
    made.fill(records)
    made.datastore.write(Write(collection, ("p", -1), None, write_id="t", stamp=1))
    return made


def pages(driver: Driver, collection: Collection, plan: QueryPlan, limit: int) -> list[Stored]:
    records: list[Stored] = []
    after: Position | None = None
    while True:
        page = driver.query(collection, plan, after, limit)
        assert len(page.records) <= limit
        records += page.records
        after = page.next
        if after is None:
            return records


def found(pair: Pair, plan: QueryPlan, limit: int) -> tuple[list[Stored], list[Stored]]:
    return (
        pages(pair.datastore, pair.collection, plan, limit),
        pages(pair.memory, pair.collection, plan, limit),
    )


def agree(pair: Pair, plan: QueryPlan, limit: int) -> None:
    here, there = found(pair, plan, limit)
    assert [r.key for r in here] == [r.key for r in there]
    assert all(same(one.fields, other.fields) for one, other in zip(here, there, strict=True))


def agree_by_type(pair: Pair, plan: QueryPlan, limit: int, field: str = "rank") -> None:
    """The same rows, and the same order of those whose values are of one type and one form."""
    is_native = pair.datastore._codec.is_native

    def by_type(records: list[Stored]) -> dict[Any, list[Any]]:
        groups: dict[Any, list[Any]] = {}
        for record in records:
            assert record.fields is not None
            value = record.fields[field]
            groups.setdefault((type(value), is_native(value)), []).append(record.key)
        return groups

    here, there = found(pair, plan, limit)
    assert by_type(here) == by_type(there)


@st.composite
def ranges(draw: st.DrawFn, values: list[Any]) -> Range | None:
    low = draw(st.sampled_from([None, *((value,) for value in values)]))
    high = draw(st.sampled_from([None, *((value,) for value in values)]))
    return Range(low, high, draw(st.booleans()), draw(st.booleans()))


@pytest.mark.rule("QRY-1", "QRY-5", "KEY-3", "DRV-5")
@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=60)
@given(data=st.data())
def test_a_partition_in_key_order(shapes: dict[str, Pair], shape: str, data: st.DataObject) -> None:
    made, (key, path) = shapes[shape], SHAPES[shape]
    width = data.draw(st.integers(1, len(key)))
    equals = tuple(data.draw(st.sampled_from(parts_of(text, path))) for text in key[:width])
    bounds = None
    if width < len(key):
        values = PARTS[key[width].partition(":")[2]]
        bounds = data.draw(ranges(values))
    plan = QueryPlan(None, equals, bounds, data.draw(st.booleans()))
    agree(made, plan, data.draw(st.sampled_from([1, 3, 100])))


@pytest.mark.rule("QRY-2", "QRY-3", "QRY-5")
@settings(max_examples=150)
@given(data=st.data(), descending=st.booleans(), limit=st.sampled_from([1, 4, 100]))
@pytest.mark.parametrize("index", [BY_TWO, BY_THREE])
def test_an_index_in_the_order_of_values(
    indexed: Pair, index: Index, data: st.DataObject, descending: bool, limit: int
) -> None:
    family = data.draw(st.sampled_from(sorted(FAMILIES)))
    bounds = data.draw(ranges(FAMILIES[family]))
    agree_by_type(indexed, QueryPlan(index, (family,), bounds, descending), limit)


@pytest.mark.rule("QRY-2")
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("family", ["texts", "bytes", "moments", "small"])
def test_values_of_one_form_are_in_one_order(indexed: Pair, family: str, descending: bool) -> None:
    for limit in (1, 3, 50):
        agree(indexed, QueryPlan(BY_THREE, (family,), None, descending), limit)


@pytest.mark.rule("QRY-2", "QRY-3")
@pytest.mark.parametrize("descending", [False, True])
def test_equal_values_under_an_index_are_in_key_order(indexed: Pair, descending: bool) -> None:
    for value in EVERY:
        agree(indexed, QueryPlan(BY_STATE, (value,), None, descending), 5)
    for family, values in FAMILIES.items():
        for value in values:
            agree(indexed, QueryPlan(BY_TWO, (family, value), None, descending), 1)
            agree(indexed, QueryPlan(BY_THREE, (family, value), None, descending), 1)


@pytest.mark.rule("QRY-2", "QRY-5")
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 200])
def test_values_of_every_type_are_found_once(indexed: Pair, descending: bool, limit: int) -> None:
    agree_by_type(indexed, QueryPlan(BY_TWO, ("mixed",), None, descending), limit)


@pytest.mark.rule("QRY-5")
def test_a_query_goes_on_after_a_record_that_is_gone(shapes: dict[str, Pair]) -> None:
    made = shapes["text"]
    page = made.datastore.query(
        made.collection, QueryPlan(None, ("",)), Position(("", 4, "was never there")), 100
    )
    assert page.records[0].key[1] == 17


def test_a_text_prefix_is_a_range_of_the_last_part(made: Made, driver: DatastoreDriver) -> None:
    control = made(["group:str", "item:str"])
    items = ["control", "member/a", "member/b", "memory", "slots"]
    for item in items:
        driver.write(Write(control, ("g", item), {"group": "g", "item": item}))
    plan = QueryPlan(None, ("g",), Between("member/", "member/\U0010ffff"))
    assert [r.key[1] for r in pages(driver, control, plan, 1)] == ["member/a", "member/b"]


def scanned(driver: Driver, collection: Collection, count: int, limit: int) -> list[Any]:
    keys = []
    for index in range(count):
        cursor = None
        while True:
            page = driver.scan(collection, Segment(index, count), cursor, limit)
            keys += [record.key for record in page.records]
            cursor = page.cursor
            if cursor is None:
                break
    return keys


@pytest.mark.rule("DRV-5", "DRV-6")
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_segments_of_a_scan_are_the_whole(
    shapes: dict[str, Pair], shape: str, count: int
) -> None:
    made = shapes[shape]
    keys = scanned(made.datastore, made.collection, count, 7)
    assert len(keys) == len(set(keys))
    assert set(keys) == set(scanned(made.memory, made.collection, 1, 1000))


@pytest.mark.rule("DRV-6")
def test_segments_stay_what_they_are_while_the_collection_grows(
    driver: DatastoreDriver, made: Made, opened: Callable[..., DatastoreDriver]
) -> None:
    things = made(["id:int"])

    def fill(start: int, stop: int) -> None:
        for at in range(start, stop, 500):
            driver.write_many([Write(things, (n,), {"id": n}) for n in range(at, at + 500)])

    fill(0, 3000)
    first = driver.scan(things, Segment(0, 4), None, 1000)
    assert 0 < len(first.records) < 1000
    before = {record.key for record in first.records}
    fill(-2000, 0)
    fill(3000, 4000)
    rest = scanned(opened(), things, 4, 1000)
    assert set(rest) >= {(n,) for n in range(3000)}
    assert len(rest) == len(set(rest)) == 6000
    assert before <= set(rest)


@pytest.mark.rule("QRY-8")
def test_a_scan_shows_tombstones(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    driver.write(Write(things, ("dead",), None, write_id="t", stamp=1))
    (record,) = driver.scan(things, Segment(), None, 10).records
    assert (record.fields, record.stamp) == (None, 1)


@pytest.mark.rule("DRV-14")
def test_an_entity_with_a_number_in_place_of_a_name_hides_no_other(
    driver: DatastoreDriver, made: Made
) -> None:
    things = made()
    driver.write(Write(things, ("a",), {things.key_names[0]: "a"}))
    place = driver._place(things)
    request = driver._connection.request(CommitRequest)
    make_atomic(request)
    place.fill_path(request.mutations.add().upsert.key, [(place.kind, 5)])
    driver._connection.commit(request)
    page = driver.scan(things, Segment(), None, 10)
    assert [record.key for record in page.records] == [("a",)]
    assert [(u.key, type(u.error)) for u in page.unreadable] == [((5,), InvalidKey)]


@pytest.mark.rule("QRY-6")
@pytest.mark.parametrize("cursor", ["", "nonsense", "[]", "{}", '[["other",1]]', "[1]", "null"])
def test_what_is_no_cursor_is_refused(driver: DatastoreDriver, made: Made, cursor: str) -> None:
    with pytest.raises(CursorExpired):
        driver.scan(made(), Segment(), cursor, 10)


def test_entities_on_another_path_are_left_alone(driver: DatastoreDriver) -> None:
    inner = Collection(
        "inner", ["a", "b"], placements={"datastore": {"path": "Outer9/{a}/Inner9/{b}"}}
    )
    plain = Collection("plain", ["id"], placements={"datastore": {"kind": "Inner9"}})
    driver.write(Write(inner, ("x", "y"), {"a": "x", "b": "y"}))
    assert scanned(driver, plain, 1, 10) == []
    assert "another path" in driver.describe(plain).problems[0]
    driver.write(Write(plain, ("z",), {"id": "z"}))
    assert scanned(driver, plain, 1, 10) == [("z",)]
    driver.drop(plain)
    assert scanned(driver, inner, 1, 10) == [("x", "y")]
    driver.drop(inner)


def test_drop_removes_what_was_kept_about_scans(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    driver.scan(things, Segment(0, 2), None, 10)
    kept = Collection("kept", ["id"], placements={"datastore": {"kind": SPLITS}})
    assert any(key[0].endswith(things.name) for key in scanned(driver, kept, 1, 100))
    driver.drop(things)
    assert not any(key[0].endswith(things.name) for key in scanned(driver, kept, 1, 100))
