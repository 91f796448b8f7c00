"""Broken drivers: where pages go on and what they show, values in an index, stamps and threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import attrs

from polystore.driver import (
    ANYTHING,
    Check,
    Committed,
    Consistency,
    OlderThan,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Stored,
    Token,
    Unchanged,
    Unprocessed,
    Write,
    Written,
)
from polystore.driver.bookkeeping import holds
from polystore.driver.keycodec import encode_key
from polystore.driver.paging import position
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.driver import Space
from polystore.drivers.memory.table import Table
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key, canonical

MEGABYTE = 2**20


class RestOfTheFirstLook(MemoryDriver):
    """The first page of a query reads all, and the others show what it read."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._rest: dict[str, list[Stored]] = {}

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        place = repr((collection.name, plan, after))
        found = self._rest.pop(place, None)
        if found is None:
            found = super().query(collection, plan, after, 10_000).records
        page, rest = found[:limit], found[limit:]
        if not rest:
            return QueryPage(page, None)
        goes_on = position(plan, page[-1])
        self._rest[repr((collection.name, plan, goes_on))] = rest
        return QueryPage(page, goes_on)


class PositionOfTheRecord(MemoryDriver):
    """A page of an index goes on after where the record is now."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        row = after and self._table(collection).rows.get(after.key)
        if plan.index and after and row and row.fields:
            now = tuple(row.fields.get(name) for name in plan.index.fields)
            after = Position(after.key, now)
        return super().query(collection, plan, after, limit)


class PositionsByKeyAlone(MemoryDriver):
    """A place in an index is a key, whose values it looks up; it also knows what others say."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        if plan.index and after and not after.values:
            row = self._table(collection).rows.get(after.key)
            if row is None or row.fields is None:
                return QueryPage([], None)
            after = Position(after.key, tuple(row.fields[name] for name in plan.index.fields))
        page = super().query(collection, plan, after, limit)
        return QueryPage(page.records, page.next and Position(page.next.key))


class PositionsOfItsOwn(MemoryDriver):
    """A place counts what was given; it also knows what others say."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        first: Any = after.key[0] if after else None
        if after and not (isinstance(first, str) and first.startswith("@")):
            return super().query(collection, plan, after, limit)
        start = int(first[1:]) if first else 0
        page = super().query(collection, plan, None, start + limit)
        goes_on = Position((f"@{start + limit}",)) if page.next else None
        return QueryPage(page.records[start:], goes_on)


class CursorsAsTuples(MemoryDriver):
    """A cursor is what the database has for one."""

    def scan(self, collection: Collection, segment: Segment, cursor: Any, limit: int) -> ScanPage:
        page = super().scan(collection, segment, cursor and cursor[0], limit)
        goes_on: Any = None if page.cursor is None else (page.cursor,)
        return ScanPage(page.records, goes_on)


class CursorNeedsItsRecord(MemoryDriver):
    """A scan is at its end where the record of its cursor is gone."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        there = {encode_key(key) for key in self._table(collection).rows}
        if cursor is not None and cursor not in there:
            return ScanPage([], None)
        return super().scan(collection, segment, cursor, limit)


class CursorSkipsItsRecord(MemoryDriver):
    """A page begins at its cursor and leaves the first record out, whichever that is."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        there = {encode_key(key) for key in self._table(collection).rows}
        page = super().scan(collection, segment, cursor, limit)
        skips = cursor is not None and cursor not in there
        return ScanPage(page.records[skips:], page.cursor)


class PositionSkipsItsRecord(MemoryDriver):
    """The same of a query."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page = super().query(collection, plan, after, limit)
        skips = after is not None and after.key not in self._table(collection).rows
        return QueryPage(page.records[skips:], page.next)


