"""Limits: against botocore's model, and at the limit and one over it on DynamoDB Local."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polystore.capabilities import EmptyKey
from polystore.driver import NOTHING, Check, Committed, Sizes, Write, Written
from polystore.errors import LimitExceeded, PolystoreError
from polystore.schema import Collection, Index
from polystore.testing import strategies as portable
from polystore.values import GeoPoint, Ref
from polystore_dynamodb import bulk, limits
from polystore_dynamodb.codec import encode_fields
from polystore_dynamodb.driver import DynamoDBDriver
from polystore_dynamodb.limits import capabilities_of
from polystore_dynamodb.placement import table_of
from polystore_dynamodb.sizes import number_size, sent_size

Made = Callable[..., Collection]


@pytest.fixture(scope="module")
def model() -> Any:
    return botocore.session.Session().get_service_model("dynamodb")


def members(model: Any, operation: str, *path: str) -> int:
    """The most members of a list or map in botocore's model of an operation's input."""
    shape = model.operation_model(operation).input_shape
    for name in path:
        shape = shape.value if name == "*" else shape.members[name]
    return int(shape.metadata["max"])


@pytest.mark.rule("CAP-7")
def test_numbers_that_the_sdk_knows(model: Any) -> None:
    transaction = members(model, "TransactWriteItems", "TransactItems")
    read = members(model, "BatchGetItem", "RequestItems", "*", "Keys")
    write = members(model, "BatchWriteItem", "RequestItems", "*")
    assert limits.TRANSACTION_ITEMS.most == limits.WRITE_ITEMS.most == transaction
    assert limits.READ_KEYS.most == read
    assert write == limits.BATCH_WRITE


@pytest.mark.parametrize(
    ("key", "empty"),
    [
        (["a"], EmptyKey.REJECTED),
        (["a:bytes"], EmptyKey.REJECTED),
        (["a:int"], EmptyKey.HELD),
        (["a:int", "b:str"], EmptyKey.REJECTED),
        (["a:int", "b:str", "c:str"], EmptyKey.HELD),
    ],
)
def test_empty_keys_are_held_where_they_are_encoded(key: list[str], empty: EmptyKey) -> None:
    assert capabilities_of(table_of(Collection("things", key), "")).keys.empty is empty


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 1), ("1", 2), ("12", 2), ("100", 2), ("123", 3), ("1.5", 3), ("100.5", 4), ("0.1", 2),
        ("0.012", 3), ("-1", 3), ("1e125", 2), ("1E-130", 2), ("1" * 38, 20), ("1." + "1" * 37, 21),
        ("1230", 3), ("1200", 2), ("-0.5", 3), ("1.50", 3),
    ],
)  # fmt: skip
def test_the_size_of_a_number(text: str, size: int) -> None:
    """Each was measured on DynamoDB Local 3.3.0."""
    assert number_size(text) == size


VALUES: dict[str, Any] = {
    "é": "naïve ☃",
    "n": [0, -17, 123456, 2**63 - 1],
    "f": [1.5, 1e-7, 3.0],
    "far": [float("nan"), 1e300],
    "d": Decimal("1.10"),
    "at": datetime(2024, 2, 29, 12, 0, 0, 17, tzinfo=UTC),
    "b": b"\x00\xff",
    "none": None,
    "yes": True,
    "m": {"": {"a": []}, "k": {}},
    "sets": [frozenset({"a", "é"}), frozenset({1, 10, -5}), frozenset({b"x"}), frozenset()],
    "geo": GeoPoint(1.0, -2.5),
    "ref": Ref("other", ("a", 7)),
    "state": "",
}


def padded(write: Write, size: int, measured: int) -> Write:
    assert write.fields is not None
    padding = "x" * (size - measured - len("pad"))
    return attrs.evolve(write, fields={**write.fields, "pad": padding})


@pytest.mark.engine
@pytest.mark.rule("CAP-4")
def test_the_size_of_an_item_is_what_dynamodb_counts(driver: DynamoDBDriver, made: Made) -> None:
    things = made(["id", "a:int", "b:bytes"], indexes=[Index("by_state", ("state",))])
    key = ("k", -3, b"")
    fields = {"id": "k", "a": -3, "b": b"", **VALUES}
    write = Write(things, key, fields, write_id="m1.s2.3", stamp=2**40 + 1)
    small = driver.measure(write)
    largest = padded(write, 409_600, small.record)
    assert driver.measure(largest).record == 409_600
    assert isinstance(driver.write(largest), Written)
    over = padded(write, 409_601, small.record)
    with pytest.raises(Exception, match="size") as refused:
        driver.write(over)
    error = driver.translate(refused.value)
    assert isinstance(error, LimitExceeded)
    assert error.limit == 409_600


numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100),
    st.decimals(-(10**20), 10**20, places=7),
)


@pytest.mark.engine
@pytest.mark.rule("CAP-4")
def test_the_size_of_many_numbers_is_what_dynamodb_counts(
    driver: DynamoDBDriver, made: Made
) -> None:
    things = made()

    @settings(max_examples=30, deadline=None)
    @given(st.lists(numbers, min_size=10, max_size=30))
    def exact(values: list[Any]) -> None:
        write = Write(things, ("k",), {"id": "k", "n": values})
        measured = driver.measure(write).record
        assert isinstance(driver.write(padded(write, 409_600, measured)), Written)
        with pytest.raises(Exception, match="size"):
            driver.write(padded(write, 409_601, measured))

    exact()


@pytest.mark.rule("CAP-9")
@given(portable.values())
def test_what_is_sent_is_no_larger_than_is_thought(value: Any) -> None:
    item = encode_fields({"f": value}, {})
    sent = len(json.dumps(item, default=lambda raw: b64encode(raw).decode()))
    assert sent <= sent_size({"M": item}) <= 4 * sent + 40


@pytest.mark.engine
@pytest.mark.rule("CAP-9", "DRV-4")
def test_a_batch_is_split_where_its_request_would_be_too_large(
    driver: DynamoDBDriver, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB answers 413 to over 16 MiB, which 25 items of 120,000 bytes can be in JSON."""
    things = made()
    monkeypatch.setattr(bulk, "REQUEST", attrs.evolve(limits.REQUEST, most=bulk.SPARE + 100_000))
    call, asked = driver._connection.call, []

    def counted(operation: str, **request: Any) -> Any:
        asked.append((operation, len(request["RequestItems"][things.name])))
        return call(operation, **request)

    writes = [
        Write(things, (f"k{i}",), {"id": f"k{i}", "l": [None] * 2000}, write_id=f"w{i}")
        for i in range(10)
    ]
    with monkeypatch.context() as patch:
        patch.setattr(driver._connection, "call", counted)
        assert all(isinstance(outcome, Written) for outcome in driver.write_many(writes))
    assert {operation for operation, _ in asked} == {"batch_write_item"}
    assert sum(width for _, width in asked) == 10
    assert max(width for _, width in asked) == 2  # of 36,000 bytes each


