"""The driver's harness: a real server, read and written by psycopg. Needs polystore-engines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import attrs

from polystore.driver import Driver
from polystore.schema import Collection
from polystore.testing.harness import Address, Engine, Harness
from polystore.values import Key
from polystore_postgresql.catalogue import DIALECT, table_of
from polystore_postgresql.columns import columns_of, native
from polystore_postgresql.document import to_column

IN_COLUMNS = "columns=1"
"""The option of a run that gives fields columns of their own; not one of the URL."""

COLUMNS = {
    "n": "bigint", "state": "text", "rank": "numeric", "note": "text", "value": "double precision",
    "a": "double precision", "b": "numeric", "c": "boolean", "d": "numeric", "f": "text",
}  # fmt: skip
"""Types for some fields of the suite, of which many a value is of another type."""


class PostgresqlHarness(Harness):
    """One server a process, which ends with it."""

    def __init__(self, options: str = "") -> None:
        others = [option for option in options.split("&") if option != IN_COLUMNS]
        self._columns = COLUMNS if IN_COLUMNS in options.split("&") else {}
        super().__init__("&".join(others))

    def placed(self, collection: Collection) -> Collection:
        names = self._columns.keys() - set(collection.key_names)
        placement = {"columns": {name: self._columns[name] for name in sorted(names)}}
        placement |= collection.placement("postgresql")
        return attrs.evolve(
            collection, placements={**collection.placements, "postgresql": placement}
        )

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
        return Address(self._server.url, self._server.env, self._server.port).having(self.options)

    def refusing(
        self, driver: Driver, collection: Collection
    ) -> Mapping[str, AbstractContextManager[None]]:
        return {"locked": self._locked(collection)}

    @contextmanager
    def _locked(self, collection: Collection) -> Iterator[None]:
        """Another program has the table for itself, and lets others read."""
        with self._client.transaction():
            table = table_of("public", collection)
            self._client.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
            yield

    def peek(self, collection: Collection, key: Key) -> Any:
        same = " AND ".join(f"{DIALECT.quoted(name)} = %s" for name in collection.key_names)
        found = self._client.execute(
            f"SELECT * FROM {table_of('public', collection)} WHERE {same}".encode(),
            [to_column(part) for part in key],
        )
        return found.fetchone()

    def poke(self, collection: Collection, key: Key, fields: Mapping[str, str | int]) -> None:
        columns = {column.name: column for column in native(columns_of(collection))}
        shown = {name: column.shows(fields.get(name)) for name, column in columns.items()}
        rest = {  # what its columns have no place for is in the document
            name: value
            for name, value in fields.items()
            if name not in collection.key_names
            if not (name in columns and columns[name].keeps(value))
        }
        kept = dict.fromkeys(("_ps_w", "_ps_v", "_ps_del", "_ps_exp"))
        values = {"_ps_doc": json.dumps(rest), **kept, **shown}
        names = [DIALECT.quoted(name) for name in (*collection.key_names, *values)]
        changes = ", ".join(f"{name} = excluded.{name}" for name in names[len(key) :])
        keys = ", ".join(names[: len(key)])
        given = ", ".join(["%s"] * len(names))
        self._client.execute(
            f"INSERT INTO {table_of('public', collection)} ({', '.join(names)}) VALUES ({given}) "
            f"ON CONFLICT ({keys}) DO UPDATE SET {changes}".encode(),
            [*key, *values.values()],
        )

    @property
    def engine(self) -> Engine:
        return Engine(self._server.product, real=True)
