"""Native indexes of DynamoDB: queried as they are, in the portable order; what cannot be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polystore.capabilities import EmptyIndexed
from polystore.driver import ANYTHING, Driver, Stored, Write
from polystore.drivers.memory.driver import MemoryDriver, Space
from polystore.errors import ConfigError
from polystore.queries import Position, QueryPlan, Range
from polystore.schema import Collection, Index
from polystore.values import same
from polystore_dynamodb.driver import DynamoDBDriver
from polystore_dynamodb.placement import table_of

Legacy = Callable[..., Collection]
pytestmark = pytest.mark.engine

NOON = datetime(2020, 2, 29, 12, tzinfo=UTC)
NATIVE = {"by_state": "native", "by_rank": "native", "by_number": "native"}
INDEXES = [
    Index("by_state", ["state:str"]),
    Index("by_rank", ["state:str", "rank:number", "at:datetime"]),
    Index("by_number", ["order", "customer"]),
]
STATES = ["open", "paid", "é"]
RANKS = [-1, 0, 0.0, Decimal("0.0"), 1, 1.0, Decimal(1), Decimal("1.50"), 1.5, 2**60, 1e-9]

_numbers = count()


def attribute(name: str, kind: str) -> dict[str, str]:
    return {"AttributeName": name, "AttributeType": kind}


def index(name: str, *keys: str, projection: str = "ALL") -> dict[str, Any]:
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": key, "KeyType": "RANGE" if i else "HASH"}
            for i, key in enumerate(keys)
        ],
        "Projection": {"ProjectionType": projection},
    }


@pytest.fixture
def legacy(driver: DynamoDBDriver) -> Iterator[Legacy]:
    """Takes over a table that another program has made with indexes of its own."""
    tables = []

    def taken(
        *, projection: str = "ALL", indexes: Any = INDEXES, local: Any = (), **placement: Any
    ) -> Collection:
        name = f"legacy{next(_numbers)}"
        driver.native().create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=index("", "CustomerId", "OrderNo")["KeySchema"],
            AttributeDefinitions=[
                attribute("CustomerId", "S"), attribute("OrderNo", "N"), attribute("state", "S"),
                attribute("rank", "N"), attribute("at", "N"),
            ],
            GlobalSecondaryIndexes=[
                index("StateIndex", "state", projection=projection),
                index("RankIndex", "state", "rank", "at", projection=projection),
                index("by_number", "OrderNo", "CustomerId", projection=projection),
            ],
            **({"LocalSecondaryIndexes": list(local)} if local else {}),
        )  # fmt: skip
        tables.append(name)
        placement = {
            "table": name, "hash": "CustomerId", "range": "OrderNo", "policy": NATIVE,
            "gsi": {"by_state": "StateIndex", "by_rank": "RankIndex"}, **placement,
        }  # fmt: skip
        return Collection(
            name, ["customer", "order:int"], indexes=indexes, placements={"dynamodb": placement}
        )

    yield taken
    for name in tables:
        driver.native().delete_table(TableName=name)


def filled(driver: Driver, things: Collection) -> tuple[Driver, list[dict[str, Any]]]:
    """The same records there and in memory, half of them written by another program."""
    memory = MemoryDriver(Space())
    memory.create(Collection(things.name, things.key, indexes=things.indexes))
    records: list[dict[str, Any]] = []
    for n, rank in enumerate(RANKS * 2):
        moment = NOON + timedelta(seconds=n % 2)
        records.append({
            "customer": f"c{n % 4}", "order": n, "state": STATES[n % 3], "rank": rank, "at": moment,
            "note": n,
        })  # fmt: skip
    records += [
        {"customer": "d", "order": 1, "state": "open"},
        {"customer": "d", "order": 2, "state": "open", "rank": 1},
        {"customer": "d", "order": 3, "rank": 1, "at": NOON},
    ]
    writes = [
        Write(things, (r["customer"], r["order"]), r, ANYTHING, f"w{i}")
        for i, r in enumerate(records)
    ]
    driver.write_many(writes)
    memory.write_many(writes)
    driver.write(Write(things, ("c0", 900), None, write_id="t", stamp=1))
    return memory, records


def pages(driver: Driver, things: Collection, plan: QueryPlan, limit: int) -> list[Stored]:
    records: list[Stored] = []
    after: Position | None = None
    while True:
        page = driver.query(things, plan, after, limit)
        assert len(page.records) <= limit
        records += page.records
        after = page.next
        if after is None:
            return records


def agree(one: Driver, other: Driver, things: Collection, plan: QueryPlan, limit: int) -> None:
    here, there = (pages(driver, things, plan, limit) for driver in (one, other))
    assert [r.key for r in here] == [r.key for r in there]
    assert all(map(same, [r.fields for r in here], [r.fields for r in there]))


@pytest.mark.rule("QRY-11", "QRY-2", "QRY-5", "DRV-9")
@pytest.mark.parametrize("projection", ["ALL", "KEYS_ONLY"])
def test_a_native_index_answers_as_every_index_does(
    driver: DynamoDBDriver, legacy: Legacy, projection: str
) -> None:
    """Ties too, which DynamoDB does not order; what the tie-breaker is, memory says."""
    short = {"keys_only": ["by_state", "by_rank", "by_number"]} if projection != "ALL" else {}
    things = legacy(projection=projection, **short)
    assert driver.describe(things).problems == ()
    memory, _ = filled(driver, things)
    by_state, by_rank, by_number = things.indexes
    for descending in (False, True):
        for limit in (2, 100):
            agree(driver, memory, things, QueryPlan(by_state, ("open",), None, descending), limit)
            agree(driver, memory, things, QueryPlan(by_rank, ("open",), None, descending), limit)
        for rank in RANKS[1:6]:
            agree(driver, memory, things, QueryPlan(by_rank, ("paid", rank), None, descending), 2)
        agree(driver, memory, things, QueryPlan(by_number, (2,), None, descending), 2)
    if short:
        return
    odd = [None, "", float("nan"), float("inf"), float("-inf"), -0.0, 1e-200, -1e-200, 1e300, NOON]
    bound = st.none() | st.tuples(st.sampled_from([*RANKS, *odd]))
    ranges = st.builds(Range, bound, bound, st.booleans(), st.booleans()).filter(is_of_one_type)
    plans = st.builds(QueryPlan, st.just(by_rank), st.just(("open",)), ranges, st.booleans())

    @settings(max_examples=20, deadline=None)
    @given(plans, st.sampled_from([4, 100]))
    def check(plan: QueryPlan, limit: int) -> None:
        if is_of_numbers(plan.range):
            agree(driver, memory, things, plan, limit)
        else:
            assert pages(driver, things, plan, limit) == []

    check()


def is_of_one_type(bounds: Range) -> bool:
    ends = [bound[0] for bound in (bounds.low, bounds.high) if bound]
    return len({int if type(end) in (float, Decimal) else type(end) for end in ends}) < 2


def is_of_numbers(bounds: Range | None) -> bool:
    ends = [bound[0] for bound in (bounds.low, bounds.high) if bound] if bounds else []
    return all(type(end) in (int, float, Decimal) for end in ends)


@pytest.mark.rule("QRY-5")
def test_a_query_goes_on_after_a_position_that_came_from_elsewhere(
    driver: DynamoDBDriver, legacy: Legacy
) -> None:
    """Also one whose record, or whose values, cannot be in the index."""
    things = legacy()
    memory, records = filled(driver, things)
    odd = [None, "", "x", float("nan"), float("-inf"), -0.0, 1e-200, -1e-200, 1e300, NOON]
    places = [Position(("c1", 2), ("open", rank, NOON)) for rank in [*RANKS, *odd]]
    places += [
        Position((r["customer"], r["order"]), ("open", r["rank"], r["at"]))
        for r in records
        if r.get("state") == "open" and "at" in r
    ]
    for place in places:
        for descending in (False, True):
            plan = QueryPlan(things.indexes[1], ("open",), None, descending)
            here, there = (d.query(things, plan, place, 100).records for d in (driver, memory))
            assert [r.key for r in here] == [r.key for r in there], place


@pytest.mark.rule("QRY-11", "VAL-10")
def test_a_native_index_finds_what_polystore_never_wrote(
    driver: DynamoDBDriver, legacy: Legacy
) -> None:
    things = legacy()
    for number, rank in enumerate(["1.5", "1", "20"]):
        item = {
            "CustomerId": {"S": "c"}, "OrderNo": {"N": str(number)}, "state": {"S": "open"},
            "rank": {"N": rank},
        }  # fmt: skip
        driver.native().put_item(TableName=things.name, Item=item)
    plan = QueryPlan(things.indexes[0], ("open",))
    assert [r.key for r in pages(driver, things, plan, 2)] == [("c", 0), ("c", 1), ("c", 2)]


@pytest.mark.rule("QRY-11", "CAP-3")
def test_what_dynamodb_would_refuse_is_what_the_descriptor_rejects(
    driver: DynamoDBDriver, legacy: Legacy
) -> None:
    """The database really refuses the whole write: so the core has to, before it."""
    things = legacy()
    claims = driver.capabilities(things).indexes.empty
    assert set(claims.values()) == {EmptyIndexed.REJECTED}
    for fields in ({"state": ""}, {"state": None}, {"state": 1}, {"rank": "x"}, {"rank": None}):
        record: dict[str, Any] = {"customer": "c", "order": 1, **fields}
        with pytest.raises(Exception, match="ValidationException"):
            driver.write(Write(things, ("c", 1), record, ANYTHING, "w"))


@pytest.mark.rule("DRV-9", "PLC-6")
def test_describe_says_what_differs_from_the_policies(
    driver: DynamoDBDriver, legacy: Legacy
) -> None:
    state = Index("by_state", ["state:str"])
    native = {"by_state": "native"}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"gsi": {"by_state": "NoIndex"}, "indexes": INDEXES}, "index 'NoIndex' .* is not there"),
        ({"indexes": [state], "policy": native, "gsi": {}}, "'StateIndex' over state .* declared"),
        (
            {"indexes": [Index("by_state", ["state:bytes"]), *INDEXES[1:]]},
            r"has the key state \(S\), and polystore needs state \(B\); declare its fields",
        ),
        ({"projection": "KEYS_ONLY"}, "or name 'by_state' in keys_only"),
        (
            {"local": [index("LocalNote", "CustomerId", "at")]},
            "'LocalNote' over CustomerId .* not declared",
        ),
    ]
    for placement, message in cases:
        problems = driver.describe(legacy(**placement)).problems
        assert re.search(message, " | ".join(problems)), problems


@pytest.mark.rule("PLC-6", "ERR-5")
@pytest.mark.parametrize(
    ("fields", "placement", "message"),
    [
        (["a"], {"policy": {"by": "native"}}, "needs the type of its field 'a'"),
        (["a:bool"], {"policy": {"by": "native"}}, "one of str, bytes, number, datetime"),
        ([f"f{i}:str" for i in range(6)], {"policy": {"by": "native"}}, "at most 4 range"),
        (["a"], {"gsi": {"by": "X"}}, "policy native .there are: none."),
        (["a"], {"keys_only": ["by"], "policy": {"by": "omit"}}, "policy native"),
        (["a:str"], {"gsi": "X", "policy": {"by": "native"}}, "gsi is a table"),
        (["a:str"], {"keys_only": "by", "policy": {"by": "native"}}, "keys_only is a list"),
    ],
)
def test_a_policy_that_dynamodb_cannot_keep_is_refused(
    fields: list[str], placement: dict[str, Any], message: str
) -> None:
    things = Collection("t", ["id"], indexes={"by": fields}, placements={"dynamodb": placement})
    with pytest.raises(ConfigError, match=message):
        table_of(things, "")
