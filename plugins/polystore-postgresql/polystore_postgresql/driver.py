"""PostgreSQL as a driver: a table for each collection, conditions and upserts in one statement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import psycopg

from polystore.capabilities import Capabilities, Indexes, Keys, Limit, Scope, Transactions, Values
from polystore.driver import Driver, Sizes, Write
from polystore.driver.document import JSON_KINDS
from polystore.driver.kept import Kept
from polystore.driver.policies import empties
from polystore.driver.sql import DecidingDriver, Layout, Pool
from polystore.errors import PolystoreError
from polystore.plugin.specs import DriverURL
from polystore.schema import Collection
from polystore_postgresql import catalogue
from polystore_postgresql.catalogue import DIALECT, table_of
from polystore_postgresql.columns import columns_of
from polystore_postgresql.connections import Timed, clean, connect
from polystore_postgresql.document import to_column, to_jsonb
from polystore_postgresql.faults import translated, unanswered
from polystore_postgresql.settings import DRIVER, Settings, settings_of

KEY_BYTES = Limit(
    2600,
    "bytes",
    "a key, with eight bytes for each part: a row of its index has at most 2,704",
    "PostgreSQL manual, 67.2",
)


def open_postgresql(url: DriverURL) -> Driver:
    """Open ``postgresql://HOST:PORT/DATABASE``; connects when first needed.

    Options: ``user``, ``schema`` (public), ``timeout`` of a call in seconds (5), ``connections`` at
    most at once (20), ``sslmode`` (verify-full; prefer on this machine), ``sslrootcert`` (system).
    The password is in ``PGPASSWORD``, or where libpq looks for one.

    Raises:
        ConfigError: the URL is wrong.
    """
    return PostgresqlDriver(settings_of(url))


class PostgresqlDriver(DecidingDriver):
    """Collections as tables of one schema."""

    name = DRIVER
    dialect = DIALECT

    def __init__(self, settings: Settings) -> None:
        most, seconds = settings.connections, settings.timeout
        self._pool = Pool(DRIVER, lambda: connect(settings), clean, most, seconds)
        super().__init__(self._pool)
        self._settings = settings

    def capabilities(self, collection: Collection) -> Capabilities:
        columns_of(collection)
        return Capabilities(
            keys=Keys(whole=KEY_BYTES),
            values=Values(native=JSON_KINDS),
            transactions=Transactions(scope=Scope.STORE),
            indexes=Indexes(empty=empties(DIALECT.indexes_of(collection))),
        )

    def measure(self, write: Write) -> Sizes:
        """Bytes of the document, and of the key's columns."""
        parts = [to_column(part) for part in write.key]
        sizes = [
            8 + len(p.encode() if type(p) is str else p if type(p) is bytes else b"") for p in parts
        ]
        record = 0 if write.fields is None else len(to_jsonb(write.fields).encode())
        return Sizes(record=record, whole=sum(sizes))

    def together(self, connection: Timed) -> AbstractContextManager[object]:
        return connection.pipeline()

    def table_of(self, collection: Collection) -> str:
        return table_of(self._settings.schema, collection)

    def columns_of(self, collection: Collection) -> Mapping[str, str]:
        return columns_of(collection)

    def read_layout(self, connection: Timed, collection: Collection) -> Layout | None:
        return catalogue.read_layout(connection, self._settings.schema, collection)

    def note(self, connection: Timed, layout: Layout, kept: Kept) -> None:
        """Every read and write names a column whose name changes with what is kept."""
        catalogue.note(connection, layout, kept)

    @contextmanager
    def provisioning(self, connection: Timed, collection: Collection) -> Iterator[None]:
        """What others have made meanwhile is seen in it."""
        with connection.transaction():
            lock = b"SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
            connection.execute(lock, (self.table_of(collection),))
            yield

    def translate(self, error: Exception) -> PolystoreError:
        return translated(error)

    def stale(self, error: Exception) -> bool:
        return isinstance(error, psycopg.errors.UndefinedColumn | psycopg.errors.UndefinedTable)

    def unanswered(self, error: Exception) -> bool:
        return unanswered(error)

    def native(self, collection: Collection | None = None) -> Timed:
        """A connection of the caller's own, in autocommit; the caller closes it."""
        self._pool.check_open()
        return connect(self._settings)
