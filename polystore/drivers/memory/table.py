"""One collection in memory: rows by key, and sorted texts for the order of keys and each index."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice
from zlib import crc32

import attrs

from polystore.driver import Segment, Stored, Token, Write
from polystore.driver.keycodec import AFTER, encode_key
from polystore.driver.policies import Policed
from polystore.driver.spans import Span
from polystore.schema import Collection, Index
from polystore.values import Fields, Key, copied

_CONTAINERS = frozenset({list, dict})
Entry = tuple[str, Key]
"""A text and the key that it leads to."""


@attrs.define(eq=False)
class Row:
    """One state of one record; it is replaced, never changed.

    ``entries`` has its text in each index of the table, ``None`` where it is not in the index;
    ``nested`` says whether a field holds a list or dict, so that a copy has to go deeper.
    """

    fields: Fields | None
    nested: bool
    token: Token
    write_id: str | None
    stamp: int | None
    expires: int | None
    entries: list[str | None]

    def stored(self, key: Key) -> Stored:
        """The record for a reply, with fields of its own."""
        fields = _copied(self.fields, self.nested)
        return Stored(key, fields, self.token, self.write_id, self.stamp, self.expires)


class Table:
    """The records of one collection. Whoever changes or lists them holds the lock of the space."""

    def __init__(self, collection: Collection) -> None:
        self.key = collection.key
        self.indexes: dict[str, Policed] = {}
        self.rows: dict[Key, Row] = {}
        self._order: list[Entry] = []
        self._orders: list[list[Entry]] = []

    def add_index(self, kept: Policed) -> None:
        """Keep the records in the order of this index from now on, in place of one of its name."""
        self.indexes[kept.index.name] = kept
        self._orders = [[] for _ in self.indexes]
        for key, row in self.rows.items():
            row.entries = self._entries(key, row.fields)
            for order, text in zip(self._orders, row.entries, strict=True):
                if text is not None:
                    order.append((text, key))
        for order in self._orders:
            order.sort()

    def put(self, write: Write, token: Token) -> None:
        """Make what ``write`` says the record of its key; its fields are copied."""
        key = write.key
        fields = write.fields
        nested = fields is not None and not _CONTAINERS.isdisjoint(map(type, fields.values()))
        fields = _copied(fields, nested)
        entries = self._entries(key, fields)
        row = Row(fields, nested, token, write.write_id, write.stamp, write.expires, entries)
        old = self.rows.get(key)
        self.rows[key] = row
        if old is None:
            insort(self._order, (encode_key(key), key))
        for i, order in enumerate(self._orders):
            _move(order, old.entries[i] if old else None, row.entries[i], key)

    def remove(self, key: Key) -> None:
        """Take the record of ``key`` away, if there is one."""
        old = self.rows.pop(key, None)
        if old is None:
            return
        _move(self._order, encode_key(key), None, key)
        for order, text in zip(self._orders, old.entries, strict=True):
            _move(order, text, None, key)

    def within(self, index: Index | None, span: Span, descending: bool, limit: int) -> list[Key]:
        """The first keys of a span, in the order of the index or else of the key."""
        order = self._order
        if index is not None:
            order = self._orders[list(self.indexes).index(index.name)]
        low, high = bisect_left(order, (span.low,)), bisect_left(order, (span.high,))
        if descending:
            return [key for _, key in reversed(order[max(low, high - limit) : high])]
        return [key for _, key in order[low : min(high, low + limit)]]

    def after(self, segment: Segment, cursor: str | None, limit: int) -> list[Entry]:
        """The next keys of a segment, with their encoded form, in the order of the key."""
        start = 0 if cursor is None else bisect_left(self._order, (cursor + AFTER,))
        rest = islice(self._order, start, None)
        index, count = segment.modulo()
        if count > 1:
            return list(islice((e for e in rest if _part(e, count) == index), limit))
        return list(islice(rest, limit))

    def _entries(self, key: Key, fields: Fields | None) -> list[str | None]:
        return [kept.entry(fields, key) for kept in self.indexes.values()]


def _copied(fields: Fields | None, nested: bool) -> Fields | None:
    if fields is None:
        return None
    copy: Fields = copied(fields) if nested else fields.copy()
    return copy


def _part(entry: Entry, count: int) -> int:
    return crc32(entry[0].encode()) % count


def _move(order: list[Entry], before: str | None, after: str | None, key: Key) -> None:
    """Let ``key`` stand at ``after`` in an order instead of at ``before``; ``None`` is nowhere."""
    if before == after:
        return
    if before is not None:
        del order[bisect_left(order, (before, key))]
    if after is not None:
        insort(order, (after, key))
