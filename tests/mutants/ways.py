"""Broken drivers: one way to read or to write is not like the others; whose lists and maps are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import attrs

from polystore.driver import (
    ANYTHING,
    Check,
    Committed,
    Consistency,
    Nothing,
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
)
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.table import Table
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Fields, Key


def deeply(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value with a change made to it and to all within it."""
    if type(value) is dict:
        return {name: deeply(inner, change) for name, inner in value.items()}
    if type(value) is list:
        return [deeply(inner, change) for inner in value]
    return change(value)


def as_json(value: Any) -> Any:
    """What JSON makes of a value."""
    if type(value) is Decimal:
        return float(value)
    if type(value) is bytes:
        return value.decode("latin1")
    return sorted(value, key=repr) if type(value) is frozenset else value


def has_expired(record: Stored | None) -> bool:
    """Whether a record has expired; a driver has no business with that."""
    return record is not None and record.expires is not None and record.expires < time.time() * 1e6


class Shown(MemoryDriver):
    """It makes something else of records in one of the ways to read."""

    way: ClassVar[str]

    def shown(self, record: Stored) -> Stored | None:
        raise NotImplementedError

    def of(self, record: Stored | None, *ways: str) -> Any:
        return record if record is None or self.way not in ways else self.shown(record)

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        reply = super().read(collection, keys, consistency)
        ways = (consistency.value, "many" if len(keys) > 1 else "one")
        return ReadReply([self.of(record, *ways) for record in reply.records])

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page = super().query(collection, plan, after, limit)
        way = "index" if plan.index else "partition"
        found = [self.of(record, way, "query") for record in page.records]
        return QueryPage([record for record in found if record is not None], page.next)

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        page = super().scan(collection, segment, cursor, limit)
        ways = ("scan", "segment" if segment.count > 1 else "whole")
        found = [self.of(record, *ways) for record in page.records]
        return ScanPage([record for record in found if record is not None], page.cursor)

    def write(self, write: Write) -> Written | Refused:
        outcome = super().write(write)
        if isinstance(outcome, Refused):
            return Refused(outcome.told, self.of(outcome.current, "refusal"))
        return outcome

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        outcome = super().commit(writes, checks)
        if isinstance(outcome, Committed):
            return outcome
        return Rejected(
            tuple(
                one and Refused(one.told, self.of(one.current, "rejection"))
                for one in outcome.refusals
            )
        )


class OtherValues(Shown):
    """The way has a codec of its own."""

    def value(self, value: Any) -> Any:
        return as_json(value)

    def shown(self, record: Stored) -> Stored:
        return attrs.evolve(record, fields=deeply(record.fields, self.value))


class WithoutBookkeeping(Shown):
    """The way reads the fields alone."""

    def shown(self, record: Stored) -> Stored:
        return attrs.evolve(record, write_id=None, stamp=None, expires=None)


class KeysAsDecimals(Shown):
    """Numbers of a key are equal to what they were, and of the database's type."""

    def shown(self, record: Stored) -> Stored:
        key: Any = tuple(Decimal(p) if isinstance(p, int) else p for p in record.key)
        return attrs.evolve(record, key=key)


class ExpiredHidden(Shown):
    """What has expired is not shown."""

    def shown(self, record: Stored) -> Stored | None:
        return None if has_expired(record) else record


class ScanKeysAsDecimals(KeysAsDecimals):
    way = "scan"


class QueryKeysAsDecimals(KeysAsDecimals):
    way = "query"


class ScanThroughJson(OtherValues):
    way = "scan"


class ScanWithoutTokens(Shown):
    """What a scan gave cannot be compared."""

    way = "scan"

    def shown(self, record: Stored) -> Stored:
        return attrs.evolve(record, token=None)


class ScanWithAnotherWriteId(Shown):
    """A scan knows that polystore wrote it, and not by which write."""

    way = "scan"

    def shown(self, record: Stored) -> Stored:
        return attrs.evolve(record, write_id="w")


class SegmentsWithoutExpired(ExpiredHidden):
    way = "segment"


class PartitionBoolsAsInts(OtherValues):
    """Of a query of a partition."""

    way = "partition"

    def value(self, value: Any) -> Any:
        return int(value) if type(value) is bool else value


class ManyReadsLoseMicroseconds(OtherValues):
    """Of a read of more than one key."""

    way = "many"

    def value(self, value: Any) -> Any:
        return value.replace(microsecond=0) if type(value) is datetime else value


class ManyReadsWithoutExpiry(Shown):
    """Of a read of more than one key."""

    way = "many"

    def shown(self, record: Stored) -> Stored:
        return attrs.evolve(record, expires=None)


class ManyReadsWithoutExpired(ExpiredHidden):
    way = "many"


class EventualReadsWithoutBookkeeping(WithoutBookkeeping):
    way = "eventual"


class EventualReadsThroughJson(OtherValues):
    way = "eventual"


class RefusalsThroughJson(OtherValues):
    way = "refusal"


class RejectionsThroughJson(OtherValues):
    way = "rejection"


class RejectionsWithoutBookkeeping(WithoutBookkeeping):
    way = "rejection"


class ForeignLeftOut(Shown):
    """It looks for what polystore wrote."""

    def shown(self, record: Stored) -> Stored | None:
        return record if record.write_id or record.stamp else None


class ScanWithoutForeign(ForeignLeftOut):
    way = "scan"


class PartitionWithoutForeign(ForeignLeftOut):
    way = "partition"


class PagesWithoutTokensOfForeign(Shown):
    """What others wrote has a digest for a token, which is made when one record is read."""

    way = "query"

    def shown(self, record: Stored) -> Stored:
        return record if record.write_id else attrs.evolve(record, token=None)


