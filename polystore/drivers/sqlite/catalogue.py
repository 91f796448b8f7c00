"""The table of a collection, as the file tells."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from polystore.driver.bookkeeping import EXPIRES, STAMP, TOMBSTONE, WRITE_ID
from polystore.driver.policies import OPTION, Policed
from polystore.driver.sql import DOCUMENT, Dialect, Layout, layout_of
from polystore.drivers.sqlite.columns import Affinity, Column
from polystore.drivers.sqlite.connections import DRIVER, SEGMENT
from polystore.errors import ConfigError
from polystore.schema import Collection
from polystore.values import RESERVED

INDEXES = "_ps_sqlite_indexes"
"""Name of the table that says what the ``_ps_x_…`` columns hold, so that every process that
writes keeps all of them, whichever indexes it declares itself."""

DIALECT = Dialect(
    driver=DRIVER,
    placeholder="?",
    begin="BEGIN IMMEDIATE",
    types={str: "TEXT", int: "INTEGER", bytes: "BLOB"},
    kept={
        DOCUMENT: "TEXT",
        STAMP: "INTEGER",
        WRITE_ID: "TEXT",
        TOMBSTONE: "INTEGER",
        EXPIRES: "INTEGER",
    },
    entries=("_ps_x_", "TEXT"),
    segment=lambda key, count: f"{SEGMENT}({count}, {', '.join(key)})",
    collation=" COLLATE BINARY",
    counted=True,
)


def table_name(collection: Collection) -> str:
    """The table of a collection: its own name, or what its placement says.

    Raises:
        ConfigError: the placement has something else than a table name, or names collide.
    """
    placement = collection.placement(DRIVER)
    unknown = sorted(set(placement) - {"table", OPTION})
    if unknown:
        raise _misplaced(collection, f"{unknown} is not known; there are: table, {OPTION}")
    table = placement.get("table", collection.name)
    if type(table) is not str or not table or "\x00" in table:
        raise _misplaced(collection, "table must be a name")
    if table.lower().startswith(("sqlite_", RESERVED + "sqlite")):
        raise _misplaced(collection, f"the table name {table!r} is reserved")
    for names in (collection.key_names, [index.name for index in collection.indexes]):
        if len({name.lower() for name in names}) < len(names) or any("\x00" in n for n in names):
            raise _misplaced(
                collection,
                "SQLite tells names apart without regard to case, and takes no U+0000: rename "
                f"one of {sorted(names)}",
            )
    return table


def read_layout(connection: sqlite3.Connection, collection: Collection) -> Layout | None:
    """The layout of a collection's table; ``None`` where there is no such table.

    Raises:
        ConfigError: the table cannot hold this collection's keys, or is another one's.
    """
    table = table_name(collection)
    found = connection.execute(
        "SELECT name, type FROM sqlite_master "
        "WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE",
        (table,),
    ).fetchone()
    if found is None:
        return None
    if found[0] != table:
        raise _unfit(
            collection,
            f"the table {table!r} would be {found[0]!r}, which is there: SQLite ignores case; "
            f'give the collection its own with [collections.{collection.name}.sqlite] table = "…"',
        )
    if found[1] == "view":
        raise _unfit(collection, f"{table!r} is a view: declare a table")
    columns = _columns(connection, table)
    _check_key(collection, table, columns)
    own = {*collection.key_names, *(name for name in columns if name.startswith(RESERVED))}
    computed = [name for name, column in columns.items() if column.generated]
    return layout_of(
        DIALECT,
        collection,
        name=table,
        table=DIALECT.quoted(table),
        columns=list(columns),
        native=[columns[name] for name in columns if name not in {*own, *computed}],
        computed=computed,
        indexes=_indexes(connection, table, columns),
        unique=_unique(connection, table, collection),
    )


def note_indexes(connection: sqlite3.Connection, table: str, new: Sequence[Policed]) -> None:
    """Write down what a table's entries hold, of the indexes that are new."""
    if not new:
        return
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {INDEXES} (tbl TEXT NOT NULL, name TEXT NOT NULL, "
        "fields TEXT NOT NULL, policy TEXT NOT NULL, PRIMARY KEY (tbl, name))"
    )
    for one in new:
        name, fields, policy = one.told
        told = (table, name, json.dumps(fields), policy)
        connection.execute(f"INSERT OR REPLACE INTO {INDEXES} VALUES (?, ?, ?, ?)", told)


def forget_indexes(connection: sqlite3.Connection, table: str) -> None:
    """What :func:`note_indexes` wrote down, of a table that is gone."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (INDEXES,)).fetchone():
        connection.execute(f"DELETE FROM {INDEXES} WHERE tbl = ?", (table,))


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, Column]:
    strict = _is_strict(connection, table)
    found = {}
    # table_info leaves generated columns out, which SELECT * returns.
    for _, name, declared, required, _, in_key, hidden in connection.execute(
        f"PRAGMA table_xinfo({DIALECT.quoted(table)})"
    ):
        affinity = Affinity.NONE if strict and declared == "ANY" else Affinity.of(declared)
        refuses_null = bool(required) and not in_key
        found[name] = Column(name, affinity, refuses_null, strict, generated=hidden in {2, 3})
    return found


def _is_strict(connection: sqlite3.Connection, table: str) -> bool:
    if sqlite3.sqlite_version_info < (3, 37):
        return False
    rows = connection.execute(f"PRAGMA table_list({DIALECT.quoted(table)})")
    return any(row[0] == "main" and row[5] for row in rows)


def _check_key(collection: Collection, table: str, columns: dict[str, Column]) -> None:
    for field in collection.key:
        column = columns.get(field.name)
        if column is not None and not column.holds_key(field.type):
            raise _unfit(
                collection,
                f"the column {field.name!r} of the table {table!r} converts values "
                f"({column.affinity.value}): it cannot hold a key field of type "
                f"{field.type.__name__}",
            )


def _indexes(
    connection: sqlite3.Connection, table: str, columns: dict[str, Column]
) -> list[Policed]:
    if not any(name.startswith(DIALECT.entries[0]) for name in columns):
        return []
    rows = connection.execute(f"SELECT name, fields, policy FROM {INDEXES} WHERE tbl = ?", (table,))
    return [Policed.of((name, json.loads(fields), policy)) for name, fields, policy in rows]


def _unique(connection: sqlite3.Connection, table: str, collection: Collection) -> bool:
    """Whether the primary key, or a whole unique index, has exactly the key fields."""
    wanted = sorted(collection.key_names)
    info = connection.execute(f"PRAGMA table_info({DIALECT.quoted(table)})").fetchall()
    primary = [(name, declared.upper()) for _, name, declared, _, _, rank in info if rank]
    if len(primary) == 1 and primary[0][1] == "INTEGER" and [primary[0][0]] == wanted:
        return True
    for _, index, unique, _, partial in connection.execute(
        f"PRAGMA index_list({DIALECT.quoted(table)})"
    ).fetchall():
        rows = connection.execute(f"PRAGMA index_xinfo({DIALECT.quoted(index)})")
        parts = [(row[2], row[4]) for row in rows if row[5]]
        exact = unique and not partial and all(collation == "BINARY" for _, collation in parts)
        if exact and sorted(str(name) for name, _ in parts) == wanted:
            return True
    return False


def _misplaced(collection: Collection, problem: str) -> ConfigError:
    where = f"[collections.{collection.name}.sqlite]"
    return ConfigError(f"{where}: {problem}", driver=DRIVER)


def _unfit(collection: Collection, problem: str) -> ConfigError:
    return ConfigError(problem, collection=collection.name, driver=DRIVER)
