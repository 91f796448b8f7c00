"""Other programs in the same databases: they know nothing of polystore.

A stranger declares collections as that database's people would have made them, and writes records
in the form that they would write.
"""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
from google.cloud.datastore_v1.types import CommitRequest, Entity, LookupRequest, Mutation

from polystore.driver import Driver, Write
from polystore.driver.keycodec import encode_key
from polystore.schema import Collection
from polystore.values import Fields, GeoPoint, Key, Ref

PROJECT = "polystore-test"

JSON: Fields = {
    "n": 1, "half": 0.5, "note": "x\u0001é", "none": None, "yes": True, "list": [1, [2.5], {}],
    "map": {"a": []},
}  # fmt: skip
"""A value of each of JSON's types; what PostgreSQL's has no room for is not among them."""


@attrs.frozen
class Stranger(ABC):
    """Another program; ``url`` and ``driver`` are of the database that it shares with us."""

    url: str
    driver: Driver

    @abstractmethod
    def orders(self, name: str) -> Collection:
        """A collection of orders by customer (text) and number, made its own way."""

    @abstractmethod
    def leave(self, orders: Collection, key: Key, **fields: Any) -> Fields:
        """Write a record; what it must read as. ``fields`` are ``n`` and ``note``: texts, ints."""

    @abstractmethod
    def leave_everything(self, orders: Collection, key: Key) -> Fields:
        """Write a record with a value of each native type; what it must read as."""

    @abstractmethod
    def sees(self, orders: Collection, key: Key) -> dict[str, Any]:
        """What ``n`` and ``note`` of a record are to this program."""


class InMemory(Stranger):
    """There is no other program: the nearest is a write without any bookkeeping."""

    def orders(self, name: str) -> Collection:
        collection = Collection(name, ["customer", "order:int"])
        self.driver.create(collection)
        return collection

    def leave(self, orders: Collection, key: Key, **fields: Any) -> Fields:
        record = {"customer": key[0], "order": key[1], **fields}
        self.driver.write(Write(orders, key, record))
        return record

    def leave_everything(self, orders: Collection, key: Key) -> Fields:
        return self.leave(orders, key, n=1, note="x", none=None, list=[1.5, {"a": b""}])

    def sees(self, orders: Collection, key: Key) -> dict[str, Any]:
        row = self.driver.native(orders)[orders.name].rows[key]
        return {name: row.fields[name] for name in ("n", "note")}


class InSQLite(Stranger):
    """A table with columns of each affinity; a row has NULL where a field was not given."""

    def orders(self, name: str) -> Collection:
        self._run(
            f'CREATE TABLE "{name}-table" (customer TEXT, "order" INTEGER, n, note TEXT, '
            '"int" INTEGER, "real" REAL, "decimal" NUMERIC, "any", "blob" BLOB, '
            'PRIMARY KEY (customer, "order"))'
        )
        placement = {"sqlite": {"table": f"{name}-table"}}
        return Collection(name, ["customer", "order:int"], placements=placement)

    def leave(self, orders: Collection, key: Key, **fields: Any) -> Fields:
        columns = ("n", "note", "int", "real", "decimal", "any", "blob")
        values = [fields.get(column) for column in columns]
        table = orders.placement("sqlite")["table"]
        names = ", ".join(f'"{column}"' for column in columns)
        self._run(
            f'INSERT OR REPLACE INTO "{table}" (customer, "order", {names}) '
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *key,
            *values,
        )
        return {"customer": key[0], "order": key[1], **dict(zip(columns, values, strict=True))}

    def leave_everything(self, orders: Collection, key: Key) -> Fields:
        values: dict[str, Any] = {
            "n": 2.5, "note": "x\x00é", "int": -(2**63), "real": 0.1, "decimal": 7, "any": b"a",
            "blob": b"\x00\xff",
        }  # fmt: skip
        return self.leave(orders, key, **values)

    def sees(self, orders: Collection, key: Key) -> dict[str, Any]:
        table = orders.placement("sqlite")["table"]
        ((n, note),) = self._run(
            f'SELECT n, note FROM "{table}" WHERE customer = ? AND "order" = ?', *key
        )
        return {"n": n, "note": note}

    def _run(self, statement: str, *values: Any) -> list[Any]:
        path = self.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
            return connection.execute(statement, values).fetchall()


