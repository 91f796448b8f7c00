"""PostgreSQL as a driver: a table for each collection, conditions and upserts in one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import psycopg

from polystore.capabilities import Capabilities, Indexes, Keys, Limit, Scope, Transactions, Values
from polystore.driver import (
    ANYTHING,
    Driver,
    Refused,
    Sizes,
    Stored,
    Token,
    Unprocessed,
    Write,
    Written,
)
from polystore.driver.bookkeeping import holds
from polystore.driver.document import JSON_KINDS
from polystore.driver.policies import empties
from polystore.driver.sql import Bound, Layout, Pool, SqlDriver, Table, deletes
from polystore.errors import PolystoreError
from polystore.plugin.specs import DriverURL
from polystore.schema import Collection
from polystore.values import Key
from polystore_postgresql import provision
from polystore_postgresql.columns import columns_of
from polystore_postgresql.connections import Timed, clean, connect
from polystore_postgresql.document import from_column, to_column, to_jsonb
from polystore_postgresql.faults import translated, unanswered
from polystore_postgresql.settings import DRIVER, Settings, settings_of
from polystore_postgresql.tables import DIALECT, kind, layout, left, put, table_of

ROWS = 100
"""Records of one statement: of 500, measured, each then takes longer."""

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


class PostgresqlDriver(SqlDriver):
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

    # -- calls, each in one round trip where it can be ----------------------------------------

    def look(self, connection: Timed, table: Table, keys: Sequence[Key]) -> list[Stored | None]:
        if not keys:
            return []
        rows = connection.execute(*_sent(table.statements.get_many(keys)))
        found = {stored.key: stored for stored in map(table.rows.stored, rows)}
        return [found.get(key) for key in keys]

    def write(self, write: Write) -> Written | Refused:
        (outcome,) = self._each([write])
        return outcome

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        """All in one transaction and one round trip; each decides for itself."""
        return [*self._each(writes)] if writes else []

    def _each(self, writes: Sequence[Write]) -> list[Written | Refused]:
        def put(connection: Timed, _first: Table) -> list[Written | Refused]:
            groups: dict[str, list[Write]] = {}
            for write in writes:
                groups.setdefault(write.collection.name, []).append(write)
            tables = {n: self.table(connection, some[0].collection) for n, some in groups.items()}
            changes = [(tables[write.collection.name], write) for write in writes]
            with connection.pipeline():
                connection.execute(DIALECT.begin.encode())
                done = _put(connection, changes)
                looked = {
                    name: connection.execute(*_sent(left(tables[name], some)))
                    for name, some in groups.items()
                }
                connection.execute(b"COMMIT")
            tokens = _tokens(done)
            found = {
                (name, stored.key): stored
                for name, cursor in looked.items()
                for stored in map(tables[name].rows.stored, cursor)
            }
            outcomes: list[Written | Refused] = []
            for write in writes:
                place = (write.collection.name, write.key)
                current = found.get(place)
                void = current is None and deletes(write) and holds(write.condition, None)
                if place in tokens or void:
                    outcomes.append(Written(tokens.get(place)))
                else:
                    outcomes.append(Refused(told=True, current=current))
            return outcomes

        return self.on_table(writes[0].collection, put)

    def put_all(self, connection: Timed, changes: Sequence[tuple[Table, Write]]) -> list[Token]:
        with connection.pipeline():
            done = _put(
                connection, [(table, attrs.evolve(w, condition=ANYTHING)) for table, w in changes]
            )
        tokens = _tokens(done)
        return [tokens.get((write.collection.name, write.key)) for _, write in changes]

    # -- around it ----------------------------------------------------------------------------

    def table_of(self, collection: Collection) -> str:
        return table_of(self._settings.schema, collection)

    def read_layout(self, connection: Timed, collection: Collection) -> Layout | None:
        kept = provision.kept(connection, self._settings.schema, collection)
        if kept is None:
            return None
        return layout(self._settings.schema, collection, kept, kept.mark)

    @contextmanager
    def provisioning(self, connection: Timed, collection: Collection) -> Iterator[None]:
        """What others have made meanwhile is seen in it."""
        with connection.transaction():
            lock = b"SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
            connection.execute(lock, (self.table_of(collection),))
            yield

    def make(self, connection: Timed, collection: Collection) -> None:
        provision.make(connection, self._settings.schema, collection)

    def problems(self, connection: Timed, collection: Collection, layout: Layout) -> list[str]:
        found = super().problems(connection, collection, layout)
        return [*found, *provision.problems(connection, layout, collection)]

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


def _sent(statement: Bound) -> tuple[bytes, Sequence[Any]]:
    text, values = statement
    return text.encode(), values


def _put(connection: Timed, changes: Sequence[tuple[Table, Write]]) -> list[tuple[str, Any]]:
    """Send writes, those that differ in their values alone together; what tells of tokens."""
    groups: dict[Any, tuple[Table, list[Write]]] = {}
    for table, write in changes:
        alike = (write.collection.name, kind(write))
        groups.setdefault(alike, (table, []))[1].append(write)
    return [
        (name, connection.execute(*_sent(put(table, writes[start : start + ROWS]))))
        for (name, _), (table, writes) in groups.items()
        for start in range(0, len(writes), ROWS)
    ]


def _tokens(done: Sequence[tuple[str, Any]]) -> dict[tuple[str, Key], Any]:
    """The tokens of what was written, by collection and key."""
    return {
        (name, tuple(map(from_column, row[:-1]))): row[-1]
        for name, cursor in done
        for row in cursor
    }
