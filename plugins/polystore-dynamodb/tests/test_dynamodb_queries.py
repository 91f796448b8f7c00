"""Queries and scans on DynamoDB Local; what a query must give, the reference driver says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from polystore.errors import CursorExpired
from polystore.queries import Position, QueryPlan, Range
from polystore.schema import Collection, Index
from polystore.values import GeoPoint, Ref
from polystore_dynamodb.driver import DynamoDBDriver
from polystore_dynamodb.settings import Settings
from polystore_engines import Engine

Made = Callable[..., Collection]
pytestmark = pytest.mark.engine

TEXTS = ["\x01", "a", "a\x00", "a\x01", "ab", "b", "é", "\U0001f600"]
INTS = [-(2**63), -5, 0, 3, 17, 2**63 - 1]
BYTES = [b"\x00", b"a", b"a\x00", b"ab", b"\xff"]
VALUES = [
    None, False, True, -3, 1, 1.0, Decimal(1), Decimal("1.0"), 2.5, float("inf"), "", "a", "a\x01",
    b"", b"a", datetime(2020, 1, 1, tzinfo=UTC), Ref("c", ("k",)), GeoPoint(1.0, 2.0),
]  # fmt: skip
PARTS: dict[str, list[Any]] = {"str": TEXTS, "int": INTS, "bytes": BYTES}
BOUNDS: dict[str, list[Any]] = {"str": [*TEXTS, ""], "int": INTS, "bytes": [*BYTES, b""]}
BY_STATE, BY_TWO = Index("by_state", ("state",)), Index("by_two", ("state", "rank"))
SHAPES: dict[str, list[str]] = {
    "native-str": ["p:str", "s:str"],
    "native-int": ["p:int", "s:int"],
    "native-bytes": ["p:bytes", "s:bytes"],
    "encoded": ["p:str", "s:int", "r:str"],
    "encoded-bytes": ["p:str", "s:bytes", "r:int"],
    "no-sort": ["p:str"],
}


@attrs.define
class Pair:
    """One collection with the same records in DynamoDB and in memory."""

    dynamodb: DynamoDBDriver
    memory: Driver
    collection: Collection

    def fill(self, records: list[dict[str, Any]]) -> None:
        names = self.collection.key_names
        writes = [
            Write(self.collection, tuple(r[n] for n in names), r, ANYTHING, f"w{i}")
            for i, r in enumerate(records)
        ]
        for start in range(0, len(writes), 100):
            self.dynamodb.write_many(writes[start : start + 100])
            self.memory.write_many(writes[start : start + 100])


@pytest.fixture(scope="session")
def opened(dynamodb_engine: Engine) -> Iterator[DynamoDBDriver]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in dynamodb_engine.env.items():
            patch.setenv(name, value)
        endpoint = f"http://127.0.0.1:{dynamodb_engine.port}"
        driver = DynamoDBDriver(Settings(region="us-east-1", endpoint=endpoint))
        driver.native()
        yield driver
        driver.close()


def pair(opened: DynamoDBDriver, collection: Collection) -> Pair:
    made = Pair(opened, MemoryDriver(Space()), collection)
    opened.create(collection)
    made.memory.create(collection)
    return made


@pytest.fixture(scope="session")
def shapes(opened: DynamoDBDriver) -> dict[str, Pair]:
    pairs = {}
    for name, key in SHAPES.items():
        collection = Collection(f"shape-{name}", key)
        pairs[name] = pair(opened, collection)
        parts = [PARTS[text.partition(":")[2]] for text in key]
        parts[0] = parts[0][:2]
        pairs[name].fill(
            [dict(zip(collection.key_names, key, strict=True)) for key in product(*parts)]
        )
    return pairs


@pytest.fixture(scope="session")
def indexed(opened: DynamoDBDriver) -> Pair:
    collection = Collection("indexed-things", ["p", "s:int"], indexes=[BY_STATE, BY_TWO])
    made = pair(opened, collection)
    ranks: list[Any] = [*VALUES, [1], {}]
    records: list[dict[str, Any]] = [
        {"p": "p", "s": i, "state": state, "rank": rank}
        for i, (state, rank) in enumerate(product(["", None, "a", 1.0], ranks))
    ]
    records += [{"p": "q", "s": i, "state": value} for i, value in enumerate(VALUES)]
    made.fill(records)
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


def agree(pair: Pair, plan: QueryPlan, limit: int) -> None:
    found = [
        [(record.key, record.fields) for record in pages(driver, pair.collection, plan, limit)]
        for driver in (pair.dynamodb, pair.memory)
    ]
    assert found[0] == found[1]


@st.composite
def ranges(draw: st.DrawFn, values: list[Any]) -> Range | None:
    low = draw(st.sampled_from([None, *((value,) for value in values)]))
    high = draw(st.sampled_from([None, *((value,) for value in values)]))
    return Range(low, high, draw(st.booleans()), draw(st.booleans()))


@pytest.mark.rule("QRY-1", "QRY-5", "KEY-3", "DRV-5")
@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=40)
@given(data=st.data())
def test_a_partition_in_key_order(shapes: dict[str, Pair], shape: str, data: st.DataObject) -> None:
    made = shapes[shape]
    kinds = [text.partition(":")[2] for text in SHAPES[shape]]
    width = data.draw(st.integers(1, len(kinds)))
    equals = tuple(data.draw(st.sampled_from(PARTS[kind])) for kind in kinds[:width])
    bounds = data.draw(ranges(BOUNDS[kinds[width]])) if width < len(kinds) else None
    plan = QueryPlan(None, equals, bounds, data.draw(st.booleans()))
    agree(made, plan, data.draw(st.sampled_from([1, 3, 100])))


@pytest.mark.rule("QRY-2", "QRY-3", "QRY-5")
@settings(max_examples=120)
@given(
    state=st.sampled_from(["", None, "a", 1.0, 1, "missing"]),
    bounds=ranges(VALUES),
    descending=st.booleans(),
    limit=st.sampled_from([1, 7, 100]),
)
def test_an_index_in_the_order_of_values(
    indexed: Pair, state: Any, bounds: Range, descending: bool, limit: int
) -> None:
    agree(indexed, QueryPlan(BY_TWO, (state,), bounds, descending), limit)


@pytest.mark.rule("QRY-2", "QRY-3")
@pytest.mark.parametrize("descending", [False, True])
def test_equal_values_under_an_index_are_in_key_order(indexed: Pair, descending: bool) -> None:
    for value in VALUES:
        agree(indexed, QueryPlan(BY_STATE, (value,), None, descending), 5)
        agree(indexed, QueryPlan(BY_TWO, ("", value), None, descending), 5)


@pytest.mark.rule("QRY-5")
def test_a_query_goes_on_after_a_record_that_is_gone(shapes: dict[str, Pair]) -> None:
    made = shapes["encoded"]
    plan = QueryPlan(None, ("\x01",))
    after = Position(("\x01", 4, "was never there"))
    page = made.dynamodb.query(made.collection, plan, after, 100)
    assert page.records == [] or page.records[0].key[1] == 17


@pytest.mark.rule("DRV-5", "DRV-6")
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("shape", ["native-str", "native-bytes", "encoded-bytes"])
def test_the_segments_of_a_scan_are_the_whole(
    shapes: dict[str, Pair], shape: str, count: int
) -> None:
    made = shapes[shape]
    keys = []
    for index in range(count):
        cursor = None
        while True:
            page = made.dynamodb.scan(made.collection, Segment(index, count), cursor, 7)
            keys += [record.key for record in page.records]
            cursor = page.cursor
            if cursor is None:
                break
    everything = made.memory.scan(made.collection, Segment(), None, 1000).records
    assert sorted(keys) == sorted(record.key for record in everything)


@pytest.mark.rule("QRY-6")
@pytest.mark.parametrize("cursor", ["", "null", "[]", "{}", '{"p":{"S":"x"}}', '{"p":"x"}'])
def test_what_is_no_cursor_of_the_scan(shapes: dict[str, Pair], cursor: str) -> None:
    made = shapes["native-bytes"]
    with pytest.raises(CursorExpired):
        made.dynamodb.scan(made.collection, Segment(), cursor, 7)


@pytest.mark.rule("QRY-8")
def test_a_tombstone_is_in_no_index(opened: DynamoDBDriver, indexed: Pair) -> None:
    key = ("r", 1)
    fields: dict[str, Any] = {"p": "r", "s": 1, "state": "dead", "rank": 1}
    opened.write(Write(indexed.collection, key, fields, ANYTHING, "w1", 1))
    plan = QueryPlan(BY_STATE, ("dead",))
    assert len(opened.query(indexed.collection, plan, None, 9).records) == 1
    opened.write(Write(indexed.collection, key, None, ANYTHING, "w2", 2))
    assert opened.query(indexed.collection, plan, None, 9).records == []
