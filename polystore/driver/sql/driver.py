"""A driver over connections and tables, for databases that speak SQL."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol, TypeVar

from polystore.driver.absence import MAKE_IT, no_collection, no_index, present
from polystore.driver.bookkeeping import holds, refusals
from polystore.driver.contract import (
    ANYTHING,
    Anything,
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
    Stored,
    Token,
    Unprocessed,
    Write,
    Written,
    readable,
)
from polystore.driver.faults import Silent
from polystore.driver.kept import Kept
from polystore.driver.keycodec import decode_key, encode_key
from polystore.driver.paging import key_at, position
from polystore.driver.policies import joined
from polystore.driver.spans import span
from polystore.driver.sql import provision
from polystore.driver.sql.dialect import Dialect
from polystore.driver.sql.layout import Layout
from polystore.driver.sql.rows import Stale
from polystore.driver.sql.table import Table, deletes, table_of
from polystore.errors import ConfigError, CursorExpired, InvalidRequest
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key

T = TypeVar("T")


class NoDatabase(Exception):
    """There is no such database yet; nothing makes it but ``create``."""


class Connections(Protocol):
    """Where a driver has its connections from."""

    def call(self) -> AbstractContextManager[Any]:
        """A connection in autocommit, for one call and for nobody else meanwhile.

        Raises:
            NoDatabase: there is nothing yet to connect to.
        """
        ...

    def close(self) -> None:
        """Close all, those of running calls when these end. A second call does nothing."""
        ...


@contextmanager
def transaction(connection: Any, begin: str) -> Iterator[None]:
    """One transaction, rolled back if anything is raised."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(Exception):  # a connection that is gone has rolled back
            connection.rollback()
        raise


