"""Rows and records: what the columns of one table say together, and where a record goes. Pure.

A value that its column would lose goes to the document; the column then shows the nearest native
value, or nothing. Whoever changes the column afterwards is believed: the document counts only as
long as the column still shows what polystore put there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polystore.driver.contract import Stored, Token, Write
from polystore.driver.document import ABSENT
from polystore.driver.sql.dialect import Dialect
from polystore.driver.sql.layout import Column, Layout
from polystore.errors import ConfigError, Unsupported
from polystore.schema import Collection
from polystore.values import Fields, Key, same

Row = Sequence[Any]


class Stale(Exception):
    """A row has more or fewer columns than the table had when its layout was read."""


class Rows:
    """Turns rows of one table into records, and records into rows."""

    def __init__(self, dialect: Dialect, collection: Collection, layout: Layout) -> None:
        self._dialect = dialect
        self._collection = collection
        self._layout = layout
        self._native = layout.native
        self._key_names = collection.key_names
        self._key_types = tuple(field.type for field in collection.key)
        self._width = layout.width
        self._from_part = dialect.from_part
        self._decode = dialect.decode
        self._key = layout.key
        self._kept = (layout.write_id, layout.stamp, layout.tombstone, layout.document)
        self._expires, self._state = layout.expires, layout.state
        self._all = layout.written == tuple(range(len(layout.columns)))

    def key(self, row: Row) -> Key:
        """The key of a row.

        Raises:
            Stale: the table has other columns by now.
            ConfigError: a column holds something that is no key part of its type.
        """
        if len(row) != self._width:
            raise Stale
        key = tuple([row[place] for place in self._key])
        if self._from_part is not None:
            key = tuple(map(self._from_part, key))
        if tuple(map(type, key)) != self._key_types:
            raise ConfigError(
                f"a row of the table {self._layout.name!r} has a key of "
                f"({', '.join(type(part).__name__ for part in key)}), not "
                f"({', '.join(kind.__name__ for kind in self._key_types)})",
                collection=self._collection.name,
                driver=self._dialect.driver,
            )
        return key

    def place(self, row: Row) -> Key:
        """What lies in the place of the key, of whatever types; what no key can hold as text.

        Raises:
            Stale: the table has other columns by now.
        """
        if len(row) != self._width:
            raise Stale
        return tuple([p if type(p) in (str, int, bytes) else str(p) for p in self._parts(row)])

    def resume(self, rows: Sequence[Row]) -> Key:
        """The last place of a page, in key order, that a cursor can name; what follows comes again.

        Raises:
            ConfigError: no row of the page has one.
        """
        for row in reversed(rows):
            parts = self._parts(row)
            if all(type(part) in (str, int, bytes) for part in parts):
                return tuple(parts)
        return self.key(rows[-1])

    def _parts(self, row: Row) -> list[Any]:
        parts = [row[place] for place in self._layout.key]
        return parts if self._from_part is None else [*map(self._from_part, parts)]

    def stored(self, row: Row) -> Stored:
        """The record that a row holds."""
        key = self.key(row)
        at_id, at_stamp, at_tombstone, at_document = self._kept
        write_id = None if at_id is None else row[at_id]
        stamp = None if at_stamp is None else row[at_stamp]
        token = self._token(row, write_id, stamp)
        if at_tombstone is not None and row[at_tombstone] is not None:
            return Stored(key, None, token, write_id, stamp)
        fields: Fields = dict(zip(self._key_names, key, strict=True))
        text = None if at_document is None else row[at_document]
        if text is not None:
            fields.update(self._decode(text))
        for place, column in self._native:
            _read_column(fields, column, row[place], documented=column.name in fields)
        expires = None if self._expires is None else row[self._expires]
        return Stored(key, fields, token, write_id, stamp, expires)

    def token(self, row: Row) -> Token:
        """What compares the state of a row.

        What the database has for that, or else its write id, its stamp, or all that it holds.
        """
        at_id, at_stamp, _, _ = self._kept
        write_id = None if at_id is None else row[at_id]
        return self._token(row, write_id, None if at_stamp is None else row[at_stamp])

    def _token(self, row: Row, write_id: Any, stamp: Any) -> Token:
        if self._state is not None:
            return row[-1]
        if write_id is not None:
            return ("w", write_id)
        if stamp is not None:
            return ("v", stamp)
        return ("a", tuple((type(value).__name__, value) for value in row))

    def foretold(self, write: Write) -> Token | None:
        """The token that a put leads to, where that is known before; ``None`` where it is not."""
        layout = self._layout
        if layout.state is not None or layout.write_id is None or write.write_id is None:
            return None
        return ("w", write.write_id)

    def written(self, row: Row) -> Row:
        """What a put gives of a row: all but what the database computes."""
        return row if self._all else [row[place] for place in self._layout.written]

    def entries(self, fields: Fields | None, key: Key) -> list[Any]:
        """A record's place in each index that the table keeps; ``None`` where it is in none."""
        found = [policed.entry(fields, key) for policed in self._layout.kept]
        return [None if entry is None else self._dialect.entry(entry) for entry in found]

    def row(self, write: Write) -> Row:
        """The row of a put or a tombstone.

        Raises:
            ConfigError: the table has no place for what polystore keeps beside the fields.
            Unsupported: the table has no place for a field.
        """
        layout = self._layout
        values: list[Any] = [None] * len(layout.columns)
        for place, part in zip(layout.key, self._dialect.bound(write.key), strict=True):
            values[place] = part
        self._keep(values, layout.write_id, write.write_id)
        self._keep(values, layout.stamp, write.stamp)
        self._keep(values, layout.expires, write.expires)
        if write.fields is None:
            self._keep(values, layout.tombstone, True)
        self._lay(values, write.fields)
        if layout.indexes:
            entries = self.entries(write.fields, write.key)
            for (place, _), entry in zip(layout.indexes, entries, strict=True):
                values[place] = entry
        return tuple(values)

    def _keep(self, values: list[Any], place: int | None, value: Any) -> None:
        if place is not None:
            values[place] = value
        elif value is not None:
            raise ConfigError(
                "the table was made by others and is read-only here: store.create(), or "
                "`polystore create`, adds the columns that writing needs",
                collection=self._collection.name,
                driver=self._dialect.driver,
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
            if not column.keeps(value):
                rest[column.name] = value
        if self._layout.document is not None:
            values[self._layout.document] = self._dialect.encode(rest)
        elif any(value is not ABSENT for value in rest.values()):
            names = sorted(name for name, value in rest.items() if value is not ABSENT)
            raise Unsupported(
                f"the table has no column that holds {', '.join(names)}: add a place for it with "
                "store.create()",
                collection=self._collection.name,
                driver=self._dialect.driver,
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
    if value is None and column.keeps(ABSENT):
        fields.pop(column.name, None)
    else:
        fields[column.name] = value
