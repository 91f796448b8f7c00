"""Making tables, adding to tables that are there what polystore needs, and comparing."""

from __future__ import annotations

import json
import sqlite3

from polystore.driver.absence import no_index
from polystore.driver.bookkeeping import EXPIRES, STAMP, TOMBSTONE, WRITE_ID
from polystore.driver.policies import Policed
from polystore.drivers.sqlite.layout import (
    DOCUMENT,
    ENTRY,
    INDEXES,
    Layout,
    indexes_of,
    read_layout,
    table_name,
)
from polystore.drivers.sqlite.quoting import quoted
from polystore.drivers.sqlite.rows import Rows
from polystore.drivers.sqlite.statements import Statements
from polystore.errors import ConfigError
from polystore.schema import Collection

_TYPES: dict[type, str] = {str: "TEXT", int: "INTEGER", bytes: "BLOB"}
_KEPT = {
    DOCUMENT: "TEXT",
    STAMP: "INTEGER",
    WRITE_ID: "TEXT",
    TOMBSTONE: "INTEGER",
    EXPIRES: "INTEGER",
}


def create(connection: sqlite3.Connection, collection: Collection) -> None:
    """Make what is not there yet: table, polystore's columns, unique key, indexes. In one step."""
    layout = read_layout(connection, collection)
    if layout is None:
        connection.execute(_table(collection))
        layout = _read(connection, collection)
    table = quoted(layout.table)
    there = {column.name for column in layout.columns}
    for name, kind in _KEPT.items():
        if name not in there:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {kind}")
    if not layout.unique:
        _make_unique(connection, collection, layout)
    missing = _missing(layout, collection)
    for kept in missing:
        _add_index(connection, layout.table, kept, there)
    if missing:
        _fill(connection, collection)


def drop(connection: sqlite3.Connection, collection: Collection) -> None:
    """Remove the table with all its rows."""
    table = table_name(collection)
    connection.execute(f"DROP TABLE IF EXISTS {quoted(table)}")
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (INDEXES,)).fetchone():
        connection.execute(f"DELETE FROM {INDEXES} WHERE tbl = ?", (table,))


def problems(layout: Layout, collection: Collection) -> tuple[str, ...]:
    """What differs from the declaration, each a sentence that says what to do."""
    found = [
        no_index("sqlite", collection, kept.index).message for kept in _missing(layout, collection)
    ]
    if not layout.unique:
        found.append(
            f"the table {layout.table!r} admits a key more than once: give it a primary key, or "
            "let store.create() make a unique index"
        )
    return tuple(found)


def _missing(layout: Layout, collection: Collection) -> list[Policed]:
    there = {kept.policed for kept in layout.indexes if kept.ready}
    return [kept for kept in indexes_of(collection) if kept not in there]


def _read(connection: sqlite3.Connection, collection: Collection) -> Layout:
    layout = read_layout(connection, collection)
    assert layout is not None
    return layout


def _table(collection: Collection) -> str:
    columns = [f"{quoted(f.name)} {_TYPES[f.type]} NOT NULL" for f in collection.key]
    columns += [f"{quoted(name)} {kind}" for name, kind in _KEPT.items()]
    key = ", ".join(quoted(name) for name in collection.key_names)
    return (
        f"CREATE TABLE {quoted(table_name(collection))} ({', '.join(columns)}, PRIMARY KEY ({key}))"
    )


def _make_unique(connection: sqlite3.Connection, collection: Collection, layout: Layout) -> None:
    name = quoted(f"_ps_key:{layout.table}")
    parts = ", ".join(
        quoted(f.name) + (" COLLATE BINARY" if f.type is str else "") for f in collection.key
    )
    try:
        connection.execute(f"CREATE UNIQUE INDEX {name} ON {quoted(layout.table)} ({parts})")
    except sqlite3.IntegrityError as error:
        raise ConfigError(
            f"the table {layout.table!r} has keys more than once: remove the doubles first",
            collection=collection.name,
            driver="sqlite",
        ) from error


def _add_index(connection: sqlite3.Connection, table: str, kept: Policed, there: set[str]) -> None:
    index = kept.index
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {INDEXES} (tbl TEXT NOT NULL, name TEXT NOT NULL, "
        "fields TEXT NOT NULL, policy TEXT NOT NULL, ready INTEGER NOT NULL, "
        "PRIMARY KEY (tbl, name))"
    )
    column = ENTRY + index.name
    if column not in there:
        connection.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(column)} TEXT")
    connection.execute(
        f"INSERT OR REPLACE INTO {INDEXES} VALUES (?, ?, ?, ?, 1)",
        (table, index.name, json.dumps(index.declared), kept.policy.value),
    )
    name = quoted(f"_ps_index:{table}:{index.name}")
    connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {quoted(table)} ({quoted(column)})")


def _fill(connection: sqlite3.Connection, collection: Collection) -> None:
    """Work out every record's place in every index that the table keeps."""
    layout = _read(connection, collection)
    rows = Rows(collection, layout)
    statements = Statements(collection, layout)
    names = [quoted(layout.columns[kept.column].name) for kept in layout.indexes]
    changes = ", ".join(f"{name} = ?" for name in names)
    keys = statements.same_key
    update = f"UPDATE {quoted(layout.table)} SET {changes} WHERE {keys}"
    for row in connection.execute(f"SELECT * FROM {quoted(layout.table)}").fetchall():
        stored = rows.stored(row)
        entries = [kept.policed.entry(stored.fields, stored.key) for kept in layout.indexes]
        connection.execute(update, (*entries, *stored.key))