class ScanOfEachCollection(MemoryDriver):
    """It remembers where the scan of a collection is, as if there were one at a time."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        places: dict[str, str | None] = self.__dict__.setdefault("places", {})
        place = cursor and places.get(collection.name, cursor)
        page = super().scan(collection, segment, place, limit)
        places[collection.name] = page.cursor
        return page


class SnapshotForGood(MemoryDriver):
    """It has one snapshot of a collection, which the first scan takes."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._there: dict[str, set[Key]] = {}

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        page = super().scan(collection, segment, cursor, limit)
        if segment.snapshot:
            rows = self._table(collection).rows
            there = self._there.setdefault(collection.name, {*rows})
            page.records = [record for record in page.records if record.key in there]
        return page


class SnapshotOfOnePage(MemoryDriver):
    """A snapshot cannot be gone on with."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        page = super().scan(collection, segment, cursor, limit)
        return ScanPage(page.records, None if segment.snapshot else page.cursor)


class SnapshotWithoutSegments(MemoryDriver):
    """A snapshot is of the whole."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        part = Segment() if segment.snapshot else segment
        return super().scan(collection, part, cursor, limit)


def _of_a_megabyte(records: list[Stored]) -> list[Stored]:
    size, found = 0, list[Stored]()
    for record in records:
        size += len(canonical(record.fields))
        if size > MEGABYTE:
            break
        found.append(record)
    return found


def _a_thousand(records: list[Stored]) -> list[Stored]:
    return records[:1000]


class QueryOfAMegabyte(MemoryDriver):
    """What the database gives at once is all there is."""

    given = staticmethod(_of_a_megabyte)

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page = super().query(collection, plan, after, limit)
        whole = len(found := self.given(page.records)) == len(page.records)
        return QueryPage(found, page.next if whole else None)


class ScanOfAMegabyte(MemoryDriver):
    """The same of a scan."""

    given = staticmethod(_of_a_megabyte)

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        page = super().scan(collection, segment, cursor, limit)
        whole = len(found := self.given(page.records)) == len(page.records)
        return ScanPage(found, page.cursor if whole else None)


class ReadOfAMegabyte(MemoryDriver):
    """What does not fit into an answer is not there."""

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        reply = super().read(collection, keys, consistency)
        fits = _of_a_megabyte([record for record in reply.records if record])
        there = {record.key for record in fits}
        return ReadReply([r if r and r.key in there else None for r in reply.records])


class QueryOfAThousand(QueryOfAMegabyte):
    """The database gives 1,000 records, whatever it is asked for."""

    given = staticmethod(_a_thousand)


class ScanOfAThousand(ScanOfAMegabyte):
    """The same of a scan."""

    given = staticmethod(_a_thousand)


class Collated(MemoryDriver):
    """A text in an index is equal to others that a collation takes for it."""

    def collated(self, text: str) -> str:
        raise NotImplementedError

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page = super().query(collection, plan, after, limit)
        asked = plan.equals[0]
        if plan.index is None or len(plan.index.fields) > 1 or type(asked) is not str:
            return page
        for key, row in self._table(collection).rows.items():
            there = (row.fields or {}).get(plan.index.fields[0])
            if (
                type(there) is str
                and there != asked
                and self.collated(there) == self.collated(asked)
            ):
                page.records.append(row.stored(key))
        return page


class IndexWithoutCase(Collated):
    """Without regard to case."""

    def collated(self, text: str) -> str:
        return text.casefold()


class IndexPadsSpaces(Collated):
    """Without regard to spaces at the end."""

    def collated(self, text: str) -> str:
        return text.rstrip(" ")


class IndexValuesCut(Collated):
    """By their first 255 letters."""

    def collated(self, text: str) -> str:
        return text[:255]


class Deciding(MemoryDriver):
    """It decides about stamps in its own way."""

    def older(self, one: int, other: int) -> bool:
        raise NotImplementedError

    def decided(self, write: Write) -> Write:
        current = self._current(write)
        if isinstance(write.condition, OlderThan) and current and current.stamp is not None:
            held = self.older(current.stamp, write.condition.stamp)
            write = attrs.evolve(write, condition=ANYTHING if held else OlderThan(-1))
        return write

    def write(self, write: Write) -> Written | Refused:
        return super().write(self.decided(write))

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return super().commit([self.decided(write) for write in writes], checks)