class SqlDriver(Driver):
    """Collections as tables.

    Whatever is decided is read first, in a transaction. Where the database can decide by itself,
    and lies behind a network, there is :class:`~polystore.driver.sql.DecidingDriver`.
    """

    dialect: Dialect

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._tables: dict[str, Table] = {}

    # -- what a driver gives ------------------------------------------------------------------

    @abstractmethod
    def table_of(self, collection: Collection) -> str:
        """The table of a collection, as SQL. Raises ConfigError for a placement that is wrong."""

    @abstractmethod
    def read_layout(self, connection: Any, collection: Collection) -> Layout | None:
        """How a collection's table is by now; ``None`` where there is none.

        Raises:
            ConfigError: it cannot hold the collection.
        """

    @abstractmethod
    def note(self, connection: Any, layout: Layout, kept: Kept) -> None:
        """Write down what a table keeps, for :meth:`read_layout` of every process.

        In the transaction of :meth:`provisioning`. Who writes with a layout of before must be told
        that it is stale (DRV-19).

        Args:
            connection: in the transaction.
            layout: the table as it was before.
            kept: the indexes and columns that it keeps from now on; the same as before, often.
        """

    def columns_of(self, collection: Collection) -> Mapping[str, str]:
        """Types of native columns that a placement declares, by the names of fields.

        Raises:
            ConfigError: the placement is wrong.
        """
        return {}

    @abstractmethod
    def stale(self, error: Exception) -> bool:
        """Whether an error may mean that a table is not what its layout says, any more."""

    def unanswered(self, error: Exception) -> bool:
        """Whether an error means that a call was sent, and no answer came."""
        return False

    # -- reading ------------------------------------------------------------------------------

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        def work(connection: Any, table: Table) -> ReadReply:
            return ReadReply(self.look(connection, table, keys))

        return self.on_table(collection, work, reading=True)

    def look(self, connection: Any, table: Table, keys: Sequence[Key]) -> list[Stored | None]:
        """The records under keys, in their order: here one by one."""
        get, stored = table.statements.get, table.rows.stored
        asked = keys if self.dialect.to_part is None else map(self.dialect.bound, keys)
        execute = connection.execute
        return [
            None if (row := execute(get, key).fetchone()) is None else stored(row) for key in asked
        ]

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        def work(connection: Any, table: Table) -> QueryPage:
            if plan.index is None:
                text, values = table.statements.by_key(plan, after, limit)
            else:
                declared = self.dialect.indexes_of(collection)
                if not set(declared) <= set(table.layout.kept):
                    self._tables.clear()  # another process may have made it by now
                    table = self.table(connection, collection)
                kept = present(self.name, collection, plan.index, declared, table.layout.kept)
                text, values = table.statements.by_index(
                    kept, span(plan, after), plan.descending, limit
                )
            rows = connection.execute(text, values).fetchall()
            records = [table.rows.stored(row) for row in rows]
            ends = len(records) < limit or not records
            return QueryPage(records, None if ends else position(plan, records[-1]))

        return self.on_table(collection, work, reading=True)

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        after = None if cursor is None else self._after(collection, cursor)

        def work(connection: Any, table: Table) -> ScanPage:
            text, values = table.statements.scan(after, *segment.modulo(), limit)
            rows = connection.execute(text, values).fetchall()
            of = table.rows
            records, unreadable = readable(rows, of.stored, of.place, self.translate)
            following = encode_key(of.resume(rows)) if len(rows) == limit else None
            return ScanPage(records, following, unreadable)

        return self.on_table(collection, work, reading=True)

    def _after(self, collection: Collection, cursor: str) -> Key:
        if self.dialect.strict:
            return key_at(self.name, collection, cursor)
        try:
            return decode_key(cursor)
        except ValueError:
            raise CursorExpired("not a cursor of this scan", driver=self.name) from None

    def halve(self, collection: Collection, segment: Segment) -> bool:
        return True

    # -- writing ------------------------------------------------------------------------------

    def write(self, write: Write) -> Written | Refused:
        return self.on_table(write.collection, lambda c, table: self.put(c, table, write))

    def put(self, connection: Any, table: Table, write: Write) -> Written | Refused:
        """One write under its condition: here one that is looked at in a transaction."""
        if write.condition is ANYTHING and table.rows.foretold(write) is not None:
            return Written(self.put_all(connection, [(table, write)])[0])
        with transaction(connection, self.dialect.begin):
            if write.condition is not ANYTHING:
                (current,) = self.look(connection, table, [write.key])
                if not holds(write.condition, current):
                    return Refused(told=True, current=current)
            return Written(self.put_all(connection, [(table, write)])[0])

    def put_all(self, connection: Any, changes: Sequence[tuple[Table, Write]]) -> list[Token]:
        """Carry out writes whose conditions hold; their tokens. Here one by one."""
        return [self._put(connection, table, write) for table, write in changes]

    def _put(self, connection: Any, table: Table, write: Write) -> Token:
        text, values = table.change(write)
        cursor = connection.execute(text, values)
        if deletes(write):
            return None
        if table.layout.state is not None:
            return cursor.fetchone()[0]
        token = table.rows.foretold(write)
        if token is None:
            key = self.dialect.bound(write.key)
            token = table.rows.token(connection.execute(table.statements.get, key).fetchone())
        return token

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        """All in one transaction; each decides for itself."""
        if not writes:
            return []

        def work(connection: Any, _first: Table) -> list[Written | Refused | Unprocessed]:
            with transaction(connection, self.dialect.begin):
                found = self._current(connection, writes)
                current = [found.get((w.collection.name, w.key)) for w in writes]
                held = [holds(w.condition, c) for w, c in zip(writes, current, strict=True)]
                doing = [w for w, holding in zip(writes, held, strict=True) if holding]
                tokens = iter(self._put_each(connection, doing))
                return [
                    Written(next(tokens)) if holding else Refused(True, one)
                    for one, holding in zip(current, held, strict=True)
                ]

        return self.on_table(writes[0].collection, work)

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        parts: list[Write | Check] = [*writes, *checks]
        if not parts:
            return Committed(())

        def work(connection: Any, _first: Table) -> Committed | Rejected:
            with transaction(connection, self.dialect.begin):
                found = self._current(connection, parts)
                rejected = refusals(parts, lambda p: found.get((p.collection.name, p.key)))
                if rejected is not None:
                    return rejected
                return Committed(tuple(self._put_each(connection, writes)))

        return self.on_table(parts[0].collection, work)

    def _current(
        self, connection: Any, parts: Sequence[Write | Check]
    ) -> dict[tuple[str, Key], Stored | None]:
        """What is there for the conditions of a transaction."""
        asked: dict[str, tuple[Collection, list[Key]]] = {}
        for part in parts:
            if not isinstance(part.condition, Anything):
                asked.setdefault(part.collection.name, (part.collection, []))[1].append(part.key)
        found: dict[tuple[str, Key], Stored | None] = {}
        for name, (collection, keys) in asked.items():
            records = self.look(connection, self.table(connection, collection), keys)
            found.update(zip([(name, key) for key in keys], records, strict=True))
        return found

    def _put_each(self, connection: Any, writes: Sequence[Write]) -> list[Token]:
        return self.put_all(
            connection, [(self.table(connection, write.collection), write) for write in writes]
        )

    # -- around it ----------------------------------------------------------------------------

    def provisioning(self, connection: Any, collection: Collection) -> AbstractContextManager[None]:
        """The transaction in which a collection is made, by one process at a time."""
        return transaction(connection, self.dialect.begin)

    def create(self, collection: Collection) -> None:
        with self._connections.call() as connection, self.provisioning(connection, collection):
            self._make(connection, collection)
        self._tables.pop(collection.name, None)

    def _make(self, connection: Any, collection: Collection) -> None:
        """Make table, columns, unique key and indexes, as far as they are not there."""
        layout = self.read_layout(connection, collection)
        declared, columns = self.dialect.indexes_of(collection), self.columns_of(collection)
        if layout is None:
            table = self.table_of(collection)
            provision.make_table(connection, self.dialect, table, collection)
            layout = self._now(connection, collection).layout
        provision.complete(connection, self.dialect, layout, columns)
        if not layout.unique:
            self._make_unique(connection, collection, layout)
        missing = [one for one in declared if one not in layout.kept]
        for one in missing:
            provision.add_index(connection, self.dialect, layout, one)
        kept = Kept(collection.key, joined(declared, layout.kept), columns)
        self.note(connection, layout, kept)
        laid = columns.keys() <= layout.fields
        if laid and not missing:
            return
        now = self._now(connection, collection)
        if laid:
            provision.fill(connection, now, now.placed)
        else:
            # A column that was there before is the place of its field already.
            provision.fill(connection, now.without(columns.keys() - {*layout.columns}), now.relaid)

    def _make_unique(self, connection: Any, collection: Collection, layout: Layout) -> None:
        try:
            provision.make_unique(connection, self.dialect, layout, collection)
        except Exception as error:
            if not isinstance(self.translate(error), InvalidRequest):
                raise
            raise ConfigError(
                f"the table {layout.name!r} has keys more than once: remove the doubles first",
                collection=collection.name,
                driver=self.name,
            ) from error

    def drop(self, collection: Collection) -> None:
        with (
            suppress(NoDatabase),
            self._connections.call() as connection,
            self.provisioning(connection, collection),
        ):
            self.remove(connection, collection)
        self._tables.pop(collection.name, None)

    def remove(self, connection: Any, collection: Collection) -> None:
        """Remove a table, and whatever the driver has put elsewhere for it."""
        connection.execute(f"DROP TABLE IF EXISTS {self.table_of(collection)}", ())

    def problems(self, connection: Any, collection: Collection, layout: Layout) -> list[str]:
        """What differs from the declaration, each a sentence that says what to do."""
        declared = self.dialect.indexes_of(collection)
        missing = [kept.index for kept in declared if kept not in layout.kept]
        lacking = sorted(self.columns_of(collection).keys() - layout.fields)
        found = [no_index(self.name, collection, index).message for index in missing]
        if lacking:
            found.append(f"there are no columns {', '.join(lacking)} yet; {MAKE_IT}")
        if not layout.unique:
            found.append(
                f"the table {layout.name!r} admits a key more than once: give it a primary key, or "
                "let store.create() make a unique index"
            )
        return found

    def describe(self, collection: Collection) -> Description:
        try:
            with self._connections.call() as connection:
                try:
                    layout = self.read_layout(connection, collection)
                except ConfigError as error:
                    return Description(exists=True, problems=(error.message,))
                if layout is None:
                    return Description(exists=False)
                return Description(True, tuple(self.problems(connection, collection, layout)))
        except NoDatabase:
            return Description(exists=False)
        except Exception as error:
            if self.unanswered(error):
                raise Silent from error
            raise

    def close(self) -> None:
        self._connections.close()

    def on_table(
        self,
        collection: Collection,
        work: Callable[[Any, Table], T],
        *,
        reading: bool = False,
    ) -> T:
        """Work on a table; once more where it has changed since it was read.

        Args:
            collection: what lies in it.
            work: is given a connection and the table.
            reading: whether it changes nothing: without an answer it may be asked again.
        """
        try:
            with self._connections.call() as connection:
                try:
                    return work(connection, self.table(connection, collection))
                except Exception as error:
                    if not (isinstance(error, Stale) or self.stale(error)):
                        raise
                connection.rollback()
                # Any table of the call may be the one, so all are read again.
                self._tables.clear()
                return work(connection, self.table(connection, collection))
        except NoDatabase:
            raise no_collection(self.name, collection) from None
        except Exception as error:
            if reading and self.unanswered(error):
                raise Silent from error
            raise

    def table(self, connection: Any, collection: Collection) -> Table:
        """A collection's table, as it was when it was last read."""
        table = self._tables.get(collection.name)
        if table is None:
            table = self._tables[collection.name] = self._now(connection, collection)
        return table

    def _now(self, connection: Any, collection: Collection) -> Table:
        layout = self.read_layout(connection, collection)
        if layout is None:
            raise no_collection(self.name, collection)
        return table_of(self.dialect, collection, layout)
