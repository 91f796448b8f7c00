"""Rows and records: what the columns of one table say together, and where a record goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polystore.driver import Stored, Token, Write
from polystore.driver.document import ABSENT, decode_document, encode_document
from polystore.drivers.sqlite.columns import Column
from polystore.drivers.sqlite.layout import Layout
from polystore.errors import ConfigError, Unsupported
from polystore.schema import Collection
from polystore.values import Fields, Key, same

Row = tuple[Any, ...]


class Stale(Exception):
    """A row has more or fewer columns than the table had when its layout was read."""


class Rows:
    """Turns rows of one table into records, and records into rows."""

    def __init__(self, collection: Collection, layout: Layout) -> None:
        self._collection = collection
        self._layout = layout
        self._native = tuple((place, layout.columns[place]) for place in layout.fields)
        self._key_names = collection.key_names
        self._key_types = tuple(field.type for field in collection.key)
        self._width = len(layout.columns)

    def key(self, row: Row) -> Key:
        """The key of a row.

        Raises:
            Stale: the table has other columns by now.
            ConfigError: a column holds something that is no key part of its type.
        """
        if len(row) != self._width:
            raise Stale
        key = tuple([row[place] for place in self._layout.key])
        if tuple(map(type, key)) != self._key_types:
            raise ConfigError(
                f"a row of the table {self._layout.table!r} has a key of "
                f"({', '.join(type(part).__name__ for part in key)}), not "
                f"({', '.join(kind.__name__ for kind in self._key_types)})",
                collection=self._collection.name,
                driver="sqlite",
            )
        return key

    def place(self, row: Row) -> Key:
        """What lies in the place of the key, of whatever types; what no key can hold as text.

        Raises:
            Stale: the table has other columns by now.
        """
        if len(row) != self._width:
            raise Stale
        parts = [row[place] for place in self._layout.key]
        return tuple([p if type(p) in (str, int, bytes) else str(p) for p in parts])

    def resume(self, rows: Sequence[Row]) -> Key:
        """The last place of a page, in key order, that a cursor can name; what follows comes again.

        Raises:
            ConfigError: no row of the page has one.
        """
        for row in reversed(rows):
            parts = [row[place] for place in self._layout.key]
            if all(type(part) in (str, int, bytes) for part in parts):
                return tuple(parts)
        return self.key(rows[-1])

    def stored(self, row: Row) -> Stored:
        """The record that a row holds."""
        layout = self._layout
        key = self.key(row)
        write_id = None if layout.write_id is None else row[layout.write_id]
        stamp = None if layout.stamp is None else row[layout.stamp]
        if layout.tombstone is not None and row[layout.tombstone] is not None:
            return Stored(key, None, self.token(row), write_id, stamp)
        fields: Fields = dict(zip(self._key_names, key, strict=True))
        text = None if layout.document is None else row[layout.document]
        if text is not None:
            fields.update(decode_document(text))
        for place, column in self._native:
            _read_column(fields, column, row[place], documented=column.name in fields)
        expires = None if layout.expires is None else row[layout.expires]
        return Stored(key, fields, self.token(row), write_id, stamp, expires)

    def token(self, row: Row) -> Token:
        """What compares the state of a row: its write id, or its stamp, or all that it holds."""
        layout = self._layout
        if layout.write_id is not None and row[layout.write_id] is not None:
            return ("w", row[layout.write_id])
        if layout.stamp is not None and row[layout.stamp] is not None:
            return ("v", row[layout.stamp])
        return ("a", tuple((type(value).__name__, value) for value in row))

    def written(self, row: Row) -> Row:
        """What a put gives of a row: all but what SQLite computes."""
        written = self._layout.written
        return row if len(written) == len(row) else tuple([row[place] for place in written])

    def row(self, write: Write) -> Row:
        """The row of a put or a tombstone.

        Raises:
            ConfigError: the table has no place for what polystore keeps beside the fields.
            Unsupported: the table has no place for a field.
        """
        layout = self._layout
        values: list[Any] = [None] * self._width
        for place, part in zip(layout.key, write.key, strict=True):
            values[place] = part
        self._keep(values, layout.write_id, write.write_id)
        self._keep(values, layout.stamp, write.stamp)
        self._keep(values, layout.expires, write.expires)
        if write.fields is None:
            self._keep(values, layout.tombstone, 1)
        self._lay(values, write.fields)
        for kept in layout.indexes:
            values[kept.column] = kept.policed.entry(write.fields, write.key)
        return tuple(values)

    def _keep(self, values: list[Any], place: int | None, value: Any) -> None:
        if place is not None:
            values[place] = value
        elif value is not None:
            raise ConfigError(
                "the table was made by others and is read-only here: store.create(), or "
                "`polystore create`, adds the columns that writing needs",
                collection=self._collection.name,
                driver="sqlite",
            )

    def _lay(self, values: list[Any], fields: Fields | None) -> None:
        """Put the fields into their columns, and all others into the document."""
        if fields is None:
            for place, column in self._native:
                values[place] = column.shows(ABSENT)
            return
        rest: dict[str, Any] = {n: v for n, v in fields.items() if n not in self._key_names}
        for place, column in self._native:
            value = rest.pop(column.name, ABSENT)
            values[place] = column.shows(value)
            if value is ABSENT or not column.keeps(value):
                rest[column.name] = value
        if self._layout.document is not None:
            values[self._layout.document] = encode_document(rest)
        elif any(value is not ABSENT for value in rest.values()):
            names = sorted(name for name, value in rest.items() if value is not ABSENT)
            raise Unsupported(
                f"the table has no column that holds {', '.join(names)}: add a place for it with "
                "store.create()",
                collection=self._collection.name,
                driver="sqlite",
            )


def _read_column(fields: Fields, column: Column, value: Any, *, documented: bool) -> None:
    """One field from its column; from the document while the column still shows the same."""
    if documented:
        kept: Any = fields[column.name]
        shown = column.shows(kept)
        if same(shown, value):
            if kept is ABSENT:
                del fields[column.name]
            return
    fields[column.name] = value


def following(rows: Sequence[Row], limit: int) -> Row | None:
    """The row after which the next page begins; ``None`` where this one is the last."""
    return rows[-1] if len(rows) == limit else None
