"""Broken drivers of somebody who had not seen the suite, which it let pass at first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from polystore.driver import (
    ANYTHING,
    Check,
    Committed,
    Description,
    QueryPage,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Token,
    Unprocessed,
    Write,
    Written,
)
from polystore.driver.bookkeeping import holds, refusals
from polystore.driver.keycodec import encode_key
from polystore.driver.ordering import encode_ordered
from polystore.driver.paging import position
from polystore.driver.spans import span
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.driver import Space
from polystore.drivers.memory.table import Row, Table
from polystore.errors import DriverError, PolystoreError
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import CANONICAL_NAN, Key, same


class DeleteAfterALook(MemoryDriver):
    """It has no conditional delete: it looks, and then deletes whatever is there."""

    def write(self, write: Write) -> Written | Refused:
        if write.fields is None and write.stamp is None:
            row = self._table(write.collection).rows.get(write.key)
            if not holds(write.condition, row):
                return Refused()
            time.sleep(0.002)
            write = attrs.evolve(write, condition=ANYTHING)
        return super().write(write)


class RejectionsShared(MemoryDriver):
    """What refuses a commit is copied one level deep."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        outcome = super().commit(writes, checks)
        parts: list[Write | Check] = [*writes, *checks]
        for part, refusal in zip(parts, getattr(outcome, "refusals", ()), strict=False):
            if refusal is not None and refusal.current and refusal.current.fields is not None:
                fields = self._table(part.collection).rows[part.key].fields
                refusal.current.fields = dict(fields or {})
        return outcome


class EqualPutsLeftOut(MemoryDriver):
    """Many leave out a put of what is there already: one token, and the write id before."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        return [self._sent(write) for write in writes]

    def _sent(self, write: Write) -> Written | Refused:
        row = self._table(write.collection).rows.get(write.key)
        if row is None or row.fields is None or not holds(write.condition, row):
            return self.write(write)
        times = (row.stamp, row.expires) == (write.stamp, write.expires)
        return Written(row.token) if times and same(row.fields, write.fields) else self.write(write)


class LastOfManyLost(MemoryDriver):
    """It sends 25 at a time, but not a last one that is alone."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        outcomes = []
        for start in range(0, max(len(writes) - 1, 1), 25):
            outcomes += super().write_many(writes[start : start + 25])
        return outcomes


class CommitHalfWay(MemoryDriver):
    """It looks up collections while it writes: where the second is not there, the first has it."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        with self._lock:
            rejected = refusals((*writes, *checks), self._current)
            if rejected is not None:
                return rejected
            return Committed(tuple(self._apply(self._table(w.collection), w) for w in writes))


def sorted_page(
    driver: MemoryDriver,
    collection: Collection,
    plan: QueryPlan,
    after: Position | None,
    limit: int,
    place: Callable[[tuple[Any, ...], Key], Any],
) -> QueryPage:
    """A page of a query in an order of its own, that of ``place`` of the values and the key."""
    names = plan.index.fields if plan.index else ()
    records = MemoryDriver.query(driver, collection, plan, None, 10**9).records
    placed = [(place(tuple((r.fields or {}).get(n) for n in names), r.key), r) for r in records]
    placed.sort(key=lambda entry: entry[0], reverse=plan.descending)
    if after is not None:
        at = place(after.values, after.key)
        placed = [e for e in placed if (e[0] < at if plan.descending else e[0] > at)]
    page = [record for _, record in placed[:limit]]
    return QueryPage(page, position(plan, page[-1]) if page and len(placed) > limit else None)


class KeyIntsAsScores(MemoryDriver):
    """Ints of a key are scores of a sorted set: beyond 2⁵³ some tie, and their text decides."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        if plan.index is not None:
            return super().query(collection, plan, after, limit)

        def place(_: tuple[Any, ...], key: Key) -> Any:
            return [(float(p), str(p)) if type(p) is int else p for p in key]

        return sorted_page(self, collection, plan, after, limit, place)


