"""Broken drivers: what is made, described, dropped and closed; names of collections and fields."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from polystore.driver import (
    Check,
    Committed,
    Consistency,
    Description,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    Token,
    Write,
    Written,
)
from polystore.driver.absence import closed
from polystore.driver.bookkeeping import holds
from polystore.driver.policies import Policed
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.driver import Space
from polystore.drivers.memory.table import Table
from polystore.errors import ConfigError
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key


class DescribeAlwaysThere(MemoryDriver):
    """It says that every collection is there, and refuses calls on those that are not."""

    def describe(self, collection: Collection) -> Description:
        return attrs.evolve(super().describe(collection), exists=True)


class DescribeWithoutProblems(MemoryDriver):
    """Whatever is there is as it was declared."""

    def describe(self, collection: Collection) -> Description:
        return attrs.evolve(super().describe(collection), problems=())


class CreateEmpties(MemoryDriver):
    """It makes the collection anew."""

    def create(self, collection: Collection) -> None:
        self._tables.pop(collection.name, None)
        super().create(collection)


class CreateForgetsIndexes(MemoryDriver):
    """An index that is not declared any more is dropped, whoever else declares it."""

    def create(self, collection: Collection) -> None:
        super().create(collection)
        table = self._table(collection)
        kept = {name: table.indexes[name] for name in (i.name for i in collection.indexes)}
        if kept.keys() != table.indexes.keys():
            table.indexes, table._orders = {}, []
            for index in kept.values():
                table.add_index(index)


class CreateFillsNothing(MemoryDriver):
    """A new index holds what is written from then on."""

    def create(self, collection: Collection) -> None:
        create_unfilled(self, collection, lambda before, kept: before is None)


class CreateChangesNothing(MemoryDriver):
    """An index of other fields holds what is written from then on."""

    def create(self, collection: Collection) -> None:
        create_unfilled(self, collection, lambda before, kept: before not in (None, kept))


class ChangedIndexKeepsEntries(MemoryDriver):
    """Under other fields, records lie where they lay until they are written again."""

    def create(self, collection: Collection) -> None:
        there = self._tables.get(collection.name)
        entries = {key: row.entries for key, row in there.rows.items()} if there else {}
        orders = there._orders if there else []
        super().create(collection)
        table = self._tables[collection.name]
        if len(table._orders) == len(orders):
            table._orders = orders
            for key, row in table.rows.items():
                row.entries = entries[key]


def create_unfilled(
    driver: MemoryDriver, collection: Collection, leaves: Callable[[Policed | None, Policed], bool]
) -> None:
    """Create a collection, and leave the records that are there out of some indexes.

    Args:
        driver: what makes it.
        collection: what is declared.
        leaves: says of which indexes, given what was there under the name, and what is now.
    """
    there = driver._tables.get(collection.name)
    before = dict(there.indexes) if there is not None else {}
    MemoryDriver.create(driver, collection)
    table = driver._tables[collection.name]
    for place, (name, kept) in enumerate(table.indexes.items()):
        if leaves(before.get(name), kept):
            table._orders[place].clear()
            for row in table.rows.values():
                row.entries[place] = None


class DropLeavesRecords(MemoryDriver):
    """Made again, the collection has its records again."""

    _dropped: dict[Any, Table] = {}  # noqa: RUF012  # of all openings

    def drop(self, collection: Collection) -> None:
        if collection.name in self._tables:
            self._dropped[id(self._space), collection.name] = self._tables[collection.name]
        super().drop(collection)

    def create(self, collection: Collection) -> None:
        before = self._dropped.pop((id(self._space), collection.name), None)
        if before is not None:
            self._tables[collection.name] = before
        super().create(collection)


class DropByPrefix(MemoryDriver):
    """What begins with the name goes."""

    def drop(self, collection: Collection) -> None:
        for name in [name for name in self._tables if name.startswith(collection.name)]:
            self._tables.pop(name)


class MadeBySurprise(MemoryDriver):
    """Whoever writes makes the collection."""

    def write(self, write: Write) -> Written | Refused:
        if self._open:
            self.create(write.collection)
        return super().write(write)


class AbsentIsEmpty(MemoryDriver):
    """A collection that is not there has no records."""

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        if self._open and collection.name not in self._tables:
            return ReadReply([None] * len(keys))
        return super().read(collection, keys, consistency)


class AbsentIndexIsEmpty(MemoryDriver):
    """An index that is not there has no records."""

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        try:
            return super().query(collection, plan, after, limit)
        except ConfigError:
            if plan.index is None or collection.name not in self._tables:
                raise
            return QueryPage([], None)


class AnotherKeyTaken(MemoryDriver):
    """A collection is there whatever its key is."""

    def describe(self, collection: Collection) -> Description:
        table = self._tables.get(collection.name)
        key = collection.key if table is None else table.key
        return super().describe(attrs.evolve(collection, key=key, partition=1))


class ClosesOnce(MemoryDriver):
    """There is nothing to close the second time."""

    def close(self) -> None:
        if not self._open:
            raise ValueError("closed")
        super().close()


class CommitsWhenClosed(MemoryDriver):
    """A transaction opens what it needs."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        if not self._open:
            return MemoryDriver(self._space).commit(writes, checks)
        return super().commit(writes, checks)


class DescribesWhenClosed(MemoryDriver):
    """What it knows it tells."""

    def describe(self, collection: Collection) -> Description:
        return MemoryDriver(self._space).describe(collection)


class ClosingBreaksCalls(MemoryDriver):
    """Closed beneath a write, it fails as it happens."""

    def write(self, write: Write) -> Written | Refused:
        if not self._open:
            raise closed(self.name)
        time.sleep(0.0005)
        with self._lock:
            table = self._tables[write.collection.name]
            current = table.rows.get(write.key)
            if holds(write.condition, current):
                return Written(self._apply(table, write))
        return Refused()


