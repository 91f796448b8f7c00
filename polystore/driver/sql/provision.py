"""Making a table, and adding what polystore needs to one that is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zlib import crc32

from polystore.driver.contract import Stored
from polystore.driver.policies import Policed
from polystore.driver.sql.dialect import Dialect
from polystore.driver.sql.layout import Layout
from polystore.driver.sql.statements import Bound
from polystore.driver.sql.table import Table
from polystore.schema import Collection
from polystore.values import Key

_PAGE = 500
"""Rows read at once; any number will do."""

_NAME = 63
"""Bytes of a name that every database keeps (PostgreSQL manual, 4.1.1)."""


def make_table(connection: Any, dialect: Dialect, table: str, collection: Collection) -> None:
    """A table for a collection: its key and polystore's columns."""
    quoted = dialect.quoted
    columns = [f"{quoted(f.name)} {dialect.types[f.type]} NOT NULL" for f in collection.key]
    columns += [f"{quoted(name)} {kind}" for name, kind in dialect.kept.items()]
    key = ", ".join(map(quoted, collection.key_names))
    connection.execute(f"CREATE TABLE {table} ({', '.join(columns)}, PRIMARY KEY ({key}))", ())


def complete(connection: Any, dialect: Dialect, layout: Layout, columns: Mapping[str, str]) -> None:
    """Give a table polystore's columns, and those of a placement, as far as it lacks them."""
    for name, kind in {**dialect.kept, **columns}.items():
        if name not in layout.columns:
            _add(connection, dialect, layout, name, kind)


def make_unique(connection: Any, dialect: Dialect, layout: Layout, collection: Collection) -> None:
    """Let a table admit a key only once. Fails as the database does where one is there twice."""
    name = dialect.quoted(f"_ps_key:{layout.name}")
    key = ", ".join(map(dialect.key_column, collection.key))
    connection.execute(f"CREATE UNIQUE INDEX {name} ON {layout.table} ({key})", ())


def add_index(connection: Any, dialect: Dialect, layout: Layout, kept: Policed) -> None:
    """Give a table the column of an index, and the index over it."""
    prefix, kind = dialect.entries
    column = prefix + kept.index.name
    if column not in layout.columns:
        _add(connection, dialect, layout, column, kind)
    name = dialect.quoted(_short(f"_ps_index:{layout.name}:{kept.index.name}"))
    over, some = dialect.searched(dialect.quoted(column)), ""
    if dialect.head is not None:
        some = f" WHERE {dialect.quoted(column)} IS NOT NULL"
    connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {layout.table} ({over}){some}", ())


def fill(connection: Any, table: Table, lay: Callable[[Stored], Bound]) -> None:
    """Send something for every record, as its place in new indexes. Nobody else writes.

    Args:
        connection: in the transaction in which the table is made.
        table: as it is read.
        lay: what is sent for a record.
    """
    after: Key | None = None
    rows: Sequence[Any] = range(_PAGE)
    while len(rows) == _PAGE:
        rows = connection.execute(*table.statements.scan(after, 0, 1, _PAGE)).fetchall()
        records = [table.rows.stored(row) for row in rows]
        for one in records:
            connection.execute(*lay(one))
        after = records[-1].key if records else None


def _short(name: str) -> str:
    """A name of at most 63 bytes, which no other has: PostgreSQL cuts off what is over them."""
    whole = name.encode()
    if len(whole) <= _NAME:
        return name
    return f"{whole[: _NAME - 9].decode(errors='ignore')}:{crc32(whole):08x}"


def _add(connection: Any, dialect: Dialect, layout: Layout, name: str, kind: str) -> None:
    column = dialect.quoted(name)
    connection.execute(f"ALTER TABLE {layout.table} ADD COLUMN {column} {kind}", ())
