"""Where the conformance suite tries the driver, and how it looks around it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from polystore.driver import Driver, Write
from polystore.plugin.registry import default_registry
from polystore.schema import Collection
from polystore.testing.harness import Engine, Harness
from polystore.values import Key

_numbers = count(1)


class ExampleHarness(Harness):
    """A place of its own. With a database: read and write with its own client here."""

    def __init__(self, options: str = "") -> None:
        super().__init__(options)
        self._place = f"conformance{next(_numbers)}"
        self._client = self.open()

    def available(self) -> str | None:
        return None  # or why the database cannot be reached, and what to do

    def open(self) -> Driver:
        options = f"?{self.options}" if self.options else ""
        return default_registry().open(f"example://{self._place}{options}")

    def peek(self, collection: Collection, key: Key) -> Any:
        table = self._client.native(collection).get(collection.name)
        row = table.rows.get(key) if table else None
        return None if row is None else (row.fields, row.token, row.stamp, row.expires)

    def poke(self, collection: Collection, key: Key, fields: Mapping[str, str | int]) -> None:
        named = dict(zip(collection.key_names, key, strict=True))
        self._client.write(Write(collection, key, {**named, **fields}))

    @property
    def engine(self) -> Engine:
        return Engine("this process's memory", real=True)