class InDynamoDB(Stranger):
    """A table whose key attributes have names of their own."""

    def orders(self, name: str) -> Collection:
        self.driver.native().create_table(
            TableName=f"legacy.{name}",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": "CustomerId", "KeyType": "HASH"},
                {"AttributeName": "OrderNo", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "CustomerId", "AttributeType": "S"},
                {"AttributeName": "OrderNo", "AttributeType": "N"},
            ],
        )
        placement = {"table": f"legacy.{name}", "hash": "CustomerId", "range": "OrderNo"}
        return Collection(name, ["customer", "order:int"], placements={"dynamodb": placement})

    def leave(self, orders: Collection, key: Key, **fields: Any) -> Fields:
        self._put(orders, key, {name: _attribute(value) for name, value in fields.items()})
        return {"customer": key[0], "order": key[1], **fields}

    def leave_everything(self, orders: Collection, key: Key) -> Fields:
        item: dict[str, Any] = {
            "n": {"N": "1"}, "half": {"N": "0.5"}, "huge": {"N": "1e20"}, "note": {"S": ""},
            "none": {"NULL": True}, "yes": {"BOOL": True}, "raw": {"B": b"\x00"},
            "texts": {"SS": ["a", "b"]}, "numbers": {"NS": ["1", "2"]}, "raws": {"BS": [b"a"]},
            "list": {"L": [{"N": "1"}, {"M": {}}]}, "map": {"M": {"a": {"L": []}}},
        }  # fmt: skip
        self._put(orders, key, item)
        return {
            "customer": key[0], "order": key[1], "n": 1, "half": Decimal("0.5"),
            "huge": Decimal(10**20), "note": "", "none": None, "yes": True, "raw": b"\x00",
            "texts": frozenset({"a", "b"}), "numbers": frozenset({1, 2}),
            "raws": frozenset({b"a"}), "list": [1, {}], "map": {"a": []},
        }  # fmt: skip

    def sees(self, orders: Collection, key: Key) -> dict[str, Any]:
        table = orders.placement("dynamodb")["table"]
        item = self.driver.native().get_item(TableName=table, Key=self._key(key))["Item"]
        return {"n": int(item["n"]["N"]), "note": item["note"]["S"]}

    def _put(self, orders: Collection, key: Key, item: dict[str, Any]) -> None:
        table = orders.placement("dynamodb")["table"]
        self.driver.native().put_item(TableName=table, Item={**self._key(key), **item})

    def _key(self, key: Key) -> dict[str, Any]:
        return {"CustomerId": {"S": key[0]}, "OrderNo": {"N": str(key[1])}}


def _attribute(value: Any) -> dict[str, Any]:
    if value is None:
        return {"NULL": True}
    return {"S": value} if type(value) is str else {"N": str(value)}


