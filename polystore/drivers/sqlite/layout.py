"""How a collection lies in one table, as the database tells: which column holds what.

A table that polystore made has a column for each key field and ``_ps_doc`` for all other fields.
A table that was there before keeps its columns: each is the place of the field of its name.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

import attrs

from polystore.driver.bookkeeping import EXPIRES, STAMP, TOMBSTONE, WRITE_ID
from polystore.driver.policies import OPTION, Policed, Policy, policed
from polystore.drivers.sqlite.columns import Affinity, Column
from polystore.drivers.sqlite.quoting import quoted
from polystore.errors import ConfigError
from polystore.schema import Collection, Index
from polystore.values import RESERVED

DOCUMENT = "_ps_doc"
"""Name of the column with the fields that have no column of their own."""

ENTRY = "_ps_x_"
"""Prefix of the columns that hold a record's text in the order of an index."""

INDEXES = "_ps_sqlite_indexes"
"""Name of the table that says what the ``_ps_x_…`` columns hold, so that every process that
writes keeps all of them, whichever indexes it declares itself. ``ready`` is 0 until they are
filled."""


@attrs.frozen
class KeptIndex:
    """An index that the table has: its column, and whether all records are in it yet."""

    policed: Policed
    column: int
    ready: bool


@attrs.frozen
class Layout:
    """One table, column by column.

    Attributes:
        table: its name.
        columns: all columns in the order of ``SELECT *``.
        key: positions of the key fields' columns.
        fields: positions of the columns that are fields outside the key.
        written: positions of the columns that a put gives, in order; the others are generated.
        document, stamp, write_id, expires, tombstone: positions of polystore's own columns, or
            ``None``.
        indexes: the indexes that the table keeps.
        unique: whether the table admits a key only once.
    """

    table: str
    columns: tuple[Column, ...]
    key: tuple[int, ...]
    fields: tuple[int, ...]
    written: tuple[int, ...]
    document: int | None
    stamp: int | None
    write_id: int | None
    expires: int | None
    tombstone: int | None
    indexes: tuple[KeptIndex, ...]
    unique: bool

    def index(self, index: Index) -> KeptIndex | None:
        """The index of this name and these fields, if the table has it, filled."""
        for kept in self.indexes:
            if kept.policed.index == index and kept.ready:
                return kept
        return None


def table_name(collection: Collection) -> str:
    """The table of a collection: its own name, or what its placement says.

    Raises:
        ConfigError: the placement has something else than a table name, or names collide.
    """
    placement = collection.placement("sqlite")
    where = f"[collections.{collection.name}.sqlite]"
    unknown = sorted(set(placement) - {"table", OPTION})
    if unknown:
        raise ConfigError(
            f"{where}: {unknown} is not known; there are: table, {OPTION}", driver="sqlite"
        )
    table = placement.get("table", collection.name)
    if type(table) is not str or not table or "\x00" in table:
        raise ConfigError(f"{where}: table must be a name", driver="sqlite")
    if table.lower().startswith(("sqlite_", RESERVED + "sqlite")):
        raise ConfigError(f"{where}: the table name {table!r} is reserved", driver="sqlite")
    _check_names(collection, where)
    return table


def indexes_of(collection: Collection) -> tuple[Policed, ...]:
    """The indexes of a collection under their policies.

    Raises:
        ConfigError: one is to be ``native``.
    """
    found = policed(collection, "sqlite")
    for kept in found:
        if kept.native:
            raise ConfigError(
                f"placement in sqlite: the index {kept.index.name!r} cannot be native: an index of "
                "SQL has no place for every type of value, and knows none of the document; use "
                "encode, which also holds the rows that were there before",
                collection=collection.name,
                driver="sqlite",
            )
    return found


