"""Making tables, adding what polystore needs to tables that are there, and comparing."""

from __future__ import annotations

from polystore.driver.absence import no_index
from polystore.driver.policies import Policed, joined
from polystore.schema import Collection
from polystore_postgresql.connections import Connection
from polystore_postgresql.settings import DRIVER
from polystore_postgresql.tables import ENTRY, HEAD, KEPT, Table, comment, indexes_of, quoted, told

_TYPES: dict[type, str] = {str: 'text COLLATE "C"', int: "bigint", bytes: "bytea"}


def read(connection: Connection, schema: str, collection: Collection) -> Table | None:
    """A collection's table as it is; ``None`` where there is none."""
    table = Table(collection, schema)
    found = connection.execute(
        "SELECT obj_description(c.oid, 'pg_class') FROM pg_class c JOIN pg_namespace n "
        "ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
        (schema, collection.name),
    ).fetchone()
    return None if found is None else Table(collection, table.schema, told(found[0]))


def create(connection: Connection, schema: str, collection: Collection) -> None:
    """Make what is not there yet, in one transaction: table, columns, indexes and their entries."""
    declared = indexes_of(collection)
    table = Table(collection, schema, declared)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (table.name,))
        there = read(connection, schema, collection)
        if there is None:
            keys = [f"{quoted(f.name)} {_TYPES[f.type]} NOT NULL" for f in collection.key]
            primary = ", ".join(map(quoted, collection.key_names))
            _run(
                connection,
                f"CREATE TABLE {table.name} ({', '.join(keys)}, PRIMARY KEY ({primary}))",
            )
        for name, kind in KEPT.items():
            _run(connection, f"ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS {name} {kind}")
        before = Table(collection, schema) if there is None else there
        _run(connection, f"ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS {before.mark} bool")
        new = [kept for kept in declared if kept not in before.indexes]
        if new:
            after = Table(collection, schema, joined(declared, before.indexes))
            _run(connection, f"ALTER TABLE {table.name} RENAME {before.mark} TO {after.mark}")
            for kept in new:
                _index(connection, table, kept)
            _fill(connection, table)
            text = comment(after.indexes).replace("'", "''").replace("%", "%%")
            _run(connection, f"COMMENT ON TABLE {table.name} IS '{text}'")


def drop(connection: Connection, schema: str, collection: Collection) -> None:
    """Remove the table with all its rows."""
    _run(connection, f"DROP TABLE IF EXISTS {Table(collection, schema).name}")


def problems(table: Table) -> tuple[str, ...]:
    """What differs from the declaration, each a sentence that says what to do."""
    missing = [kept for kept in indexes_of(table.collection) if kept not in table.indexes]
    return tuple(no_index(DRIVER, table.collection, kept.index).message for kept in missing)


def _index(connection: Connection, table: Table, kept: Policed) -> None:
    column = quoted(ENTRY + kept.index.name)
    _run(connection, f"ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS {column} bytea")
    head = f"substring({column} FROM 1 FOR {HEAD})"
    name = quoted(f"_ps_index:{table.collection.name}:{kept.index.name}"[:63])
    _run(
        connection,
        f"CREATE INDEX IF NOT EXISTS {name} ON {table.name} (({head})) WHERE {column} IS NOT NULL",
    )


def _fill(connection: Connection, table: Table) -> None:
    """Work out every record's place in every index."""
    changes = ", ".join(f"{quoted(ENTRY + kept.index.name)} = %s" for kept in table.indexes)
    same = " AND ".join(f"{quoted(name)} = %s" for name in table.collection.key_names)
    with connection.cursor("_ps_fill") as rows, connection.cursor() as writing:
        rows.execute(table.select("").encode())
        for row in rows:
            stored = table.stored(row)
            entries = [kept.entry(stored.fields, stored.key) for kept in table.indexes]
            values = [None if entry is None else entry.encode() for entry in entries]
            key = row[: len(stored.key)]
            writing.execute(
                f"UPDATE {table.name} SET {changes} WHERE {same}".encode(), [*values, *key]
            )


def _run(connection: Connection, statement: str) -> None:
    """A statement without values; names in it are quoted as for one with placeholders."""
    connection.execute(statement.replace("%%", "%").encode())
