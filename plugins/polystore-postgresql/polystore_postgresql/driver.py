"""PostgreSQL as a driver: a table for each collection, conditions and upserts in one statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import attrs
import psycopg

from polystore.capabilities import Capabilities, Indexes, Keys, Limit, Scope, Transactions, Values
from polystore.driver import (
    ANYTHING,
    Check,
    Committed,
    Consistency,
    Description,
    Driver,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Sizes,
    Stored,
    Unprocessed,
    Write,
    Written,
    readable,
)
from polystore.driver.absence import no_collection, present
from polystore.driver.bookkeeping import holds, refusals
from polystore.driver.keycodec import decode_key, encode_key
from polystore.driver.policies import empties
from polystore.driver.spans import span
from polystore.errors import CursorExpired, PolystoreError
from polystore.plugin.specs import DriverURL
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key
from polystore_postgresql import provision
from polystore_postgresql.columns import columns_of
from polystore_postgresql.connections import Connection, Connections
from polystore_postgresql.document import to_column, to_jsonb
from polystore_postgresql.faults import reading, translated
from polystore_postgresql.settings import DRIVER, settings_of
from polystore_postgresql.tables import Table, deletes, indexes_of, kind

T = TypeVar("T")
Cursor: TypeAlias = "psycopg.Cursor[tuple[Any, ...]]"

ROWS = 100
"""Records of one statement: of 500, measured, each then takes longer."""

KEY_BYTES = Limit(
    2600,
    "bytes",
    "a key, with eight bytes for each part: a row of its index has at most 2,704",
    "PostgreSQL manual, 67.2",
)
_NATIVE = frozenset({"null", "bool", "int", "float", "text", "list", "list in a list", "map"})
"""Kinds of JSON."""

BEGIN = b"BEGIN ISOLATION LEVEL SERIALIZABLE"
"""Of all that writes: then a check of what is not there holds as well."""


def open_postgresql(url: DriverURL) -> Driver:
    """Open ``postgresql://HOST:PORT/DATABASE``; connects when first needed.

    Options: ``user``, ``schema`` (public), ``timeout`` of a call in seconds (5), ``connections`` at
    most at once (20), ``sslmode`` (verify-full; prefer on this machine), ``sslrootcert`` (system).
    The password is in ``PGPASSWORD``, or where libpq looks for one.

    Raises:
        ConfigError: the URL is wrong.
    """
    settings = settings_of(url)
    return PostgresqlDriver(Connections(settings), settings.schema)


class PostgresqlDriver(Driver):
    """Collections as tables of one schema."""

    name = DRIVER

    def __init__(self, connections: Connections, schema: str) -> None:
        self._connections = connections
        self._schema = schema
        self._tables: dict[str, Table] = {}

    # -- what it promises ---------------------------------------------------------------------

    def capabilities(self, collection: Collection) -> Capabilities:
        columns_of(collection)
        return Capabilities(
            keys=Keys(whole=KEY_BYTES),
            values=Values(native=_NATIVE),
            transactions=Transactions(scope=Scope.STORE),
            indexes=Indexes(empty=empties(indexes_of(collection))),
        )

    def measure(self, write: Write) -> Sizes:
        """Bytes of the document, and of the key's columns."""
        parts = [to_column(part) for part in write.key]
        sizes = [
            8 + len(p.encode() if type(p) is str else p if type(p) is bytes else b"") for p in parts
        ]
        record = 0 if write.fields is None else len(to_jsonb(write.fields).encode())
        return Sizes(record=record, whole=sum(sizes))

    # -- reading ------------------------------------------------------------------------------

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        def look(connection: Connection, table: Table) -> ReadReply:
            found = _records(connection, table, keys) if keys else {}
            return ReadReply([found.get(key) for key in keys])

        with reading():
            return self._with(collection, look)

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        def look(connection: Connection, table: Table) -> QueryPage:
            if plan.index is None:
                text, values = table.by_key(plan, after, limit)
            else:
                declared = indexes_of(collection)
                if not set(declared) <= set(table.indexes):
                    self._tables.clear()  # another process may have made it by now
                    table = self._table(connection, collection)
                kept = present(self.name, collection, plan.index, declared, table.indexes)
                text, values = table.by_index(kept, span(plan, after), plan.descending, limit)
            rows = connection.execute(text.encode(), values).fetchall()
            records = [table.stored(row) for row in rows]
            return QueryPage(records, _next(plan, records, limit))

        with reading():
            return self._with(collection, look)

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        after = None if cursor is None else _key(collection, cursor)

        def look(connection: Connection, table: Table) -> ScanPage:
            text, values = table.scan(after, *segment.modulo(), limit)
            rows = connection.execute(text.encode(), values).fetchall()
            records, unreadable = readable(rows, table.stored, table.key, self.translate)
            following = encode_key(table.key(rows[-1])) if len(rows) == limit else None
            return ScanPage(records, following, unreadable)

        with reading():
            return self._with(collection, look)

    def halve(self, collection: Collection, segment: Segment) -> bool:
        return True

    # -- writing ------------------------------------------------------------------------------

    def write(self, write: Write) -> Written | Refused:
        (outcome,) = self._each([write])
        return outcome

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        """All in one transaction and one round trip; each decides for itself."""
        return [*self._each(writes)] if writes else []

    def _each(self, writes: Sequence[Write]) -> list[Written | Refused]:
        def put(connection: Connection, _first: Table) -> list[Written | Refused]:
            collections = {write.collection.name: write.collection for write in writes}
            tables = [self._table(connection, one) for one in collections.values()]
            with connection.pipeline():
                connection.execute(BEGIN)
                done = self._put(connection, writes)
                looked = [_sent(connection, table.left(writes)) for table in tables]
                connection.execute(b"COMMIT")
            tokens = _tokens(done)
            found = {
                (table.collection.name, stored.key): stored
                for table, cursor in zip(tables, looked, strict=True)
                for stored in map(table.stored, cursor)
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

        return self._with(writes[0].collection, put)

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        parts: list[Write | Check] = [*writes, *checks]
        if not parts:
            return Committed(())

        def put(connection: Connection, _first: Table) -> Committed | Rejected:
            found = self._current(connection, parts)
            rejected = refusals(parts, lambda part: found.get((part.collection.name, part.key)))
            if rejected is not None:
                return rejected
            with connection.pipeline():
                done = self._put(connection, [attrs.evolve(w, condition=ANYTHING) for w in writes])
            tokens = _tokens(done)
            return Committed(tuple([tokens.get((w.collection.name, w.key)) for w in writes]))

        return self._with(parts[0].collection, lambda c, t: _serializable(c, lambda: put(c, t)))

    def _current(
        self, connection: Connection, parts: Sequence[Write | Check]
    ) -> dict[tuple[str, Key], Stored]:
        """What is there for the parts of a transaction."""
        keys: dict[str, list[Key]] = {}
        collections = {part.collection.name: part.collection for part in parts}
        for part in parts:
            keys.setdefault(part.collection.name, []).append(part.key)
        return {
            (name, key): stored
            for name, asked in keys.items()
            for key, stored in _records(
                connection, self._table(connection, collections[name]), asked
            ).items()
        }

    def _put(self, connection: Connection, writes: Sequence[Write]) -> list[tuple[Table, Cursor]]:
        """Send writes, those that differ in their values alone together; what tells of tokens."""
        groups: dict[Any, list[Write]] = {}
        for write in writes:
            groups.setdefault((write.collection.name, kind(write)), []).append(write)
        return [
            (table, _sent(connection, table.put(group[start : start + ROWS])))
            for group in groups.values()
            for table in [self._table(connection, group[0].collection)]
            for start in range(0, len(group), ROWS)
        ]

    # -- around it ----------------------------------------------------------------------------

    def translate(self, error: Exception) -> PolystoreError:
        return translated(error)

    def create(self, collection: Collection) -> None:
        with self._connections.call() as connection:
            provision.create(connection, self._schema, collection)
        self._tables.pop(collection.name, None)

    def drop(self, collection: Collection) -> None:
        with self._connections.call() as connection:
            provision.drop(connection, self._schema, collection)
        self._tables.pop(collection.name, None)

    def describe(self, collection: Collection) -> Description:
        with reading(), self._connections.call() as connection:
            table = provision.read(connection, self._schema, collection)
            if table is None:
                return Description(exists=False)
            return Description(exists=True, problems=provision.problems(connection, table))

    def native(self, collection: Collection | None = None) -> Connection:
        """A connection of the caller's own, in autocommit; the caller closes it."""
        return self._connections.connected()

    def close(self) -> None:
        self._connections.close()

    def _with(self, collection: Collection, work: Callable[[Connection, Table], T]) -> T:
        """Work on a table; once more where it has changed since it was read."""
        with self._connections.call() as connection:
            try:
                return work(connection, self._table(connection, collection))
            except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable):
                self._tables.clear()
                if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    connection.execute(b"ROLLBACK")
            return work(connection, self._table(connection, collection))

    def _table(self, connection: Connection, collection: Collection) -> Table:
        table = self._tables.get(collection.name)
        if table is None:
            table = provision.read(connection, self._schema, collection)
            if table is None:
                raise no_collection(self.name, collection)
            self._tables[collection.name] = table
        return table


