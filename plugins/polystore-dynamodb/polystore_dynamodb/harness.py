"""The driver's harness: DynamoDB Local, read and written by boto3. Needs polystore-engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polystore.driver import Driver
from polystore.plugin.registry import default_registry
from polystore.schema import Collection
from polystore.testing.harness import Engine, Harness, environment
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
        self._client = self.open().native()
        return None

    def open(self) -> Driver:
        with environment(self._local.env):
            separator = "&" if "?" in self._local.url else "?"
            options = f"{separator}{self.options}" if self.options else ""
            driver = default_registry().open(self._local.url + options)
            driver.native()  # credentials are looked for now
            return driver

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