class Renaming(MemoryDriver):
    """A collection has another name in the database."""

    def renamed(self, name: str) -> str:
        raise NotImplementedError

    def _there(self, collection: Collection) -> Collection:
        return attrs.evolve(collection, name=self.renamed(collection.name))

    def _table(self, collection: Collection) -> Table:
        return super()._table(self._there(collection))

    def create(self, collection: Collection) -> None:
        super().create(self._there(collection))

    def drop(self, collection: Collection) -> None:
        super().drop(self._there(collection))

    def describe(self, collection: Collection) -> Description:
        return super().describe(self._there(collection))


class CollectionsWithoutCase(Renaming):
    """Names are told apart without regard to case."""

    def renamed(self, name: str) -> str:
        return name.lower()


class CollectionNamesCut(Renaming):
    """A name has 63 letters."""

    def renamed(self, name: str) -> str:
        return name[:63]


class CollectionNamesPlain(Renaming):
    """A name has no points and hyphens."""

    def renamed(self, name: str) -> str:
        return re.sub("[.-]", "_", name)


class FieldNamesChanged(MemoryDriver):
    """A field has another name in the database, and its own in what is read."""

    def changed(self, name: str) -> str:
        raise NotImplementedError

    def _apply(self, table: Table, write: Write) -> Token:
        if write.fields is not None:
            first: dict[str, str] = {}
            for name in write.fields:
                first.setdefault(self.changed(name), name)
            fields = {first[self.changed(name)]: value for name, value in write.fields.items()}
            write = attrs.evolve(write, fields=fields)
        return super()._apply(table, write)


class FieldNamesWithoutCase(FieldNamesChanged):
    """Two names that differ in case are one."""

    def changed(self, name: str) -> str:
        return name.lower()


class FieldNamesStripped(FieldNamesChanged):
    """Two names that differ in a space at the end are one."""

    def changed(self, name: str) -> str:
        return name.rstrip(" ")


class KeysAlike(MemoryDriver):
    """Two keys of one text in the database are one: that of the first."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._first: dict[Any, Key] = space.__dict__.setdefault("first", {})

    def text(self, key: Key) -> Any:
        raise NotImplementedError

    def _there(self, collection: Collection, key: Key) -> Key:
        return self._first.setdefault((collection.name, self.text(key)), key)

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        there = [self._there(collection, key) for key in keys]
        reply = super().read(collection, there, consistency)
        for key, record in zip(keys, reply.records, strict=True):
            if record is not None:
                record.key = key
        return reply

    def write(self, write: Write) -> Written | Refused:
        return super().write(attrs.evolve(write, key=self._there(write.collection, write.key)))

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return super().commit(
            [attrs.evolve(w, key=self._there(w.collection, w.key)) for w in writes],
            [attrs.evolve(c, key=self._there(c.collection, c.key)) for c in checks],
        )


def _texts(key: Key) -> list[str]:
    return [part.decode("latin1") if isinstance(part, bytes) else str(part) for part in key]


class KeysJoinedByColon(KeysAlike):
    """Nothing says where a part ends."""

    def text(self, key: Key) -> str:
        return ":".join(_texts(key))


class KeysJoinedByNul(KeysAlike):
    """U+0000 is in no text."""

    def text(self, key: Key) -> str:
        return "\0".join(_texts(key))


class SeparatorEscapedAlone(KeysAlike):
    """What stands between parts is escaped within one; what escapes it is not."""

    def text(self, key: Key) -> str:
        return "/".join(part.replace("/", "\\/") for part in _texts(key))


class KeysCut(KeysAlike):
    """255 letters of a key are compared."""

    def text(self, key: Key) -> Any:
        return tuple(part if isinstance(part, int) else part[:255] for part in key)


class IntKeysAsFloats(KeysAlike):
    """53 bits of a number are compared."""

    def text(self, key: Key) -> Any:
        return tuple(float(part) if isinstance(part, int) else part for part in key)


class CreateRaces(MemoryDriver):
    """Two who look and then make: the second fails."""

    def create(self, collection: Collection) -> None:
        absent = collection.name not in self._tables
        time.sleep(0.001)
        if absent and self._open and collection.name in self._tables:
            raise ValueError("it exists")
        super().create(collection)


class TableRemembered(MemoryDriver):
    """A collection that it has seen is there for good, whatever others do."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._seen: dict[str, Table] = {}

    def _table(self, collection: Collection) -> Table:
        if self._open and collection.name in self._seen:
            return self._seen[collection.name]
        table = self._seen[collection.name] = super()._table(collection)
        return table

    def create(self, collection: Collection) -> None:
        self._seen.pop(collection.name, None)
        super().create(collection)

    def drop(self, collection: Collection) -> None:
        self._seen.pop(collection.name, None)
        super().drop(collection)


class OwnFieldsTaken(MemoryDriver):
    """A name of its own is in no record."""

    def _apply(self, table: Table, write: Write) -> Token:
        if write.fields is not None:
            fields = {name: v for name, v in write.fields.items() if name != self.own}
            write = attrs.evolve(write, fields=fields)
        return super()._apply(table, write)

    own = "version"


class OwnKeyTaken(OwnFieldsTaken):
    """The database has the key there."""

    own = "_id"


class ErrorsOfCommitsTellValues(MemoryDriver):
    """It says what it could not write."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        try:
            return super().commit(writes, checks)
        except ConfigError as error:
            told = [write.fields for write in writes]
            raise ConfigError(f"{error.message} {told}", driver=self.name) from None
