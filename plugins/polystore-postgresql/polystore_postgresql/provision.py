"""Making tables, adding what polystore needs to tables that are there, and comparing."""

from __future__ import annotations

import attrs

from polystore.driver import ANYTHING, Write, absence
from polystore.driver.policies import Policed, joined
from polystore.errors import ConfigError
from polystore.schema import Collection
from polystore_postgresql.columns import columns_of
from polystore_postgresql.connections import Connection
from polystore_postgresql.settings import DRIVER
from polystore_postgresql.tables import ENTRY, HEAD, KEPT, Table, indexes_of, quoted

_TYPES: dict[type, str] = {str: 'text COLLATE "C"', int: "bigint", bytes: "bytea"}


def read(connection: Connection, schema: str, collection: Collection) -> Table | None:
    """A collection's table as it is; ``None`` where there is none."""
    found = connection.execute(
        "SELECT obj_description(c.oid, 'pg_class') FROM pg_class c JOIN pg_namespace n "
        "ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
        (schema, collection.name),
    ).fetchone()
    return None if found is None else Table(collection, schema).told(found[0])


def create(connection: Connection, schema: str, collection: Collection) -> None:
    """Make what is not there yet, in one transaction: table, columns, indexes; and fill them.

    Raises:
        ConfigError: the table has a column of another type than the placement says.
    """
    declared, columns = indexes_of(collection), columns_of(collection)
    with connection.transaction():
        before = Table(collection, schema)
        name = before.name
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))
        there = read(connection, schema, collection)
        if there is None:
            keys = [f"{quoted(f.name)} {_TYPES[f.type]} NOT NULL" for f in collection.key]
            primary = ", ".join(map(quoted, collection.key_names))
            _run(connection, f"CREATE TABLE {name} ({', '.join(keys)}, PRIMARY KEY ({primary}))")
        before = there or before
        for column, kind in {**KEPT, before.mark: "bool"}.items():
            _run(connection, f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {column} {kind}")
        for problem in _differing(connection, before):
            raise ConfigError(problem, collection=collection.name, driver=DRIVER)
        new = [kept for kept in declared if kept not in before.indexes]
        if new or not columns.keys() <= before.columns.keys():
            after = attrs.evolve(
                before,
                indexes=joined(declared, before.indexes),
                columns={**columns, **before.columns},
            )
            _run(connection, f"ALTER TABLE {name} RENAME {before.mark} TO {after.mark}")
            # A column that was there before is the place of its field already.
            known = {c: kind for c, kind in after.columns.items() if c in _types(connection, after)}
            for column, kind in columns.items():
                _run(
                    connection,
                    f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {quoted(column)} {kind}",
                )
            for kept in new:
                _index(connection, after, kept)
            _fill(connection, attrs.evolve(before, columns=known), after)
            text = after.comment.replace("'", "''").replace("%", "%%")
            _run(connection, f"COMMENT ON TABLE {name} IS '{text}'")


def drop(connection: Connection, schema: str, collection: Collection) -> None:
    """Remove the table with all its rows."""
    _run(connection, f"DROP TABLE IF EXISTS {Table(collection, schema).name}")


def problems(connection: Connection, table: Table) -> tuple[str, ...]:
    """What differs from the declaration, each a sentence that says what to do."""
    collection = table.collection
    absent = [kept.index for kept in indexes_of(collection) if kept not in table.indexes]
    found = [absence.no_index(DRIVER, collection, index).message for index in absent]
    missing = sorted(columns_of(collection).keys() - table.columns.keys())
    if missing:
        found.append(f"there are no columns {', '.join(missing)} yet; {absence.MAKE_IT}")
    return (*found, *_differing(connection, table))


def _types(connection: Connection, table: Table) -> dict[str, str]:
    """Types of all columns that the table has, by their names."""
    rows = connection.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        (table.name.replace("%%", "%"),),
    )
    return dict(rows.fetchall())


def _differing(connection: Connection, table: Table) -> tuple[str, ...]:
    """Declared columns that are of another type, each a sentence that says what to do."""
    types = _types(connection, table)
    return tuple(
        f"the column {name!r} is {types[name]}, and {kind} in the placement: change one of them"
        for name, kind in columns_of(table.collection).items()
        if types.get(name, kind) != kind
    )


def _index(connection: Connection, table: Table, kept: Policed) -> None:
    column = quoted(ENTRY + kept.index.name)
    _run(connection, f"ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS {column} bytea")
    head = f"substring({column} FROM 1 FOR {HEAD})"
    name = quoted(f"_ps_index:{table.collection.name}:{kept.index.name}"[:63])
    _run(
        connection,
        f"CREATE INDEX IF NOT EXISTS {name} ON {table.name} (({head})) WHERE {column} IS NOT NULL",
    )


def _fill(connection: Connection, before: Table, after: Table) -> None:
    """Lay every record anew, as the table now keeps it."""
    same = " AND ".join(f"{quoted(name)} = %s" for name in after.collection.key_names)
    with connection.cursor("_ps_fill") as rows, connection.cursor() as writing:
        rows.execute(before.select("").replace(before.mark, after.mark).encode())  # it is renamed
        for row in rows:
            it = before.stored(row)
            values = after.values(
                Write(
                    after.collection, it.key, it.fields, ANYTHING, it.write_id, it.stamp, it.expires
                )
            )
            changes = ", ".join(f"{name} = %s" for name in values)
            key = row[: len(it.key)]
            writing.execute(
                f"UPDATE {after.name} SET {changes} WHERE {same}".encode(), [*values.values(), *key]
            )


def _run(connection: Connection, statement: str) -> None:
    """A statement without values; names in it are quoted as for one with placeholders."""
    connection.execute(statement.replace("%%", "%").encode())