class NanHighest(MemoryDriver):
    """NaN is above every number, in an index of several fields."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        if plan.index is None or len(plan.index.fields) < 2:
            return super().query(collection, plan, after, limit)

        def place(values: tuple[Any, ...], key: Key) -> Any:
            return [
                *("36" if same(v, CANONICAL_NAN) else encode_ordered(v) for v in values),
                encode_key(key),
            ]

        return sorted_page(self, collection, plan, after, limit, place)


class UpToIncludesLonger(MemoryDriver):
    """The upper bound of a range of a partition is a prefix."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        bounds = plan.range
        if plan.index is None and bounds and bounds.high and type(bounds.high[0]) is str:
            high = (bounds.high[0] + "\U0010ffff",) if bounds.high_included else bounds.high
            plan = attrs.evolve(plan, range=attrs.evolve(bounds, high=high))
        return super().query(collection, plan, after, limit)


class TombstoneEndsPartition(MemoryDriver):
    """A page that ends with a tombstone has no place where it goes on."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page = super().query(collection, plan, after, limit)
        if page.records and page.records[-1].fields is None:
            page.next = None
        return page


class CommitsWithoutNewIndex(MemoryDriver):
    """What it knows of a collection is read once: its commits do not fill an index made later."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._seen: dict[str, tuple[str, ...]] = {}

    def _apply(self, table: Table, write: Write) -> Token:
        self._seen.setdefault(write.collection.name, tuple(table.indexes))
        return super()._apply(table, write)

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        outcome = super().commit(writes, checks)
        for write in writes if isinstance(outcome, Committed) else ():
            table = self._table(write.collection)
            row = table.rows.get(write.key)
            for n, name in enumerate(table.indexes) if row is not None else ():
                assert row is not None
                if name not in self._seen[write.collection.name] and row.entries[n] is not None:
                    table._orders[n].remove((row.entries[n], write.key))  # type: ignore[arg-type]
                    row.entries[n] = None
        return outcome


class DropKeepsEntries(MemoryDriver):
    """A drop leaves the entries of indexes; those that lead nowhere are skipped."""

    def drop(self, collection: Collection) -> None:
        table = self._tables.get(collection.name)
        super().drop(collection)
        if table is not None:
            orders = dict(zip(table.indexes, table._orders, strict=True))
            self._space.__dict__.setdefault("ghosts", {})[collection.name] = orders

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page = super().query(collection, plan, after, limit)
        orders = self._space.__dict__.get("ghosts", {}).get(collection.name, {})
        if plan.index is not None and after is None and plan.index.name in orders:
            reach, rows = span(plan, None), self._table(collection).rows
            had = {record.key for record in page.records}
            for text, key in orders[plan.index.name]:
                if reach.low <= text < reach.high and key in rows and key not in had:
                    page.records.insert(0, rows[key].stored(key))
        return page


class DescribeComparesNames(MemoryDriver):
    """An index is there where one of its name is, whatever its fields are."""

    def describe(self, collection: Collection) -> Description:
        told = super().describe(collection)
        if not told.exists:
            return told
        there = self._tables[collection.name].indexes
        known = [repr(index.name) for index in collection.indexes if index.name in there]
        left = tuple(p for p in told.problems if not any(name in p for name in known))
        return attrs.evolve(told, problems=left)


class DescribesFromMemory(MemoryDriver):
    """What was described once is told again, also when it is closed."""

    def describe(self, collection: Collection) -> Description:
        told: dict[str, Description] = self.__dict__.setdefault("told", {})
        if self._open or collection.name not in told:
            told[collection.name] = super().describe(collection)
        return told[collection.name]


class SnapshotLeftOver(MemoryDriver):
    """A snapshot is let go at the end of its scan: one that is given up serves the next one."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._taken: dict[Any, list[tuple[str, Key, Row]]] = {}

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        table, at = self._table(collection), (collection.name, segment)
        if not segment.snapshot:
            return super().scan(collection, segment, cursor, limit)
        if at not in self._taken:
            with self._lock:
                entries = table.after(segment, None, 10**9)
                self._taken[at] = [(text, key, table.rows[key]) for text, key in entries]
        left = [entry for entry in self._taken[at] if cursor is None or entry[0] > cursor]
        if len(left) <= limit:
            del self._taken[at]
        page = left[:limit]
        records = [row.stored(key) for _, key, row in page]
        return ScanPage(records, page[-1][0] if len(left) > limit else None)


class ValueErrorsInFull(MemoryDriver):
    """The text of a ValueError is passed on, as it comes from its own codec."""

    def translate(self, error: Exception) -> PolystoreError:
        if isinstance(error, ValueError):
            return DriverError(f"memory cannot write this: {error}", driver=self.name)
        return super().translate(error)
