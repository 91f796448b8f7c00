"""SQLite as a driver: one file in WAL mode, safe for many threads and processes of one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import attrs

from polystore.capabilities import Capabilities, Indexes, Scope, Transactions, Values
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
    Token,
    Unprocessed,
    Write,
    Written,
    readable,
)
from polystore.driver.absence import no_collection, no_index
from polystore.driver.bookkeeping import holds, refusals
from polystore.driver.document import encode_document
from polystore.driver.keycodec import decode_key, encode_key
from polystore.driver.policies import empties
from polystore.driver.spans import span
from polystore.drivers.sqlite import provision
from polystore.drivers.sqlite.connections import DRIVER, Connections, NoFile
from polystore.drivers.sqlite.faults import may_be_stale, translated
from polystore.drivers.sqlite.layout import Layout, indexes_of, read_layout, table_name
from polystore.drivers.sqlite.rows import Rows, Stale, following
from polystore.drivers.sqlite.statements import Statements
from polystore.errors import ConfigError, CursorExpired, PolystoreError, Unsupported
from polystore.plugin.specs import DriverURL
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key

T = TypeVar("T")

_SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}
_NATIVE = frozenset({"null", "bool", "int", "float", "text", "list", "list in a list", "map"})
"""Kinds of JSON."""


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
    options = dict(url.options)
    synchronous = options.pop("synchronous", "full")
    if synchronous not in _SYNCHRONOUS:
        raise ConfigError("synchronous must be full or normal", driver=DRIVER)
    timeout = _seconds(options.pop("timeout", "5"))
    if options:
        raise ConfigError(
            f"unknown options {sorted(options)}; there are: synchronous, timeout", driver=DRIVER
        )
    # Absolute from now on: a process may change its directory.
    return SqliteDriver(Connections(Path(path).absolute(), _SYNCHRONOUS[synchronous], timeout))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise ConfigError("timeout must be a number of seconds, 0 to 3600", driver=DRIVER)
    return seconds


@attrs.frozen(eq=False)
class _Table:
    """A collection's table as it was read: what columns it has, and what is sent for them."""

    layout: Layout
    statements: Statements
    rows: Rows


