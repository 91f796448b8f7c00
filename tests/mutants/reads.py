"""Broken drivers: reads, queries, pages, scans, indexes and errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from polystore.driver import (
    Consistency,
    QueryPage,
    ReadReply,
    Refused,
    ScanPage,
    Segment,
    Stored,
    Write,
    Written,
)
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.driver import Space
from polystore.errors import Contention, DriverError, OutcomeUnknown, PolystoreError
from polystore.queries import Position, QueryPlan, Range
from polystore.schema import Collection
from polystore.values import Key


class UnprocessedKeysLost(MemoryDriver):
    """The keys that it did not get to are not there."""

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        found = super().read(collection, keys[:100], consistency).records
        return ReadReply([*found, *[None] * (len(keys) - len(found))])


class ReadsAnsweredFromACache(MemoryDriver):
    """A strong read shows what this opening saw last; only its own writes make it look again."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._seen: dict[tuple[str, Key], Stored | None] = {}

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        places = [(collection.name, key) for key in keys]
        if not all(place in self._seen for place in places):
            found = super().read(collection, keys, consistency).records
            self._seen |= dict(zip(places, found, strict=True))
        return ReadReply([self._seen[place] for place in places])

    def write(self, write: Write) -> Written | Refused:
        self._seen.pop((write.collection.name, write.key), None)
        return super().write(write)


class QueriesAnsweredFromACache(MemoryDriver):
    """A query that was asked before has the answer that it had."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._answers: dict[Any, QueryPage] = {}

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        asked = collection.name, repr((plan, after, limit))
        if asked not in self._answers:
            self._answers[asked] = super().query(collection, plan, after, limit)
        return self._answers[asked]


class ReadOutOfOrder(MemoryDriver):
    """Records in the order of their keys."""

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        return super().read(collection, sorted(keys), consistency)


class OffsetPaging(MemoryDriver):
    """A cursor counts what was given: a delete before it makes the next page skip."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        start = int(cursor or 0)
        records = super().scan(collection, segment, None, start + limit).records[start:]
        return ScanPage(records, str(start + limit) if len(records) == limit else None)


class ScanWithoutTombstones(MemoryDriver):
    """What was deleted is not copied."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        page = super().scan(collection, segment, cursor, limit)
        return ScanPage([r for r in page.records if r.fields is not None], page.cursor)


class SegmentsOverlap(MemoryDriver):
    """Every segment is the whole."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        return super().scan(collection, Segment(), cursor, limit)


class SegmentLost(MemoryDriver):
    """It counts segments from 1."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        moved = Segment(segment.index + (segment.count > 1), segment.count)
        return super().scan(collection, moved, cursor, limit)


class LastPageCutOff(MemoryDriver):
    """A short page is the last: here every page after the first is short."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        page = super().scan(collection, segment, cursor, limit)
        return ScanPage(page.records, page.cursor if cursor is None else None)


class Answering(MemoryDriver):
    """It makes something else of a page of a query."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page = super().query(collection, plan, after, limit)
        return QueryPage(self.answered(page.records, plan, after), page.next)

    def answered(
        self, records: list[Stored], plan: QueryPlan, after: Position | None
    ) -> list[Stored]:
        raise NotImplementedError


def indexed(record: Stored, plan: QueryPlan) -> tuple[Any, ...]:
    fields = record.fields or {}
    return tuple(fields[name] for name in plan.index.fields) if plan.index else ()


class CursorSkipsEqualKeys(Answering):
    """A page goes on after the value of the last record, not after the record."""

    def answered(
        self, records: list[Stored], plan: QueryPlan, after: Position | None
    ) -> list[Stored]:
        if plan.index is None or after is None:
            return records
        return [r for r in records if repr(indexed(r, plan)) != repr(after.values)]


class EmptyIndexValueDropped(Answering):
    """A record with an empty text is not in the index."""

    def answered(
        self, records: list[Stored], plan: QueryPlan, after: Position | None
    ) -> list[Stored]:
        return [r for r in records if "" not in indexed(r, plan)]


class OrderByLocale(Answering):
    """Texts in the order of a dictionary."""

    def answered(
        self, records: list[Stored], plan: QueryPlan, after: Position | None
    ) -> list[Stored]:
        def place(record: Stored) -> list[Any]:
            return [p.casefold() if isinstance(p, str) else p for p in record.key]

        if plan.index is not None:
            return records
        return sorted(records, key=place, reverse=plan.descending)


class NumbersInOrderOfText(Answering):
    """10 comes before 9."""

    def answered(
        self, records: list[Stored], plan: QueryPlan, after: Position | None
    ) -> list[Stored]:
        if plan.index is not None:
            return records
        return sorted(records, key=lambda r: [str(p) for p in r.key], reverse=plan.descending)


class IndexInOrderOfUtf16(Answering):
    """Texts of an index in the order of their units of 16 bits."""

    def answered(
        self, records: list[Stored], plan: QueryPlan, after: Position | None
    ) -> list[Stored]:
        if plan.index is None or not all(type(indexed(r, plan)[-1]) is str for r in records):
            return records
        units = {id(r): indexed(r, plan)[-1].encode("utf-16-be", "surrogatepass") for r in records}
        return sorted(records, key=lambda r: units[id(r)], reverse=plan.descending)


class NoneIsNoBound(MemoryDriver):
    """A range from ``None`` is open."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        if plan.range is not None and plan.range.low == (None,):
            plan = attrs.evolve(plan, range=attrs.evolve(plan.range, low=None))
        return super().query(collection, plan, after, limit)


class TombstonesLeftOutOfPartitions(Answering):
    """Whoever copies a partition never hears of a delete."""

    def answered(
        self, records: list[Stored], plan: QueryPlan, after: Position | None
    ) -> list[Stored]:
        return [record for record in records if record.fields is not None]


class IndexWithoutBookkeeping(Answering):
    """A projection: what polystore keeps beside the fields is not in the index."""

    def answered(
        self, records: list[Stored], plan: QueryPlan, after: Position | None
    ) -> list[Stored]:
        if plan.index is None:
            return records
        return [attrs.evolve(record, stamp=None, write_id=None) for record in records]


class DescendingIgnored(MemoryDriver):
    """It has one direction."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        return super().query(collection, attrs.evolve(plan, descending=False), after, limit)


class BoundsIncluded(MemoryDriver):
    """Above is from, below is up to."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        if plan.range is not None:
            plan = attrs.evolve(plan, range=Range(plan.range.low, plan.range.high))
        return super().query(collection, plan, after, limit)


class PageOverTheLimit(MemoryDriver):
    """One record more than it was asked for."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        return super().query(collection, plan, after, limit + 1)


class ErrorsTellValues(MemoryDriver):
    """What it does not know it repeats word by word."""

    def translate(self, error: Exception) -> PolystoreError:
        if isinstance(error, PolystoreError):
            return error
        return DriverError(f"memory failed: {error}", driver=self.name)


class RefusalsToldAsUnknown(MemoryDriver):
    """What the database refused for others' sake may have been written, it says."""

    def translate(self, error: Exception) -> PolystoreError:
        if isinstance(error, Contention):
            return OutcomeUnknown("no answer", driver=self.name)
        return super().translate(error)


class ErrorsPassedOn(MemoryDriver):
    """An error of the tree becomes one that says nothing."""

    def translate(self, error: Exception) -> PolystoreError:
        return DriverError("memory failed", driver=self.name)