class ByWriting(MemoryDriver):
    """It makes something else of what is written in one way."""

    way: ClassVar[str] = "commit"
    now: bool = False

    def changed(self, table: Table, write: Write) -> Write:
        raise NotImplementedError

    def _apply(self, table: Table, write: Write) -> Token:
        return super()._apply(table, self.changed(table, write) if self.now else write)

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        self.now = self.way == "commit"
        try:
            return super().commit(writes, checks)
        finally:
            self.now = False

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        self.now = self.way == "many"
        try:
            return super().write_many(writes)
        finally:
            self.now = False


class Merging(ByWriting):
    """The fields of the record before stay."""

    def changed(self, table: Table, write: Write) -> Write:
        row = table.rows.get(write.key)
        if write.fields is None or row is None or row.fields is None:
            return write
        return attrs.evolve(write, fields={**row.fields, **write.fields})


class CommitMerges(Merging):
    way = "commit"


class ManyMerge(Merging):
    way = "many"


class CommitThroughJson(ByWriting):
    """A commit has a codec of its own."""

    way = "commit"

    def changed(self, table: Table, write: Write) -> Write:
        return attrs.evolve(write, fields=deeply(write.fields, as_json))


class CommitKeepsExpiry(ByWriting):
    """A commit changes the expiry where it is given one."""

    way = "commit"

    def changed(self, table: Table, write: Write) -> Write:
        row = table.rows.get(write.key)
        if write.fields is None or write.expires is not None or row is None:
            return write
        return attrs.evolve(write, expires=row.expires)


class ManyLoseStamps(ByWriting):
    """Puts among many have no stamp."""

    way = "many"

    def changed(self, table: Table, write: Write) -> Write:
        return write if write.fields is None else attrs.evolve(write, stamp=None)


class LeavingEntries(ByWriting):
    """The record's place in an index stays where it was."""

    def changed(self, table: Table, write: Write) -> Write:
        row = table.rows.get(write.key)
        if row is not None:
            row.entries = [None] * len(row.entries)
        return write

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        table = self._table(collection)
        for order in table._orders:
            order[:] = [entry for entry in order if entry[1] in table.rows]
        return super().query(collection, plan, after, limit)


class CommitLeavesEntries(LeavingEntries):
    way = "commit"


class ManyLeaveEntries(LeavingEntries):
    way = "many"


class PutMergesMaps(MemoryDriver):
    """A map within a record is changed, not replaced."""

    def _apply(self, table: Table, write: Write) -> Token:
        row = table.rows.get(write.key)
        before = (row and row.fields) or {}
        if write.fields is not None:
            fields: Fields = {n: _merged(before.get(n), v) for n, v in write.fields.items()}
            write = attrs.evolve(write, fields=fields)
        return super()._apply(table, write)


def _merged(before: Any, value: Any) -> Any:
    if type(before) is not dict or type(value) is not dict:
        return value
    return before | {name: _merged(before.get(name), inner) for name, inner in value.items()}


class InsertsOverExpired(MemoryDriver):
    """Where many are written, what has expired is nothing."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        return super().write_many([self._over(write) for write in writes])

    def _over(self, write: Write) -> Write:
        held = isinstance(write.condition, Nothing) and has_expired(self._current(write))
        return attrs.evolve(write, condition=ANYTHING) if held else write


class ManyKeyedByKey(MemoryDriver):
    """Of one key in two collections the last is written, and both are told as that."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        last = {write.key: write for write in writes}
        outcomes = dict(zip(last, super().write_many([*last.values()]), strict=True))
        return [outcomes[write.key] for write in writes]


class ChecksKeyedByKey(MemoryDriver):
    """Of checks of one key in two collections the last is looked at."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return super().commit(writes, [*{check.key: check for check in checks}.values()])


class InputKept(MemoryDriver):
    """It keeps the record that it was given; its caller changes that later."""

    def _apply(self, table: Table, write: Write) -> Token:
        token = super()._apply(table, write)
        if write.fields is not None:
            table.rows[write.key].fields = write.fields
        return token


class InnerInputKept(MemoryDriver):
    """It keeps the lists and maps within a record."""

    def _apply(self, table: Table, write: Write) -> Token:
        token = super()._apply(table, write)
        if write.fields is not None:
            table.rows[write.key].fields = {**write.fields}
        return token


class InputPopped(MemoryDriver):
    """It takes what it indexes out of the record that it was given."""

    def write(self, write: Write) -> Written | Refused:
        outcome = super().write(write)
        for index in write.collection.indexes:
            for name in index.fields:
                (write.fields or {}).pop(name, None)
        return outcome


class RepliesShared(Shown):
    """Replies hold what the store holds."""

    def shown(self, record: Stored) -> Stored:
        row = next(t.rows[record.key] for t in self._tables.values() if self._is(t, record))
        return attrs.evolve(record, fields=None if row.fields is None else {**row.fields})

    def _is(self, table: Table, record: Stored) -> bool:
        row = table.rows.get(record.key)
        return row is not None and row.token == record.token


class ReadsShared(RepliesShared):
    way = "one"


class ScansShared(RepliesShared):
    way = "scan"


class RefusalsShared(RepliesShared):
    way = "refusal"


class KeepsWriteId(MemoryDriver):
    """A put without a write id leaves the one before."""

    def _apply(self, table: Table, write: Write) -> Token:
        row = table.rows.get(write.key)
        if write.fields is not None and write.write_id is None and row is not None:
            write = attrs.evolve(write, write_id=row.write_id)
        return super()._apply(table, write)


class ExpiryAsDecimal(Shown):
    """A number is equal to what it was, and of the database's type."""

    way = "one"

    def shown(self, record: Stored) -> Stored:
        expires: Any = None if record.expires is None else Decimal(record.expires)
        return attrs.evolve(record, expires=expires)