@pytest.mark.engine
@pytest.mark.rule("CAP-4")
@pytest.mark.parametrize("leaf", ["x", 1.5, GeoPoint(1.0, 2.0), frozenset(), Ref("c", ("k",))])
def test_31_levels(driver: DynamoDBDriver, made: Made, leaf: Any) -> None:
    things = made()
    deepest = leaf
    for _ in range(31):
        deepest = {"a": deepest}
    assert isinstance(driver.write(Write(things, ("k",), {"id": "k", "d": deepest})), Written)
    with pytest.raises(Exception, match="Nesting") as refused:
        driver.write(Write(things, ("k",), {"id": "k", "d": [deepest]}))
    assert isinstance(driver.translate(refused.value), LimitExceeded)


@pytest.mark.engine
@pytest.mark.rule("CAP-4", "KEY-5")
@pytest.mark.parametrize("shape", [["p", "s"], ["p:bytes", "s:bytes"], ["p", "s", "t"]])
def test_keys_at_their_limits(driver: DynamoDBDriver, made: Made, shape: list[str]) -> None:
    things = made(shape)
    unit: Any = b"x" if "bytes" in shape[0] else "x"
    rest = ("",) if len(shape) == 3 else ()
    encoded = 4 if rest else 0

    def attempt(partition: int, sort: int) -> Sizes:
        key = (unit * partition, unit * (sort - encoded), *rest)
        write = Write(things, key, dict(zip(things.key_names, key, strict=True)))
        sizes = driver.measure(write)
        driver.write(write)
        return sizes

    found = attempt(2048, 1024)
    assert (found.partition, found.sort) == (2048, 1024)
    for partition, sort in ((2049, 1024), (2048, 1025)):
        with pytest.raises(Exception, match=r"(?i)size|under") as refused:
            attempt(partition, sort)
        assert isinstance(driver.translate(refused.value), LimitExceeded)


@pytest.mark.engine
@pytest.mark.rule("CAP-4")
def test_an_indexed_value_at_its_limit(driver: DynamoDBDriver, made: Made) -> None:
    things = made(indexes=[Index("by_two", ("state", "rank"))])

    def attempt(size: int) -> Sizes:
        fields: dict[str, Any] = {"id": "k", "state": "s", "rank": "x" * (size - 5)}
        write = Write(things, ("k",), fields)
        sizes = driver.measure(write)
        driver.write(write)
        return sizes

    assert attempt(1024).rest == 1024
    with pytest.raises(Exception, match=r"(?i)size|under") as refused:
        attempt(1025)
    assert isinstance(driver.translate(refused.value), LimitExceeded)


@pytest.mark.engine
@pytest.mark.rule("CAP-4", "KEY-5")
@pytest.mark.parametrize("key", [("",), (b"",)])
def test_an_empty_native_key_is_refused(
    driver: DynamoDBDriver, made: Made, key: tuple[Any, ...]
) -> None:
    things = made([f"id:{type(key[0]).__name__}"])
    with pytest.raises(Exception, match="empty") as refused:
        driver.write(Write(things, key, {"id": key[0]}))
    assert isinstance(driver.translate(refused.value), PolystoreError)


@pytest.mark.engine
@pytest.mark.rule("CAP-4", "TX-3")
def test_101_records_in_a_commit(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    checks = [Check(things, (f"k{i:03}",), NOTHING) for i in range(101)]
    assert isinstance(driver.commit([], checks[:100]), Committed)
    with pytest.raises(Exception, match="100") as refused:
        driver.commit([], checks)
    assert isinstance(driver.translate(refused.value), PolystoreError)
