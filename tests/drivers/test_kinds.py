"""Kinds of values: those that a driver claims as native have no mark of ours in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing

import pytest
from google.cloud.datastore_v1.types import Key as NativeKey
from google.cloud.datastore_v1.types import LookupRequest

from polystore.driver import Driver, Write
from polystore.kinds import EXAMPLES
from polystore.schema import Collection
from polystore.values import RESERVED, same
from tests.drivers.calls import found, written
from tests.drivers.conftest import Make, Place
from tests.drivers.strangers import PROJECT


def _in_memory(driver: Driver, _url: str, things: Collection) -> str:
    return repr(driver.native(things)[things.name].rows[("k",)].fields)


def _in_sqlite(_driver: Driver, url: str, things: Collection) -> str:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return repr(connection.execute(f'SELECT * FROM "{things.name}"').fetchall())


def _in_dynamodb(driver: Driver, _url: str, things: Collection) -> str:
    return repr(driver.native().get_item(TableName=things.name, Key={"id": {"S": "k"}})["Item"])


def _in_datastore(driver: Driver, _url: str, things: Collection) -> str:
    key = NativeKey(path=[{"kind": things.name, "name": "k"}])
    (found,) = driver.native().lookup(LookupRequest(project_id=PROJECT, keys=[key])).found
    return str(found.entity)


RAW: Mapping[str, Callable[[Driver, str, Collection], str]] = {
    "memory": _in_memory,
    "sqlite": _in_sqlite,
    "dynamodb": _in_dynamodb,
    "datastore": _in_datastore,
}
"""The one record of a collection, as another program sees it, in text."""


@pytest.mark.rule("CAP-11", "CAP-3", "VAL-9")
@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_kind_is_native_or_marked(driver: Driver, place: Place, make: Make, kind: str) -> None:
    things = make()
    write = Write(things, ("k",), {"id": "k", "f": EXAMPLES[kind]})
    written(driver, write)
    marked = RESERVED in RAW[driver.name](driver, place.url, things)
    assert marked == (kind not in driver.capabilities(things).values.native)
    record = found(driver, things, ("k",))
    assert record is not None
    assert same(record.fields, write.fields)
