"""The driver's harness: a real server, read and written by psycopg. Needs polystore-engines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from polystore.driver import Driver
from polystore.schema import Collection
from polystore.testing.harness import Address, Engine, Harness
from polystore.values import Key
from polystore_postgresql.document import to_column
from polystore_postgresql.tables import Table, quoted


class PostgresqlHarness(Harness):
    """One server a process, which ends with it."""

    def available(self) -> str | None:
        try:
            from polystore_engines import EngineError, shared
        except ImportError:
            return "it needs a PostgreSQL: pip install 'polystore-engines[postgresql]'"
        try:
            self._server = shared("postgresql")
        except EngineError as error:
            return str(error)
        self._driver = self.open()
        self._client = self._driver.native()
        return None

    def open(self) -> Driver:
        return self.address.open()

    @property
    def address(self) -> Address:
        options = f"&{self.options}" if self.options else ""
        return Address(self._server.url + options, self._server.env, self._server.port)

    def refusing(
        self, driver: Driver, collection: Collection
    ) -> Mapping[str, AbstractContextManager[None]]:
        return {"locked": self._locked(collection)}

    @contextmanager
    def _locked(self, collection: Collection) -> Iterator[None]:
        """Another program has the table for itself, and lets others read."""
        with self._client.transaction():
            table = Table(collection, "public").name
            self._client.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
            yield

    def peek(self, collection: Collection, key: Key) -> Any:
        table = Table(collection, "public")
        same = " AND ".join(f"{quoted(name)} = %s" for name in collection.key_names)
        found = self._client.execute(
            f"SELECT * FROM {table.name} WHERE {same}".encode(),
            [to_column(part) for part in key],
        )
        return found.fetchone()

    def poke(self, collection: Collection, key: Key, fields: Mapping[str, str | int]) -> None:
        table = Table(collection, "public")
        names = ", ".join(map(quoted, collection.key_names))
        rest = {n: v for n, v in fields.items() if n not in collection.key_names}
        self._client.execute(
            f"INSERT INTO {table.name} ({names}, _ps_doc) VALUES "
            f"({', '.join(['%s'] * len(key))}, %s::jsonb) ON CONFLICT ({names}) DO UPDATE "
            "SET _ps_doc = excluded._ps_doc, _ps_w = NULL, _ps_v = NULL, _ps_del = NULL, "
            "_ps_exp = NULL".encode(),
            [*key, json.dumps(rest)],
        )

    @property
    def engine(self) -> Engine:
        return Engine(self._server.product, real=True)
