"""The SQLite driver's harness: a file of its own, read and written by the sqlite3 module."""

from __future__ import annotations

import json
import shutil
import sqlite3
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from polystore.driver import Driver
from polystore.plugin.registry import default_registry
from polystore.schema import Collection
from polystore.testing.harness import Address, Engine, Harness
from polystore.values import Key


class SQLiteHarness(Harness):
    """The file lies in a temporary folder, which goes with the harness."""

    def __init__(self, options: str = "") -> None:
        super().__init__(options)
        folder = mkdtemp(prefix="polystore-conformance-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._path = Path(folder) / "app.db"

    def available(self) -> str | None:
        return None

    def open(self) -> Driver:
        return default_registry().open(self.address.url)

    @property
    def address(self) -> Address:
        return Address(f"sqlite:///{self._path}").having(self.options)

    def refusing(
        self, driver: Driver, collection: Collection
    ) -> Mapping[str, AbstractContextManager[None]]:
        return {"locked": self._locked(), "full": self._full(driver)}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Another program is writing."""
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def _full(self, driver: Driver) -> Iterator[None]:
        """There is room for no page more. SQLite keeps such a limit for each connection."""
        connection = driver.native()
        (before,) = connection.execute("PRAGMA max_page_count").fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        try:
            yield
        finally:
            connection.execute(f"PRAGMA max_page_count = {before}")

    def peek(self, collection: Collection, key: Key) -> Any:
        where = " AND ".join(f'"{name}" = ?' for name in collection.key_names)
        rows = self._run(f'SELECT * FROM "{collection.name}" WHERE {where}', *key)
        return rows[0] if rows else None

    def poke(self, collection: Collection, key: Key, fields: Mapping[str, str | int]) -> None:
        names = ", ".join(f'"{name}"' for name in (*collection.key_names, "_ps_doc"))
        places = ", ".join("?" for _ in (*key, fields))
        self._run(
            f'INSERT OR REPLACE INTO "{collection.name}" ({names}) VALUES ({places})',
            *key,
            json.dumps(fields),
        )

    @property
    def engine(self) -> Engine:
        return Engine(f"SQLite {sqlite3.sqlite_version}", real=True)

    def _run(self, statement: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            return connection.execute(statement, values).fetchall()
