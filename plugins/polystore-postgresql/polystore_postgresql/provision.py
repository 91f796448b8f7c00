"""Reading what a table keeps, making it, and comparing it with the declaration."""

from __future__ import annotations

from functools import partial
from typing import Any

from polystore.driver import ANYTHING, Stored, Write
from polystore.driver.absence import MAKE_IT
from polystore.driver.policies import joined
from polystore.driver.sql import Bound, Layout, Table, add_index, fill, make_table
from polystore.driver.sql import table_of as as_table
from polystore.errors import ConfigError
from polystore.schema import Collection
from polystore_postgresql.columns import columns_of
from polystore_postgresql.settings import DRIVER
from polystore_postgresql.tables import DIALECT, Kept, layout, table_of, told

_KEYS = {
    str: ("text", "character"), int: ("bigint", "integer", "smallint"), bytes: ("bytea",)
}  # fmt: skip
"""What types of columns that can hold parts of a key begin with."""


def kept(connection: Any, schema: str, collection: Collection) -> Kept | None:
    """What a collection's table keeps; ``None`` where there is none."""
    found = connection.execute(
        "SELECT obj_description(c.oid, 'pg_class') FROM pg_class c JOIN pg_namespace n "
        "ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
        (schema, collection.name),
    ).fetchone()
    return None if found is None else told(found[0])


def make(connection: Any, schema: str, collection: Collection) -> None:
    """Make what is not there yet: table, columns, indexes; and lay the records anew.

    Raises:
        ConfigError: the table has another key, or a column of another type than the placement says.
    """
    table, columns = table_of(schema, collection), columns_of(collection)
    found = kept(connection, schema, collection)
    if found is None:
        make_table(connection, DIALECT, table, collection)
    before = found or Kept()
    there = _types(connection, table)
    other = _other_key(connection, table, there, collection)
    for problem in (*other, *_differing(there, collection)):
        raise ConfigError(problem, collection=collection.name, driver=DRIVER)
    indexes = joined(DIALECT.indexes_of(collection), before.indexes)
    after = Kept(indexes, {**columns, **before.columns})
    if before.mark in there and before.mark != after.mark:
        old, new = DIALECT.quoted(before.mark), DIALECT.quoted(after.mark)
        connection.execute(f"ALTER TABLE {table} RENAME {old} TO {new}", ())
    now = as_table(DIALECT, collection, layout(schema, collection, after, after.mark))
    prefix, entry = DIALECT.entries
    entries = {prefix + index.index.name: entry for index in indexes}
    for name, kind in {**DIALECT.kept, after.mark: "bool", **columns, **entries}.items():
        column = f"{DIALECT.quoted(name)} {kind}"
        connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column}", ())
    if after == before:
        return
    for index in indexes:
        add_index(connection, DIALECT, now.layout, index)
    # A column that was there before is the place of its field already.
    known = {name: kind for name, kind in after.columns.items() if name in there}
    was = as_table(DIALECT, collection, layout(schema, collection, Kept((), known), after.mark))
    fill(connection, was, partial(_relaid, now, collection))
    text = after.comment.replace("'", "''").replace("%", "%%")
    connection.execute(f"COMMENT ON TABLE {table} IS '{text}'", ())


def problems(connection: Any, table: Layout, collection: Collection) -> list[str]:
    """What differs from the placement, each a sentence that says what to do."""
    missing = sorted(columns_of(collection).keys() - {column.name for _, column in table.native})
    found = [f"there are no columns {', '.join(missing)} yet; {MAKE_IT}"] if missing else []
    there = _types(connection, table.table)
    other = _other_key(connection, table.table, there, collection)
    return [*other, *found, *_differing(there, collection)]


def _types(connection: Any, table: str) -> dict[str, str]:
    """Types of all columns that a table has, by their names."""
    rows = connection.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        (table.replace("%%", "%"),),
    )
    return dict(rows.fetchall())


def _other_key(
    connection: Any, table: str, types: dict[str, str], collection: Collection
) -> list[str]:
    """That a table has another key: a column is not there, of another type, or one too many."""
    rows = connection.execute(
        "SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid "
        "AND attnum = ANY(indkey) WHERE indrelid = %s::regclass AND indisprimary",
        (table.replace("%%", "%"),),
    )
    primary = {name for (name,) in rows.fetchall()}
    fits = all(types.get(field.name, "").startswith(_KEYS[field.type]) for field in collection.key)
    if fits and primary in (set(), set(collection.key_names)):
        return []
    there = ", ".join(f"{name} {types[name]}" for name in sorted(primary))
    return [f"the key is ({there}) there; declare it so, or give the collection another name"]


def _differing(types: dict[str, str], collection: Collection) -> list[str]:
    """Declared columns that are of another type."""
    return [
        f"the column {name!r} is {types[name]}, and {kind} in the placement: change one of them"
        for name, kind in columns_of(collection).items()
        if types.get(name, kind) != kind
    ]


def _relaid(table: Table, collection: Collection, one: Stored) -> Bound:
    """A record as the table now keeps it."""
    kept_as = (one.write_id, one.stamp, one.expires)
    row = table.rows.row(Write(collection, one.key, one.fields, ANYTHING, *kept_as))
    sql, key = table.statements, DIALECT.bound(one.key)
    return f"UPDATE {table.layout.table} SET {sql.assign} WHERE {sql.same_key}", [*row, *key]
