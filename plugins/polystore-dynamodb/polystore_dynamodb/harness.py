"""The driver's harness: DynamoDB Local, read and written by boto3. Needs polystore-engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polystore.driver import Driver
from polystore.schema import Collection
from polystore.testing.harness import Address, Engine, Harness
from polystore.values import Key
from polystore_dynamodb.placement import table_of


class DynamoDBHarness(Harness):
    """One DynamoDB Local a process, which ends with it."""

    def available(self) -> str | None:
        try:
            from polystore_engines import EngineError, shared
        except ImportError:
            return "it needs DynamoDB Local: pip install 'polystore-engines[dynamodb]'"
        try:
            self._local = shared("dynamodb")
        except EngineError as error:
            return str(error)
        self._driver = self.open()
        self._client = self._driver.native()
        return None

    def open(self) -> Driver:
        return self.address.open()

    @property
    def address(self) -> Address:
        return Address(self._local.url, self._local.env, self._local.port).having(self.options)

    def peek(self, collection: Collection, key: Key) -> Any:
        table = table_of(collection, "")
        found = self._client.get_item(
            TableName=table.name, Key=table.key_item(key), ConsistentRead=True
        )
        return found.get("Item")

    def poke(self, collection: Collection, key: Key, fields: Mapping[str, str | int]) -> None:
        table = table_of(collection, "")
        item = {
            name: {"S": value} if isinstance(value, str) else {"N": str(value)}
            for name, value in fields.items()
        }
        self._client.put_item(TableName=table.name, Item={**table.key_item(key), **item})

    @property
    def engine(self) -> Engine:
        return Engine(self._local.product, real=False)