def _records(connection: Connection, table: Table, keys: Sequence[Key]) -> dict[Key, Stored]:
    text, values = table.get(keys)
    rows = connection.execute(text.encode(), values).fetchall()
    return {stored.key: stored for stored in map(table.stored, rows)}


def _sent(connection: Connection, statement: tuple[str, list[Any]]) -> Cursor:
    text, values = statement
    return connection.execute(text.encode(), values)


def _tokens(done: Sequence[tuple[Table, Cursor]]) -> dict[tuple[str, Key], Any]:
    """The tokens of what was written, by collection and key."""
    return {
        (table.collection.name, table.key(row)): row[-1] for table, cursor in done for row in cursor
    }


def _serializable(connection: Connection, work: Callable[[], T]) -> T:
    """Do something in one transaction; what fails in it is rolled back with its connection."""
    connection.execute(BEGIN)
    done = work()
    connection.execute(b"COMMIT")
    return done


def _next(plan: QueryPlan, records: Sequence[Stored], limit: int) -> Position | None:
    if len(records) < limit or not records:
        return None
    last = records[-1]
    names = plan.index.fields if plan.index else ()
    return Position(last.key, tuple((last.fields or {})[name] for name in names))


def _key(collection: Collection, cursor: str) -> Key:
    try:
        key = decode_key(cursor)
    except ValueError:
        key = ()
    if tuple(map(type, key)) != tuple(field.type for field in collection.key):
        raise CursorExpired("not a cursor of this scan", collection=collection.name, driver=DRIVER)
    return key
