"""SQLite as a driver: one file in WAL mode, safe for many threads and processes of one machine."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from polystore.capabilities import Capabilities, Indexes, Scope, Transactions, Values
from polystore.driver import Driver, Sizes, Write
from polystore.driver.document import JSON_KINDS, encode_document
from polystore.driver.kept import Kept
from polystore.driver.options import Options
from polystore.driver.policies import empties
from polystore.driver.sql import Layout, OnePerThread, SqlDriver
from polystore.drivers.sqlite import catalogue
from polystore.drivers.sqlite.connections import DRIVER, File
from polystore.drivers.sqlite.faults import may_be_stale, translated
from polystore.errors import ConfigError, PolystoreError
from polystore.plugin.specs import DriverURL
from polystore.schema import Collection


def open_sqlite(url: DriverURL) -> Driver:
    """Open ``sqlite:///relative.db`` or ``sqlite:////absolute/path.db``.

    Options: ``synchronous=full`` (the default: what is acknowledged is on the disk) or ``normal``
    (a power cut may take the last commits); ``timeout=5``, seconds to wait for another writer.

    Raises:
        ConfigError: no path, or an option that is unknown or wrong.
    """
    path = url.place.removeprefix("/")
    if not path or path == ":memory:":
        raise ConfigError(
            "a path is needed: sqlite:///app.db; for memory use memory://", driver=DRIVER
        )
    given = Options(DRIVER, "", url.options, ("synchronous", "timeout"), "a file has none")
    synchronous = given.word("synchronous", "full", ("full", "normal"))
    timeout = given.timeout(most=3600, zero=True)
    # Absolute from now on: a process may change its directory.
    return SqliteDriver(File(Path(path).absolute(), synchronous, timeout))


class SqliteDriver(SqlDriver):
    """Collections as tables of one file."""

    name = DRIVER
    dialect = catalogue.DIALECT

    def __init__(self, file: File) -> None:
        self._threads = OnePerThread(DRIVER, file)
        super().__init__(self._threads)

    def capabilities(self, collection: Collection) -> Capabilities:
        """The only limit, a billion bytes a row, is beyond what a record should reach."""
        self.table_of(collection)
        return Capabilities(
            values=Values(native=JSON_KINDS),
            transactions=Transactions(scope=Scope.STORE),
            indexes=Indexes(empty=empties(self.dialect.indexes_of(collection))),
        )

    def measure(self, write: Write) -> Sizes:
        """Bytes of the document, which is the largest value of a row."""
        if write.fields is None:
            return Sizes(record=0)
        return Sizes(record=len(encode_document(write.fields).encode()))

    def table_of(self, collection: Collection) -> str:
        return self.dialect.quoted(catalogue.table_name(collection))

    def read_layout(self, connection: sqlite3.Connection, collection: Collection) -> Layout | None:
        return catalogue.read_layout(connection, collection)

    def note(self, connection: sqlite3.Connection, layout: Layout, kept: Kept) -> None:
        """Each index has a column, so that no insert of before fits the table any more."""
        new = [one for one in kept.indexes if one not in layout.kept]
        catalogue.note_indexes(connection, layout.name, new)

    def create(self, collection: Collection) -> None:
        self._threads.get(make=True)
        super().create(collection)

    def remove(self, connection: sqlite3.Connection, collection: Collection) -> None:
        super().remove(connection, collection)
        catalogue.forget_indexes(connection, catalogue.table_name(collection))

    def translate(self, error: Exception) -> PolystoreError:
        return translated(error)

    def stale(self, error: Exception) -> bool:
        return may_be_stale(error)

    def native(self, collection: Collection | None = None) -> sqlite3.Connection:
        """This thread's connection, in autocommit mode; the file is made if it is not there.

        A fork closes it: ask again after one.
        """
        connection: sqlite3.Connection = self._threads.get(make=True)
        return connection