class InDatastore(Stranger):
    """Orders below their customer, with the number as id."""

    def orders(self, name: str) -> Collection:
        placement = {"path": f"{name}-customer/{{customer}}/{name}-order/{{order}}"}
        return Collection(name, ["customer", "order:int"], placements={"datastore": placement})

    def leave(self, orders: Collection, key: Key, **fields: Any) -> Fields:
        self._put(orders, key, {name: _property(value) for name, value in fields.items()})
        return {"customer": key[0], "order": key[1], **fields}

    def leave_everything(self, orders: Collection, key: Key) -> Fields:
        moment = datetime(2020, 2, 29, 12, 0, 0, 17, tzinfo=UTC)
        inner: dict[str, Any] = {"properties": {"a": {"array_value": {"values": []}}}}
        properties: dict[str, Any] = {
            "n": _property(1), "real": {"double_value": 1.0}, "note": _property(""),
            "none": _property(None), "yes": {"boolean_value": True}, "raw": {"blob_value": b"\x00"},
            "at": {"timestamp_value": moment},
            "where": {"geo_point_value": {"latitude": 1.5, "longitude": -2.0}},
            "whose": {
                "key_value": {
                    "partition_id": {"project_id": PROJECT},
                    "path": [{"kind": "A", "name": "a"}, {"kind": "B", "id": 7}],
                }
            },
            "list": {"array_value": {"values": [_property(1), _property("a")]}},
            "map": {"entity_value": inner},
        }  # fmt: skip
        self._put(orders, key, properties)
        return {
            "customer": key[0], "order": key[1], "n": 1, "real": 1.0, "note": "", "none": None,
            "yes": True, "raw": b"\x00", "at": moment, "where": GeoPoint(1.5, -2.0),
            "whose": Ref("A/B", ("a", 7)), "list": [1, "a"], "map": {"a": []},
        }  # fmt: skip

    def sees(self, orders: Collection, key: Key) -> dict[str, Any]:
        request = LookupRequest(project_id=PROJECT, keys=[self._key(orders, key)])
        (found,) = self.driver.native().lookup(request).found
        properties = found.entity.properties
        return {"n": properties["n"].integer_value, "note": properties["note"].string_value}

    def _put(self, orders: Collection, key: Key, properties: dict[str, Any]) -> None:
        entity = Entity(key=self._key(orders, key), properties=properties)
        self.driver.native().commit(
            CommitRequest(
                project_id=PROJECT,
                mode=CommitRequest.Mode.NON_TRANSACTIONAL,
                mutations=[Mutation(upsert=entity)],
            )
        )

    def _key(self, orders: Collection, key: Key) -> dict[str, Any]:
        customer, _, order, _ = orders.placement("datastore")["path"].split("/")
        return {"path": [{"kind": customer, "name": key[0]}, {"kind": order, "id": key[1]}]}


def _property(value: Any) -> dict[str, Any]:
    if value is None:
        return {"null_value": 0}
    return {"string_value" if type(value) is str else "integer_value": value}


class InPostgreSQL(Stranger):
    """Documents in the table's own column, without any bookkeeping; no text there has a U+0000."""

    def orders(self, name: str) -> Collection:
        collection = Collection(name, ["customer", "order:int"])
        self.driver.create(collection)
        return collection

    def leave(self, orders: Collection, key: Key, **given: Any) -> Fields:
        fields = {n: v.replace("\0", "") if type(v) is str else v for n, v in given.items()}
        self._run(
            f'INSERT INTO "{orders.name}" (customer, "order", _ps_doc) VALUES (%s, %s, %s) '
            'ON CONFLICT (customer, "order") DO UPDATE SET _ps_doc = excluded._ps_doc',
            *key,
            json.dumps(fields),
        )
        return {"customer": key[0], "order": key[1], **fields}

    def leave_everything(self, orders: Collection, key: Key) -> Fields:
        return self.leave(orders, key, **JSON)

    def sees(self, orders: Collection, key: Key) -> dict[str, Any]:
        same = 'customer = %s AND "order" = %s'
        ((document,),) = self._run(f'SELECT _ps_doc FROM "{orders.name}" WHERE {same}', *key)
        return {name: document[name] for name in ("n", "note")}

    def _run(self, statement: str, *values: Any) -> list[Any]:
        with closing(self.driver.native()) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


class InRedis(Stranger):
    """A JSON object for each record, in the hash and the order of the collection."""

    def orders(self, name: str) -> Collection:
        collection = Collection(name, ["customer", "order:int"])
        self.driver.create(collection)
        return collection

    def leave(self, orders: Collection, key: Key, **fields: Any) -> Fields:
        client, text = self.driver.native(), encode_key(key)
        client.hset(f"ps:{orders.name}:r", text, json.dumps(fields))
        client.zadd(f"ps:{orders.name}:k", {text: 0})
        return {"customer": key[0], "order": key[1], **fields}

    def leave_everything(self, orders: Collection, key: Key) -> Fields:
        return self.leave(orders, key, **JSON)

    def sees(self, orders: Collection, key: Key) -> dict[str, Any]:
        text = self.driver.native().hget(f"ps:{orders.name}:r", encode_key(key))
        fields = json.loads(text.split(b"\n")[2])["f"]
        return {name: fields[name] for name in ("n", "note")}


STRANGERS: dict[str, type[Stranger]] = {
    "memory": InMemory,
    "sqlite": InSQLite,
    "dynamodb": InDynamoDB,
    "datastore": InDatastore,
    "postgresql": InPostgreSQL,
    "redis": InRedis,
}
