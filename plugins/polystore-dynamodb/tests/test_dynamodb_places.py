"""URLs, placements, tables that are made, and tables that were there before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import attrs
import pytest

from polystore.driver import (
    ANYTHING,
    NOTHING,
    Consistency,
    Refused,
    Segment,
    Unchanged,
    Write,
    Written,
)
from polystore.errors import ConfigError
from polystore.plugin.specs import DriverURL
from polystore.queries import QueryPlan
from polystore.schema import Collection, Index
from polystore_dynamodb.driver import DynamoDBDriver, open_dynamodb
from polystore_dynamodb.placement import table_of
from polystore_dynamodb.settings import Settings, settings_of

Made = Callable[..., Collection]


def url(place: str = "eu-central-1", **options: str) -> DriverURL:
    return DriverURL("dynamodb", place, options)


@pytest.mark.rule("PLG-1")
def test_listing_the_driver_imports_no_sdk() -> None:
    code = (
        "import sys, polystore_dynamodb.plugin as p; (s,) = p.polystore_register_drivers();"
        "assert s.name == 'dynamodb'; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_url_with_every_option() -> None:
    given = url(
        endpoint="https://db.example",
        prefix="app_",
        bulk="transaction",
        timeout="2.5",
        wire="lean",
    )
    assert settings_of(given) == Settings(
        region="eu-central-1",
        endpoint="https://db.example",
        prefix="app_",
        bulk="transaction",
        timeout=2.5,
        wire="lean",
    )


def test_a_url_without_options() -> None:
    assert settings_of(url("")) == Settings()


@pytest.mark.rule("ERR-5", "SEC-2")
@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("key:s3cr3t@eu-central-1", {}),
        ("eu-central-1", {"aws_secret_access_key": "s3cr3t"}),
        ("eu-central-1", {"endpoint": "https://user:s3cr3t@db.example"}),
        ("eu-central-1", {"endpoint": "http://db.example:8000"}),
        ("eu-central-1", {"endpoint": "ftp://127.0.0.1"}),
        ("eu-central-1", {"endpoint": "127.0.0.1:8000"}),
        ("eu-central-1", {"endpoint": "http://127.0.0.1:port"}),
        ("eu-central-1", {"insecure": "perhaps"}),
        ("eu-central-1", {"bulk": "none"}),
        ("eu-central-1", {"wire": "http"}),
        ("eu-central-1", {"timeout": "0"}),
        ("eu-central-1", {"timeout": "nan"}),
        ("eu-central-1", {"timeout": "long"}),
        ("eu-central-1", {"prefix": "a/b"}),
        ("eu-central-1", {"retries": "3"}),
        ("Frankfurt!", {}),
    ],
)
def test_a_wrong_url_is_refused(place: str, options: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as refused:
        settings_of(url(place, **options))
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_plain_text_is_for_this_machine(endpoint: str) -> None:
    assert settings_of(url(endpoint=endpoint)).endpoint == endpoint
    trusted = url(endpoint="http://db.example:8000", insecure="yes")
    assert settings_of(trusted).endpoint == "http://db.example:8000"


def test_opening_calls_nobody() -> None:
    driver = open_dynamodb(url(endpoint="http://127.0.0.1:9"))
    assert repr(driver) == "<DynamoDBDriver on http://127.0.0.1:9>"
    driver.close()


@pytest.mark.rule("PLC-5", "ERR-5")
@pytest.mark.parametrize(
    ("key", "placement"),
    [
        (["a"], {"tables": "x"}),
        (["a"], {"table": "a/b"}),
        (["a"], {"table": "ab"}),
        (["a"], {"table": 7}),
        (["a"], {"range": "r"}),
        (["a", "b"], {"hash": "same", "range": "same"}),
        (["a"], {"hash": ""}),
        (["a"], {"hash": "x" * 256}),
        (["a"], {"hash": "_ps_w"}),
    ],
)
def test_a_wrong_placement_is_refused(key: list[str], placement: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigError, match="collection things"):
        table_of(Collection("things", key, placements={"dynamodb": placement}), "")


def test_21_indexes_are_refused() -> None:
    indexes = [Index(f"by_{i}", ("a",)) for i in range(21)]
    with pytest.raises(ConfigError, match="20"):
        table_of(Collection("things", ["id"], indexes=indexes), "")


def test_names_of_tables_and_indexes() -> None:
    plain = table_of(Collection("t", ["id"], indexes=[Index("i", ("a",))]), "")
    assert (plain.name, plain.indexes[0].name) == ("t-table", "index-i")
    placed = Collection("t", ["id"], placements={"dynamodb": {"table": "real"}})
    assert table_of(placed, "app_").name == "app_real"


@pytest.mark.engine
@pytest.mark.rule("PLC-3", "DRV-9")
def test_create_and_describe(driver: DynamoDBDriver) -> None:
    things = Collection("created-things", ["a", "b:int"], indexes=[Index("by_x", ("x", "y"))])
    absent = driver.describe(things)
    assert not absent.exists
    assert "store.create()" in absent.problems[0]
    driver.create(things)
    driver.write(Write(things, ("k", 1), {"a": "k", "b": 1}))
    driver.create(things)
    description = driver.describe(things)
    assert description.exists
    assert description.problems == ()
    assert driver.read(things, [("k", 1)], Consistency.STRONG).records[0] is not None
    driver.drop(things)
    driver.drop(things)
    assert not driver.describe(things).exists


@pytest.mark.engine
@pytest.mark.rule("PLC-3", "DRV-9")
def test_an_index_is_added_to_a_table(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    more = attrs.evolve(things, indexes=[Index("by_x", ("x",)), Index("by_y", ("y",))])
    opened = DynamoDBDriver(driver._settings)
    assert len(opened.describe(more).problems) == 2
    opened.create(more)
    assert opened.describe(more).problems == ()
    opened.write(Write(more, ("k",), {"id": "k", "x": None}))
    assert len(opened.query(more, QueryPlan(more.indexes[0], (None,)), None, 9).records) == 1
    opened.close()


@pytest.mark.engine
@pytest.mark.rule("DRV-9")
@pytest.mark.parametrize("key", [["other"], ["id:int"], ["id", "sort"]])
def test_a_table_with_another_key_is_described(
    driver: DynamoDBDriver, made: Made, key: list[str]
) -> None:
    things = made()
    description = driver.describe(Collection(things.name, key))
    assert description.exists
    assert "has the key id (S)" in description.problems[0]


@pytest.fixture
def legacy(driver: DynamoDBDriver) -> Iterator[Collection]:
    """A table that another program made, with an item that it wrote."""
    client = driver.native()
    client.create_table(
        TableName="Legacy.Orders",
        KeySchema=[
            {"AttributeName": "PK", "KeyType": "HASH"},
            {"AttributeName": "SK", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "PK", "AttributeType": "S"},
            {"AttributeName": "SK", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    client.put_item(
        TableName="Legacy.Orders",
        Item={"PK": {"S": "c1"}, "SK": {"N": "17"}, "total": {"N": "9.5"}, "n": {"NULL": True}},
    )
    placement = {"table": "Legacy.Orders", "hash": "PK", "range": "SK"}
    orders = Collection("orders", ["customer", "order:int"], placements={"dynamodb": placement})
    yield orders
    driver.drop(orders)


@pytest.mark.engine
@pytest.mark.rule("DRV-14")
def test_an_item_whose_key_is_none_of_the_collection_hides_no_other(
    driver: DynamoDBDriver, legacy: Collection
) -> None:
    item = {"PK": {"S": "c1"}, "SK": {"N": "17.5"}}
    driver.native().put_item(TableName="Legacy.Orders", Item=item)
    keys, places = [], []
    cursor: str | None = None
    while True:
        page = driver.scan(legacy, Segment(), cursor, 1)
        keys += [record.key for record in page.records]
        places += [found.key for found in page.unreadable]
        cursor = page.cursor
        if cursor is None:
            break
    assert (keys, places) == ([("c1", 17)], [("c1", "17.5")])


@pytest.mark.engine
@pytest.mark.rule("PLC-4", "VAL-10", "CON-4")
def test_a_table_of_another_program_is_used_in_place(
    driver: DynamoDBDriver, legacy: Collection
) -> None:
    assert driver.describe(legacy).problems == ()
    (record,) = driver.scan(legacy, Segment(), None, 9).records
    expected: dict[str, Any] = {"customer": "c1", "order": 17, "total": Decimal("9.5"), "n": None}
    assert (record.key, record.fields) == (("c1", 17), expected)
    assert (record.write_id, record.stamp) == (None, None)
    changed = Write(legacy, record.key, {**expected, "n": 1}, Unchanged(record.token), "w1")
    assert isinstance(driver.write(changed), Written)
    item = driver.native().get_item(
        TableName="Legacy.Orders", Key={"PK": {"S": "c1"}, "SK": {"N": "17"}}
    )["Item"]
    assert item == {
        "PK": {"S": "c1"},
        "SK": {"N": "17"},
        "total": {"N": "9.5"},
        "n": {"N": "1"},
        "_ps_w": {"S": "w1"},
    }
    refused = driver.write(Write(legacy, ("c1", 17), expected, NOTHING, "w2"))
    assert isinstance(refused, Refused)


@pytest.mark.engine
@pytest.mark.rule("REC-1", "KEY-4")
@pytest.mark.parametrize(
    "placement", [{}, {"hash": "PK", "range": "SK"}, {"hash": "b", "range": "a"}, {"hash": "p"}]
)
@pytest.mark.parametrize("key", [["a", "b"], ["a:bytes", "b:int", "c"], ["a", "b", "c:bytes", "d"]])
def test_fields_that_are_called_like_key_attributes(
    driver: DynamoDBDriver, made: Made, placement: dict[str, str], key: list[str]
) -> None:
    things = made(key, partition=2 if len(key) == 4 else 1, placements={"dynamodb": placement})
    parts: dict[str, Any] = {"str": "k", "int": 7, "bytes": b"\x00"}
    found = tuple(parts[text.partition(":")[2] or "str"] for text in key)
    fields: dict[str, Any] = {
        "PK": [1.5],
        "SK": None,
        "p": 1.5,
        "": {"": [-0.0], "/": 1.5},
        "*": b"",
        "z": "",
    }
    fields |= dict(zip(things.key_names, found, strict=True))
    driver.write(Write(things, found, fields, ANYTHING, "w1"))
    (record,) = driver.read(things, [found], Consistency.STRONG).records
    assert record is not None
    assert (record.key, record.fields) == (found, fields)
