"""A collection's table: what it keeps, what that makes of its columns, and many writes at once.

A state is told by where its row lies and who put it there, ``ctid`` and ``xmin``: no two states
share both, whoever wrote them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import attrs

from polystore.driver import NOTHING, OlderThan, Unchanged, Write
from polystore.driver.bookkeeping import EXPIRES, STAMP, TOMBSTONE, WRITE_ID
from polystore.driver.policies import Policed
from polystore.driver.sql import DOCUMENT, Bound, Dialect, Layout, Table, deletes, layout_of
from polystore.schema import Collection
from polystore_postgresql.columns import Column
from polystore_postgresql.document import from_column, from_jsonb, to_column, to_jsonb
from polystore_postgresql.settings import DRIVER

MARK = "_ps_k:"
"""Prefix of an empty column that every write names; its name changes with what is kept. What was
prepared for others fails, and the table is read again."""

STATE = "xmin::text || ctid::text"

KEPT = {DOCUMENT: "jsonb", WRITE_ID: "text", STAMP: "bigint", TOMBSTONE: "bool", EXPIRES: "bigint"}


def _segment(key: Sequence[str], count: int) -> str:
    parts = ", ".join(f"{name}::text" for name in key)
    return f"((hashtextextended(concat_ws('/', {parts}), 0) %% {count}) + {count}) %% {count}"


DIALECT = Dialect(
    driver=DRIVER,
    placeholder="%s",
    begin="BEGIN ISOLATION LEVEL SERIALIZABLE",  # a check of what is not there holds as well
    types={str: 'text COLLATE "C"', int: "bigint", bytes: "bytea"},
    kept=KEPT,
    entries=("_ps_i:", "bytea"),
    segment=_segment,
    head=2000,  # a row of a B-tree has at most 2,704 bytes (PostgreSQL manual, 67.2)
    strict=True,
    encode=to_jsonb,
    decode=from_jsonb,
    to_part=to_column,
    from_part=from_column,
)


@attrs.frozen
class Kept:
    """What a table keeps beside documents.

    Attributes:
        indexes: those that its entries are of.
        columns: types of the native columns, by the names of the fields that they hold.
    """

    indexes: tuple[Policed, ...] = ()
    columns: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def comment(self) -> str:
        """The comment of the table, which says so."""
        kept = [index.told for index in self.indexes]
        return json.dumps({"_ps_indexes": kept, "_ps_columns": self.columns})

    @property
    def mark(self) -> str:
        """The column that is there while the table keeps just this."""
        return MARK + sha256(self.comment.encode()).hexdigest()[:16]


def told(text: str | None) -> Kept:
    """What a table keeps by its comment; others' comments tell of nothing."""
    try:
        found = json.loads(text or "{}")
        kept, columns = found["_ps_indexes"], found["_ps_columns"]
    except (ValueError, KeyError, TypeError):
        return Kept()
    return Kept(tuple(map(Policed.of, kept)), columns)


def layout(schema: str, collection: Collection, kept: Kept, mark: str) -> Layout:
    """The layout of a table that keeps this; ``mark`` is its column that tells."""
    read = [*collection.key_names, *KEPT, mark, *kept.columns]
    prefix, _ = DIALECT.entries
    select = [DIALECT.quoted(name) + ("::text" if name == DOCUMENT else "") for name in read]
    return layout_of(
        DIALECT,
        collection,
        name=collection.name,
        table=table_of(schema, collection),
        columns=[*read, *(prefix + policed.index.name for policed in kept.indexes)],
        native=[Column(*column) for column in kept.columns.items()],
        indexes=dict.fromkeys(kept.indexes, True),
        select=", ".join([*select, STATE]),
        width=len(read) + 1,
        state=STATE,
    )


def table_of(schema: str, collection: Collection) -> str:
    """A collection's table, as SQL."""
    return f"{DIALECT.quoted(schema)}.{DIALECT.quoted(collection.name)}"


def kind(write: Write) -> Any:
    """What is alike of writes that one statement can carry out together."""
    condition = write.condition
    if deletes(write) or isinstance(condition, Unchanged):
        return write.key
    if isinstance(condition, OlderThan) and condition.stamp == write.stamp:
        return OlderThan
    return condition


def put(table: Table, writes: Sequence[Write]) -> Bound:
    """Writes of one kind, each under its condition; gives keys and tokens of what is done."""
    first, sql = writes[0], table.statements
    where, bound = _where(first)
    key = table.dialect.bound(first.key)
    returning = f"RETURNING {', '.join(sql.keys)}"
    if deletes(first):
        return f"{sql.delete} AND {where} {returning}, NULL", [*key, *bound]
    rows = [table.rows.row(write) for write in writes]
    if isinstance(first.condition, Unchanged):
        text = f"UPDATE {table.layout.table} AS t SET {sql.assign} WHERE {sql.same_key}"
        return f"{text} AND {where} {returning}, {STATE}", [*rows[0], *key, *bound]
    new = f"{sql.into} {', '.join([sql.row] * len(rows))} {sql.conflict}"
    change = "NOTHING" if first.condition is NOTHING else f"UPDATE SET {sql.changes} WHERE {where}"
    values = [value for row in rows for value in row]
    return f"{new} {change} {returning}, {STATE}", [*values, *bound]


def left(table: Table, writes: Sequence[Write]) -> Bound:
    """What is there for those of some writes that this transaction has not carried out."""
    text, values = table.statements.get_many([write.key for write in writes])
    return f"{text} AND t.xmin IS DISTINCT FROM pg_current_xact_id_if_assigned()::xid", values


def _where(write: Write) -> Bound:
    condition = write.condition
    if isinstance(condition, Unchanged):
        return "t.xmin::text || t.ctid::text = %s", [condition.token]
    if isinstance(condition, OlderThan):
        own = condition.stamp == write.stamp
        limit = f"excluded.{STAMP}" if own else "%s"
        return f"(t.{STAMP} IS NULL OR t.{STAMP} < {limit})", [] if own else [condition.stamp]
    return ("FALSE" if condition is NOTHING else "TRUE"), []