def _check_names(collection: Collection, where: str) -> None:
    for names in (collection.key_names, [index.name for index in collection.indexes]):
        if len({name.lower() for name in names}) < len(names) or any("\x00" in n for n in names):
            raise ConfigError(
                f"{where}: SQLite tells names apart without regard to case, and takes no U+0000: "
                f"rename one of {sorted(names)}",
                driver="sqlite",
            )


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
        raise ConfigError(
            f"the table {table!r} would be {found[0]!r}, which is there: SQLite ignores case; "
            f'give the collection its own with [collections.{collection.name}.sqlite] table = "…"',
            collection=collection.name,
            driver="sqlite",
        )
    if found[1] == "view":
        raise ConfigError(
            f"{table!r} is a view: declare a table",
            collection=collection.name,
            driver="sqlite",
        )
    columns = _columns(connection, table)
    places = {column.name: place for place, column in enumerate(columns)}
    key = _key_places(collection, table, columns)
    indexes = _indexes(connection, table, places)
    return Layout(
        table=table,
        columns=columns,
        key=key,
        fields=tuple(
            place
            for name, place in places.items()
            if place not in key and not columns[place].generated and not name.startswith(RESERVED)
        ),
        written=tuple(place for place in places.values() if not columns[place].generated),
        document=places.get(DOCUMENT),
        stamp=places.get(STAMP),
        write_id=places.get(WRITE_ID),
        expires=places.get(EXPIRES),
        tombstone=places.get(TOMBSTONE),
        indexes=indexes,
        unique=_unique(connection, table, collection),
    )


def _columns(connection: sqlite3.Connection, table: str) -> tuple[Column, ...]:
    strict = _is_strict(connection, table)
    found = []
    # table_info leaves generated columns out, which SELECT * returns.
    for _, name, declared, required, _, in_key, hidden in connection.execute(
        f"PRAGMA table_xinfo({quoted(table)})"
    ):
        affinity = Affinity.NONE if strict and declared == "ANY" else Affinity.of(declared)
        refuses_null = bool(required) and not in_key
        found.append(Column(name, affinity, refuses_null, strict, generated=hidden in {2, 3}))
    return tuple(found)


def _is_strict(connection: sqlite3.Connection, table: str) -> bool:
    if sqlite3.sqlite_version_info < (3, 37):
        return False
    rows = connection.execute(f"PRAGMA table_list({quoted(table)})")
    return any(row[0] == "main" and row[5] for row in rows)


def _key_places(collection: Collection, table: str, columns: tuple[Column, ...]) -> tuple[int, ...]:
    names = [column.name for column in columns]
    for field in collection.key:
        if field.name not in names:
            raise ConfigError(
                f"the table {table!r} has no column {field.name!r} for the key field; it has "
                f"{', '.join(names)}",
                collection=collection.name,
                driver="sqlite",
            )
        column = columns[names.index(field.name)]
        if not column.holds_key(field.type):
            raise ConfigError(
                f"the column {field.name!r} of the table {table!r} converts values "
                f"({column.affinity.value}): it cannot hold a key field of type "
                f"{field.type.__name__}",
                collection=collection.name,
                driver="sqlite",
            )
    return tuple(names.index(name) for name in collection.key_names)


def _indexes(
    connection: sqlite3.Connection, table: str, places: Mapping[str, int]
) -> tuple[KeptIndex, ...]:
    if not any(name.startswith(ENTRY) for name in places):
        return ()
    rows = connection.execute(
        f"SELECT name, fields, policy, ready FROM {INDEXES} WHERE tbl = ?", (table,)
    ).fetchall()
    return tuple(
        KeptIndex(
            Policed(Index(name, tuple(json.loads(fields))), Policy(policy)),
            places[ENTRY + name],
            bool(ready),
        )
        for name, fields, policy, ready in rows
        if ENTRY + name in places
    )


def _unique(connection: sqlite3.Connection, table: str, collection: Collection) -> bool:
    """Whether the primary key, or a whole unique index, has exactly the key fields."""
    wanted = sorted(collection.key_names)
    info = connection.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
    primary = [(name, declared.upper()) for _, name, declared, _, _, rank in info if rank]
    if len(primary) == 1 and primary[0][1] == "INTEGER" and [primary[0][0]] == wanted:
        return True
    for _, index, unique, _, partial in connection.execute(
        f"PRAGMA index_list({quoted(table)})"
    ).fetchall():
        parts: list[Any] = [
            (row[2], row[4])
            for row in connection.execute(f"PRAGMA index_xinfo({quoted(index)})")
            if row[5]
        ]
        exact = unique and not partial and all(collation == "BINARY" for _, collation in parts)
        if exact and sorted(str(name) for name, _ in parts) == wanted:
            return True
    return False
