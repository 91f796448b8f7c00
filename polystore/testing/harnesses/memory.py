"""The memory driver's harness: a space of its own, looked at from inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from polystore.driver import Write
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.driver import Space
from polystore.errors import ConfigError
from polystore.schema import Collection
from polystore.testing.harness import Engine, Harness
from polystore.values import Key


class MemoryHarness(Harness):
    """Memory has no other program: the nearest is its table, and a write with no bookkeeping."""

    def __init__(self, options: str = "") -> None:
        if options:
            raise ConfigError("memory:// takes no options", driver="memory")
        super().__init__(options)
        self._space = Space()

    def available(self) -> str | None:
        return None

    def open(self) -> MemoryDriver:
        return MemoryDriver(self._space)

    def peek(self, collection: Collection, key: Key) -> Any:
        table = self._space.tables.get(collection.name)
        row = None if table is None else table.rows.get(key)
        return None if row is None else attrs.astuple(row, recurse=False)

    def poke(self, collection: Collection, key: Key, fields: Mapping[str, str | int]) -> None:
        named = dict(zip(collection.key_names, key, strict=True))
        MemoryDriver(self._space).write(Write(collection, key, {**named, **fields}))

    @property
    def engine(self) -> Engine:
        return Engine("this process's memory", real=True)