class SqliteDriver(Driver):
    """Collections as tables of one file."""

    name = DRIVER

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._tables: dict[str, _Table] = {}

    # -- what it promises ---------------------------------------------------------------------

    def capabilities(self, collection: Collection) -> Capabilities:
        """The only limit, a billion bytes a row, is beyond what a record should reach."""
        table_name(collection)
        return Capabilities(
            values=Values(native=_NATIVE),
            transactions=Transactions(scope=Scope.STORE),
            indexes=Indexes(empty=empties(indexes_of(collection))),
        )

    def measure(self, write: Write) -> Sizes:
        """Bytes of the document, which is the largest value of a row."""
        if write.fields is None:
            return Sizes(record=0)
        return Sizes(record=len(encode_document(write.fields).encode()))

    # -- reading ------------------------------------------------------------------------------

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        def look(connection: sqlite3.Connection, table: _Table) -> ReadReply:
            return ReadReply([_get(connection, table, key) for key in keys])

        return self._with(collection, look)

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        def look(connection: sqlite3.Connection, table: _Table) -> QueryPage:
            if plan.index is None:
                text, values = table.statements.by_key(plan, after, limit)
            else:
                kept = table.layout.index(plan.index)
                if kept is None:
                    raise no_index(self.name, collection, plan.index)
                text, values = table.statements.by_index(
                    kept, span(plan, after), plan.descending, limit
                )
            rows = connection.execute(text, values).fetchall()
            records = [table.rows.stored(row) for row in rows]
            return QueryPage(records, _next(plan, records, limit))

        return self._with(collection, look)

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        after = None if cursor is None else _key(cursor)

        def look(connection: sqlite3.Connection, table: _Table) -> ScanPage:
            text, values = table.statements.scan(after, *segment.modulo(), limit)
            rows = connection.execute(text, values).fetchall()
            last = following(rows, limit)
            of = table.rows
            records, unreadable = readable(rows, of.stored, of.place, self.translate)
            cursor = None if last is None else encode_key(of.resume(rows))
            return ScanPage(records, cursor, unreadable)

        return self._with(collection, look)

    def halve(self, collection: Collection, segment: Segment) -> bool:
        return True

    # -- writing ------------------------------------------------------------------------------

    def write(self, write: Write) -> Written | Refused:
        def put(connection: sqlite3.Connection, table: _Table) -> Written | Refused:
            marked = write.write_id is not None and table.layout.write_id is not None
            if write.condition is ANYTHING and marked:
                return Written(_apply(connection, table, write))
            with self._connections.writing(connection):
                return _decide(connection, table, write)

        return self._with(write.collection, put)

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        """All in one transaction of the file; each decides for itself."""
        if not writes:
            return []

        def put(
            connection: sqlite3.Connection, _first: _Table
        ) -> list[Written | Refused | Unprocessed]:
            with self._connections.writing(connection):
                return [
                    _decide(connection, self._table(connection, write.collection), write)
                    for write in writes
                ]

        return self._with(writes[0].collection, put)

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        parts: list[Write | Check] = [*writes, *checks]
        if not parts:
            return Committed(())

        def put(connection: sqlite3.Connection, _first: _Table) -> Committed | Rejected:
            def current(part: Write | Check) -> Stored | None:
                return _get(connection, self._table(connection, part.collection), part.key)

            with self._connections.writing(connection):
                rejected = refusals(parts, current)
                if rejected is not None:
                    return rejected
                return Committed(
                    tuple(
                        _apply(connection, self._table(connection, write.collection), write)
                        for write in writes
                    )
                )

        return self._with(parts[0].collection, put)

    # -- around it ----------------------------------------------------------------------------

    def translate(self, error: Exception) -> PolystoreError:
        return translated(error)

    def create(self, collection: Collection) -> None:
        with self._connections.call():
            connection = self._connections.make()
            with self._connections.writing(connection):
                provision.create(connection, collection)
        self._tables.pop(collection.name, None)

    def drop(self, collection: Collection) -> None:
        with self._connections.call():
            try:
                connection = self._connections.get()
            except NoFile:
                return
            with self._connections.writing(connection):
                provision.drop(connection, collection)
        self._tables.pop(collection.name, None)

    def describe(self, collection: Collection) -> Description:
        with self._connections.call():
            try:
                connection = self._connections.get()
            except NoFile:
                return Description(exists=False)
            try:
                layout = read_layout(connection, collection)
            except ConfigError as error:
                return Description(exists=True, problems=(error.message,))
        if layout is None:
            return Description(exists=False)
        return Description(exists=True, problems=provision.problems(layout, collection))

    def native(self, collection: Collection | None = None) -> sqlite3.Connection:
        """This thread's connection, in autocommit mode; the file is made if it is not there.

        A fork closes it: ask again after one.
        """
        return self._connections.make()

    def close(self) -> None:
        self._connections.close()

    def _with(self, collection: Collection, work: Callable[[sqlite3.Connection, _Table], T]) -> T:
        """Work on a table; once more where it has got other columns since it was read."""
        with self._connections.call():
            try:
                connection = self._connections.get()
            except NoFile:
                raise no_collection(self.name, collection) from None
            try:
                return work(connection, self._table(connection, collection))
            except (sqlite3.OperationalError, Stale) as error:
                if not may_be_stale(error):
                    raise
            # Any table of the call may be the one, so all are read again.
            self._tables.clear()
            return work(connection, self._table(connection, collection))

    def _table(self, connection: sqlite3.Connection, collection: Collection) -> _Table:
        table = self._tables.get(collection.name)
        if table is None:
            layout = read_layout(connection, collection)
            if layout is None:
                raise no_collection(self.name, collection)
            table = _Table(layout, Statements(collection, layout), Rows(collection, layout))
            self._tables[collection.name] = table
        return table


def _get(connection: sqlite3.Connection, table: _Table, key: Key) -> Stored | None:
    row = connection.execute(table.statements.get, key).fetchone()
    return None if row is None else table.rows.stored(row)


def _decide(connection: sqlite3.Connection, table: _Table, write: Write) -> Written | Refused:
    """Carry out a write if its condition holds. Nobody else writes meanwhile."""
    if write.condition is not ANYTHING:
        current = _get(connection, table, write.key)
        if not holds(write.condition, current):
            return Refused(told=True, current=current)
    return Written(_apply(connection, table, write))


def _apply(connection: sqlite3.Connection, table: _Table, write: Write) -> Token:
    """Carry out a write whose condition holds; the token of the new state."""
    if write.fields is None and write.stamp is None:
        connection.execute(table.statements.delete, write.key)
        return None
    if not table.layout.unique:
        raise Unsupported(
            f"the table {table.layout.table!r} admits a key more than once, so nothing can be put "
            "there: store.create() makes a unique index",
            collection=write.collection.name,
            driver=DRIVER,
        )
    row = table.rows.row(write)
    connection.execute(table.statements.put, table.rows.written(row))
    if table.layout.write_id is None or write.write_id is None:
        row = connection.execute(table.statements.get, write.key).fetchone()
    return table.rows.token(row)


def _next(plan: QueryPlan, records: Sequence[Stored], limit: int) -> Position | None:
    if len(records) < limit or not records:
        return None
    last = records[-1]
    names = plan.index.fields if plan.index else ()
    return Position(last.key, tuple((last.fields or {})[name] for name in names))


def _key(cursor: str) -> Key:
    try:
        return decode_key(cursor)
    except ValueError:
        raise CursorExpired("this is no cursor of a scan", driver=DRIVER) from None
