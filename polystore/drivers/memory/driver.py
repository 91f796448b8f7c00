"""Memory as a driver: strong reads, transactions over the whole space, no limits."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import count

from polystore.capabilities import Capabilities, Indexes, Scope, Transactions
from polystore.driver import (
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
    Write,
    Written,
)
from polystore.driver.absence import check_key, closed, no_collection, no_index, problems
from polystore.driver.bookkeeping import holds, refusals
from polystore.driver.kept import Kept
from polystore.driver.paging import position
from polystore.driver.policies import OPTION, Policed, empties, misplaced, policed
from polystore.driver.spans import span
from polystore.drivers.memory.table import Table
from polystore.errors import ConfigError, DriverError, PolystoreError
from polystore.plugin.specs import DriverURL
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key, canonical


class Space:
    """The collections of one name. All openings of that name in this process share it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tables: dict[str, Table] = {}
        self.tokens = count(1)


_SPACES: dict[str, Space] = {}
_SPACES_LOCK = threading.Lock()


def open_memory(url: DriverURL) -> Driver:
    """Open ``memory://name``, shared by the whole process, or ``memory://``, a private one.

    Raises:
        ConfigError: the URL has options; there are none.
    """
    if url.options:
        raise ConfigError(f"memory:// takes no options, not {sorted(url.options)}", driver="memory")
    if not url.place:
        return MemoryDriver(Space())
    with _SPACES_LOCK:
        return MemoryDriver(_SPACES.setdefault(url.place, Space()))


class MemoryDriver(Driver):
    """Collections in a :class:`Space`. A token is a number that no other state ever has."""

    name = "memory"

    def __init__(self, space: Space) -> None:
        self._space = space
        self._lock = space.lock
        self._tables = space.tables
        self._open = True

    def capabilities(self, collection: Collection) -> Capabilities:
        return Capabilities(
            transactions=Transactions(scope=Scope.STORE),
            indexes=Indexes(empty=empties(_indexes(collection))),
        )

    def measure(self, write: Write) -> Sizes:
        """Bytes of the canonical form: memory has no accounting of its own, and no limits."""
        return Sizes(record=len(canonical(write.fields or {})))

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        rows = self._table(collection).rows
        # Rows are replaced whole, so that a look needs no lock.
        return ReadReply(
            [row.stored(key) if (row := rows.get(key)) is not None else None for key in keys]
        )

    def write(self, write: Write) -> Written | Refused:
        with self._lock:
            table = self._table(write.collection)
            current = table.rows.get(write.key)
            if holds(write.condition, current):
                return Written(self._apply(table, write))
        return Refused(told=True, current=None if current is None else current.stored(write.key))

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        with self._lock:
            rejected = refusals((*writes, *checks), self._current)
            if rejected is not None:
                return rejected
            tables = [self._table(write.collection) for write in writes]
            return Committed(tuple(map(self._apply, tables, writes)))

    def _apply(self, table: Table, write: Write) -> Token:
        """Carry out a write whose condition holds; its token. The lock is held."""
        if write.fields is None and write.stamp is None:
            table.remove(write.key)
            return None
        token = self._token(write)
        table.put(write, token)
        return token

    def _token(self, write: Write) -> Token:
        """What compares the state that a write leaves behind."""
        return next(self._space.tokens)

    def _current(self, part: Write | Check) -> Stored | None:
        row = self._table(part.collection).rows.get(part.key)
        return None if row is None else row.stored(part.key)

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        table = self._table(collection)
        index = plan.index
        if index is not None:
            there = table.indexes.get(index.name)
            if there is None or there.index != index:
                raise no_index(self.name, collection, index)
        with self._lock:
            keys = table.within(index, span(plan, after), plan.descending, limit)
            rows = [(key, table.rows[key]) for key in keys]
        records = [row.stored(key) for key, row in rows]
        ends = len(records) < limit or not records
        return QueryPage(records, None if ends else position(plan, records[-1]))

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        table = self._table(collection)
        with self._lock:
            entries = table.after(segment, cursor, limit)
            rows = [(key, table.rows[key]) for _, key in entries]
        records = [row.stored(key) for key, row in rows]
        return ScanPage(records, entries[-1][0] if len(entries) == limit else None)

    def halve(self, collection: Collection, segment: Segment) -> bool:
        return True

    def translate(self, error: Exception) -> PolystoreError:
        if isinstance(error, PolystoreError):
            return error
        return DriverError(f"memory failed with {type(error).__name__}", driver=self.name)

    def create(self, collection: Collection) -> None:
        if not self._open:
            raise closed(self.name)
        with self._lock:
            table = self._tables.setdefault(collection.name, Table(collection))
            check_key(self.name, collection, table.key)
            for kept in _indexes(collection):
                if table.indexes.get(kept.index.name) != kept:
                    table.add_index(kept)

    def drop(self, collection: Collection) -> None:
        if not self._open:
            raise closed(self.name)
        with self._lock:
            self._tables.pop(collection.name, None)

    def describe(self, collection: Collection) -> Description:
        if not self._open:
            raise closed(self.name)
        table = self._tables.get(collection.name)
        if table is None:
            return Description(exists=False)
        there = Kept(table.key, tuple(table.indexes.values()))
        found = problems(self.name, collection, _indexes(collection), there)
        return Description(exists=True, problems=found)

    def native(self, collection: Collection | None = None) -> Mapping[str, Table]:
        """The tables by name of collection, as they are; whoever changes them knows how."""
        if not self._open:
            raise closed(self.name)
        return self._space.tables

    def close(self) -> None:
        self._open = False
        self._tables = {}

    def _table(self, collection: Collection) -> Table:
        try:
            return self._tables[collection.name]
        except KeyError:
            if not self._open:
                raise closed(self.name) from None
            raise no_collection(self.name, collection) from None


def _indexes(collection: Collection) -> tuple[Policed, ...]:
    """The indexes under their policies; ``native`` is what memory's own order of values is.

    Raises:
        ConfigError: the placement says something else than policies.
    """
    unknown = sorted(set(collection.placement("memory")) - {OPTION})
    if unknown:
        raise misplaced("memory", collection, f"unknown option {unknown}; there is: {OPTION}")
    return policed(collection, "memory")
