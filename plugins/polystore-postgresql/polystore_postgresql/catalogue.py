"""The table of a collection, as the server tells of it.

A state is told by where its row lies and who put it there, ``ctid`` and ``xmin``: no two states
share both, whoever wrote them.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import attrs

from polystore.driver.absence import other_key
from polystore.driver.bookkeeping import EXPIRES, STAMP, TOMBSTONE, WRITE_ID
from polystore.driver.kept import Kept, read_back, written_down
from polystore.driver.sql import DOCUMENT, Dialect, Layout, PlacedColumn, layout_of
from polystore.errors import ConfigError
from polystore.schema import Collection
from polystore_postgresql.columns import ENTRY, check_names, columns_of, native
from polystore_postgresql.document import from_column, from_jsonb, to_column, to_jsonb
from polystore_postgresql.settings import DRIVER

MARK = "_ps_k:"
"""Prefix of an empty column that every write names; its name changes with what is kept. What was
prepared for others fails, and the table is read again."""

STATE = "t.xmin::text || t.ctid::text"

_KEYS = {
    str: ("text", "character"), int: ("bigint", "integer", "smallint"), bytes: ("bytea",)
}  # fmt: skip
"""What types of columns that can hold parts of a key begin with."""

_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), place, obj_description(c.oid, 'pg_class')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary,
LATERAL (SELECT array_position((i.indkey::int2[])[:indnkeyatts - 1], attnum) AS place) AS p
WHERE n.nspname = %s AND c.relname = %s ORDER BY place, attnum"""
"""Columns and their types, those of the primary key first, and what the table's comment says."""


def _segment(key: Sequence[str], count: int) -> str:
    parts = ", ".join(f"{name}::text" for name in key)
    return f"((hashtextextended(concat_ws('/', {parts}), 0) %% {count}) + {count}) %% {count}"


DIALECT = Dialect(
    driver=DRIVER,
    placeholder="%s",
    begin="BEGIN ISOLATION LEVEL SERIALIZABLE",  # a check of what is not there holds as well
    types={str: 'text COLLATE "C"', int: "bigint", bytes: "bytea"},
    kept={
        DOCUMENT: "jsonb",
        WRITE_ID: "text",
        STAMP: "bigint",
        TOMBSTONE: "bool",
        EXPIRES: "bigint",
    },
    entries=(ENTRY, "bytea"),
    segment=_segment,
    head=2000,  # a row of a B-tree has at most 2,704 bytes (PostgreSQL manual, 67.2)
    strict=True,
    untouched="t.xmin IS DISTINCT FROM pg_current_xact_id_if_assigned()::xid",
    encode=to_jsonb,
    decode=from_jsonb,
    to_part=to_column,
    from_part=from_column,
)


def table_of(schema: str, collection: Collection) -> str:
    """A collection's table, as SQL. Raises ConfigError for a name that would be cut off."""
    check_names(collection)
    return f"{DIALECT.quoted(schema)}.{DIALECT.quoted(collection.name)}"


def read_layout(connection: Any, schema: str, collection: Collection) -> Layout | None:
    """The layout of a collection's table; ``None`` where there is none.

    Raises:
        ConfigError: it has another key, or a column of another type than the placement says; or a
            name would be cut off.
    """
    check_names(collection)
    rows = connection.execute(_COLUMNS, (schema, collection.name)).fetchall()
    if not rows:
        return None
    types = {name: kind for name, kind, _, _ in rows}
    key = {name: types[name] for name, _, place, _ in rows if place is not None}
    problems = [
        f"the column {name!r} is {types[name]}, and {kind} in the placement: change one of them"
        for name, kind in columns_of(collection).items()
        if types.get(name, kind) != kind
    ]
    fits = all(key.get(field.name, "").startswith(_KEYS[field.type]) for field in collection.key)
    if not fits or tuple(key) != collection.key_names:
        problems.insert(0, other_key(f"{name} {kind}" for name, kind in key.items()))
    if problems:
        raise ConfigError("; ".join(problems), collection=collection.name, driver=DRIVER)
    return layout(schema, collection, told(collection, rows[0][3]), list(types))


def told(collection: Collection, comment: str | None) -> Kept:
    """What a table keeps by its comment; others' comments tell of nothing."""
    try:
        return read_back(comment or "")
    except (ValueError, TypeError, KeyError):
        return Kept(collection.key, ())


def layout(schema: str, collection: Collection, kept: Kept, there: Sequence[str]) -> Layout:
    """The layout of a table that keeps this, and has these columns."""
    prefix, _ = DIALECT.entries
    own, mark = [*collection.key_names, *DIALECT.kept, *kept.columns], _mark(kept)
    read = [name for name in own if name in there]
    entries = [prefix + policed.index.name for policed in kept.indexes]
    columns = [*read, *(name for name in (mark, *entries) if name in there)]
    others = [name for name in there if name not in columns]
    select = [DIALECT.quoted(name) + ("::text" if name == DOCUMENT else "") for name in read]
    return layout_of(
        DIALECT,
        collection,
        name=collection.name,
        table=table_of(schema, collection),
        columns=[*columns, *others],
        native=native(kept.columns),
        computed=others,
        indexes=kept.indexes,
        select=", ".join([*select, DIALECT.quoted(mark), STATE]),
        width=len(read) + 2,
        state=STATE,
    )


def note(connection: Any, layout: Layout, kept: Kept) -> None:
    """Write down what a table keeps, with the columns of others that it has, and let its mark tell.

    Where nothing is new the table is left alone; another order of declarations is nothing new.
    """
    columns = {c.name: c.kind for _, c in layout.native if isinstance(c, PlacedColumn)}
    columns.update(kept.columns)
    indexes = sorted(kept.indexes, key=lambda one: one.index.name)
    kept = attrs.evolve(kept, indexes=tuple(indexes), columns=dict(sorted(columns.items())))
    new, quoted = _mark(kept), DIALECT.quoted
    if new in layout.columns:
        return
    text = written_down(kept).replace("'", "''").replace("%", "%%")
    connection.execute(f"COMMENT ON TABLE {layout.table} IS '{text}'", ())
    old = [name for name in layout.columns if name.startswith(MARK)]
    changes = [f"ADD COLUMN {quoted(new)} bool", *(f"DROP COLUMN {quoted(name)}" for name in old)]
    connection.execute(f"ALTER TABLE {layout.table} {', '.join(changes)}", ())


def _mark(kept: Kept) -> str:
    """The column that is there while the table keeps just this."""
    return MARK + sha256(written_down(kept).encode()).hexdigest()[:16]