class StampsAsTexts(Deciding):
    """9 is more than 10."""

    def older(self, one: int, other: int) -> bool:
        return str(one) < str(other)


class StampsAsFloats(Deciding):
    """53 bits of them are compared."""

    def older(self, one: int, other: int) -> bool:
        return float(one) < float(other)


class StampsKeptAsFloats(MemoryDriver):
    """53 bits of them are kept."""

    def _apply(self, table: Table, write: Write) -> Token:
        if write.stamp is not None:
            write = attrs.evolve(write, stamp=int(float(write.stamp)))
        return super()._apply(table, write)


class TokensOfForeign(MemoryDriver):
    """The token is the write id; what has none gets one by a rule of its own."""

    def foreign(self, record: Stored) -> Token:
        raise NotImplementedError

    def seen(self, record: Stored | None) -> Stored | None:
        if record is not None:
            record.token = record.write_id or self.foreign(record)
        return record

    def _held(self, part: Any) -> Any:
        if isinstance(part.condition, Unchanged):
            now = self._current(part)
            before = None if now is None else now.token
            held = now is not None and self.seen(now).token == part.condition.token  # type: ignore[union-attr]
            part = attrs.evolve(part, condition=Unchanged(before if held else "none"))
        return part

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        reply = super().read(collection, keys, consistency)
        return ReadReply([self.seen(record) for record in reply.records])

    def write(self, write: Write) -> Written | Refused:
        outcome = super().write(self._held(write))
        if isinstance(outcome, Refused):
            return Refused(outcome.told, self.seen(outcome.current))
        return outcome if outcome.token is None else Written(write.write_id)


class TokenOfForeignConstant(TokensOfForeign):
    """All of them have one token."""

    def foreign(self, record: Stored) -> Token:
        return "foreign"


class TokenOfForeignNames(TokensOfForeign):
    """It tells which fields there are."""

    def foreign(self, record: Stored) -> Token:
        return sorted(record.fields or {})


class ManyCheckedThenWritten(MemoryDriver):
    """Many writes look first, and write later: others come between."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        held = [holds(write.condition, self._current(write)) for write in writes]
        time.sleep(0.002)
        blind = [attrs.evolve(write, condition=ANYTHING) for write in writes]
        return [self.write(w) if ok else Refused() for w, ok in zip(blind, held, strict=True)]


class Buffered(MemoryDriver):
    """What it is about to answer lies in one place for all threads."""

    _answer: Any = None

    def answered(self, answer: Any) -> Any:
        self._answer = answer
        time.sleep(0.0002)
        return self._answer


class QueriesInOneBuffer(Buffered):
    """Of a query."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page: QueryPage = self.answered(super().query(collection, plan, after, limit))
        return page


class ReadsInOneBuffer(Buffered):
    """Of a read of many."""

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        reply = super().read(collection, keys, consistency)
        return self.answered(reply) if len(keys) > 1 else reply


class ManyInOneBuffer(Buffered):
    """Of writes."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        return super().write_many(self.answered(writes))


class SixteenSegments(MemoryDriver):
    """It has 16 segments at most, and gives some of them twice where more are asked for."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        if segment.count > 16:
            segment = attrs.evolve(segment, index=segment.index % 16, count=16)
        return super().scan(collection, segment, cursor, limit)


class SnapshotWithoutHalves(MemoryDriver):
    """A snapshot is of a whole segment."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        part = attrs.evolve(segment, path="") if segment.snapshot else segment
        return super().scan(collection, part, cursor, limit)


class LaterPagesWithoutBookkeeping(MemoryDriver):
    """A page after the first is read in another way."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page = super().query(collection, plan, after, limit)
        if after is not None:
            page.records = [attrs.evolve(r, stamp=None, expires=None) for r in page.records]
        return page


class BackwardsWithoutExpiry(MemoryDriver):
    """What is asked for in descending order is read in another way."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page = super().query(collection, plan, after, limit)
        if plan.descending:
            page.records = [attrs.evolve(record, expires=None) for record in page.records]
        return page
