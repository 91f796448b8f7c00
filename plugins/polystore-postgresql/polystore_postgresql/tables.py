"""One table: its layout as it was read, what is sent for it, and records from its rows.

Names are quoted, values bound. A state is told by where its row lies and who put it there, ``ctid``
and ``xmin``: no two states share both, whoever wrote them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any

import attrs

from polystore.driver import (
    NOTHING,
    OlderThan,
    Stored,
    Unchanged,
    Write,
)
from polystore.driver.bookkeeping import EXPIRES, STAMP, TOMBSTONE, WRITE_ID
from polystore.driver.policies import Policed, Policy, policed
from polystore.driver.spans import Span
from polystore.errors import ConfigError
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection, Index
from polystore.values import Fields, Key
from polystore_postgresql.columns import believe, laid
from polystore_postgresql.document import from_column, from_jsonb, to_column, to_jsonb
from polystore_postgresql.settings import DRIVER

DOCUMENT = "_ps_doc"
ENTRY = "_ps_i:"
"""Prefix of a column with the place of a record in an index."""

MARK = "_ps_k:"
"""Prefix of an empty column that every read and write names; its name changes with the indexes and
columns kept. What was prepared for others fails, and the table is read again."""

KEPT = {DOCUMENT: "jsonb", WRITE_ID: "text", STAMP: "bigint", TOMBSTONE: "bool", EXPIRES: "bigint"}
"""The columns beside the key."""

HEAD = 2000
"""Bytes of an entry that its index holds: a row of a B-tree has at most 2,704 (PostgreSQL manual,
67.2). What they leave open the database sorts."""

STATE = "xmin::text || ctid::text"


def quoted(name: str) -> str:
    """A name as an identifier, in a statement with placeholders."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def indexes_of(collection: Collection) -> tuple[Policed, ...]:
    """The declared indexes. Raises ConfigError for a policy that there is not."""
    found = policed(collection, DRIVER)
    native = [kept.index.name for kept in found if kept.native]
    if native:
        raise ConfigError(
            f"placement in {DRIVER}: the policy of {', '.join(native)} cannot be native here",
            collection=collection.name,
            driver=DRIVER,
        )
    return found


def deletes(write: Write) -> bool:
    """Whether a write leaves nothing behind."""
    return write.fields is None and write.stamp is None


def kind(write: Write) -> Any:
    """What is alike of writes that one statement can carry out together."""
    condition = write.condition
    if deletes(write) or isinstance(condition, Unchanged):
        return write.key
    if isinstance(condition, OlderThan) and condition.stamp == write.stamp:
        return OlderThan
    return condition


@attrs.frozen(eq=False)
class Table:
    """A collection's table.

    Args:
        collection: the collection.
        schema: where the table is.
        indexes: what it keeps.
        columns: types of the native columns, by the names of the fields that they hold.
    """

    collection: Collection
    schema: str
    indexes: tuple[Policed, ...] = ()
    columns: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def name(self) -> str:
        """The table's name, quoted."""
        return f"{quoted(self.schema)}.{quoted(self.collection.name)}"

    @property
    def comment(self) -> str:
        """What the table keeps, as its comment says it."""
        kept = [[k.index.name, list(k.index.declared), k.policy.value] for k in self.indexes]
        return json.dumps({"_ps_indexes": kept, "_ps_columns": self.columns})

    def told(self, text: str | None) -> Table:
        """The table as its comment says it; others' comments tell of nothing."""
        try:
            found = json.loads(text or "{}")
            kept, columns = found["_ps_indexes"], found["_ps_columns"]
        except (ValueError, KeyError, TypeError):
            return self
        indexes = tuple(Policed(Index(name, of), Policy(policy)) for name, of, policy in kept)
        return attrs.evolve(self, indexes=indexes, columns=columns)

    @cached_property
    def mark(self) -> str:
        """The column that is there while the table keeps these indexes and columns, quoted."""
        return quoted(MARK + sha256(self.comment.encode()).hexdigest()[:16])

    @property
    def _keys(self) -> list[str]:
        return [quoted(name) for name in self.collection.key_names]

    @property
    def _same(self) -> str:
        return " AND ".join(f"t.{name} = %s" for name in self._keys)

    # -- what is sent -------------------------------------------------------------------------

    def select(self, rest: str) -> str:
        """Everything of rows that ``rest`` chooses."""
        names = [*self._keys, f"{DOCUMENT}::text", WRITE_ID, STAMP, TOMBSTONE, EXPIRES, STATE]
        names += [self.mark, *map(quoted, self.columns)]
        return f"SELECT {', '.join(names)} FROM {self.name} AS t {rest}"

    def get(self, keys: Sequence[Key], lock: str = "") -> tuple[str, list[Any]]:
        """The rows of some keys, in any order."""
        one = f"({', '.join(['%s'] * len(self._keys))})"
        chosen = f"WHERE ({', '.join(self._keys)}) IN ({', '.join([one] * len(keys))}) {lock}"
        return self.select(chosen), [to_column(part) for key in keys for part in key]

    def left(self, writes: Sequence[Write]) -> tuple[str, list[Any]]:
        """What is there for those of some writes that this transaction has not carried out."""
        mine = [write.key for write in writes if write.collection.name == self.collection.name]
        mark = "AND t.xmin IS DISTINCT FROM pg_current_xact_id_if_assigned()::xid"
        return self.get(mine, mark)

    def put(self, writes: Sequence[Write]) -> tuple[str, list[Any]]:
        """Writes of one kind, each under its condition; gives keys and tokens of what is done."""
        first = writes[0]
        where, bound = self._where(first)
        returning = f"RETURNING {', '.join(f't.{name}' for name in self._keys)}"
        key = [to_column(part) for part in first.key]
        if deletes(first):
            text = f"DELETE FROM {self.name} AS t WHERE {self._same} AND {where}"
            return f"{text} {returning}, NULL", [*key, *bound]
        rows = [self.values(write) for write in writes]
        names = [*rows[0]]
        if isinstance(first.condition, Unchanged):
            changes = ", ".join(f"{name} = %s" for name in names)
            text = f"UPDATE {self.name} AS t SET {changes} WHERE {self._same} AND {where}"
            return f"{text} {returning}, {STATE}", [*rows[0].values(), *key, *bound]
        changes = ", ".join(f"{name} = excluded.{name}" for name in names)
        row = f"({', '.join(['%s'] * (len(key) + len(names)))})"
        text = (
            f"INSERT INTO {self.name} AS t ({', '.join([*self._keys, *names])}) "
            f"VALUES {', '.join([row] * len(rows))} ON CONFLICT ({', '.join(self._keys)}) DO "
            f"{'NOTHING' if first.condition is NOTHING else f'UPDATE SET {changes} WHERE {where}'} "
            f"{returning}, {STATE}"
        )
        values: list[Any] = []
        for write, kept in zip(writes, rows, strict=True):
            values += [*map(to_column, write.key), *kept.values()]
        return text, [*values, *bound]

    def scan(self, key: Key | None, index: int, count: int, limit: int) -> tuple[str, list[Any]]:
        """A page of one of so many segments, after a key, in the order of the key."""
        terms, values = ["TRUE"], list[Any]()
        if key is not None:
            terms.append(_row(self._keys, ">"))
            values += map(to_column, key)
        if count > 1:
            parts = ", ".join(f"{name}::text" for name in self._keys)
            hashed = f"hashtextextended(concat_ws('/', {parts}), 0)"
            terms.append(f"(({hashed} %% %s) + %s) %% %s = %s")
            values += [count, count, count, index]
        return self._page(terms, values, self._keys, False, limit)

    def by_key(self, plan: QueryPlan, after: Position | None, limit: int) -> tuple[str, list[Any]]:
        """A page of a query of a partition."""
        fixed = len(plan.equals)
        rest = self._keys[fixed:]
        terms = [f"{name} = %s" for name in self._keys[:fixed]]
        values: list[Any] = [*plan.equals]
        bounds = plan.range
        if bounds is not None and bounds.low is not None:
            terms.append(f"{rest[0]} {'>=' if bounds.low_included else '>'} %s")
            values += bounds.low
        if bounds is not None and bounds.high is not None:
            terms.append(f"{rest[0]} {'<=' if bounds.high_included else '<'} %s")
            values += bounds.high
        if after is not None and rest:
            terms.append(_row(rest, "<" if plan.descending else ">"))
            values += after.key[fixed:]
        elif after is not None:
            terms.append("FALSE")  # the whole key was given, and its record was on the page before
        return self._page(terms, list(map(to_column, values)), rest, plan.descending, limit)

    def by_index(
        self, kept: Policed, span: Span, descending: bool, limit: int
    ) -> tuple[str, list[Any]]:
        """A page of a query of an index."""
        name = quoted(ENTRY + kept.index.name)
        low, high = span.low.encode(), span.high.encode()
        head = f"substring({name} FROM 1 FOR {HEAD})"
        terms = [f"{head} >= %s", f"{head} <= %s", f"{name} >= %s", f"{name} < %s"]
        values = [low[:HEAD], high[:HEAD], low, high]
        return self._page(terms, values, [head, name], descending, limit)

    def _page(
        self, terms: list[str], values: list[Any], order: list[str], descending: bool, limit: int
    ) -> tuple[str, list[Any]]:
        direction = " DESC" if descending else ""
        sorted_by = f"ORDER BY {', '.join(n + direction for n in order)}" if order else ""
        text = f"WHERE {' AND '.join(terms)} {sorted_by} LIMIT %s"
        return self.select(text), [*values, limit]

    def _where(self, write: Write) -> tuple[str, list[Any]]:
        condition = write.condition
        if isinstance(condition, Unchanged):
            return "t.xmin::text || t.ctid::text = %s", [condition.token]
        if isinstance(condition, OlderThan):
            own = condition.stamp == write.stamp
            limit = f"excluded.{STAMP}" if own else "%s"
            bound = [] if own else [condition.stamp]
            return f"(t.{STAMP} IS NULL OR t.{STAMP} < {limit})", bound
        return ("FALSE" if condition is NOTHING else "TRUE"), []

    def values(self, write: Write) -> dict[str, Any]:
        """What the columns beside the key hold after a put or tombstone, by quoted names."""
        names = self.collection.key_names
        rest = {name: v for name, v in (write.fields or {}).items() if name not in names}
        shown = laid(self.columns, rest)
        values: dict[str, Any] = {
            DOCUMENT: None if write.fields is None else to_jsonb(rest),
            WRITE_ID: write.write_id,
            STAMP: write.stamp,
            TOMBSTONE: True if write.fields is None else None,
            EXPIRES: write.expires,
            self.mark: None,
            **{quoted(name): value for name, value in shown.items()},
        }
        for kept in self.indexes:
            entry = kept.entry(write.fields, write.key)
            values[quoted(ENTRY + kept.index.name)] = None if entry is None else entry.encode()
        return values

    # -- what comes back ----------------------------------------------------------------------

    def key(self, row: Sequence[Any]) -> Key:
        """The key of a row."""
        return tuple(map(from_column, row[: len(self.collection.key)]))

    def stored(self, row: Sequence[Any]) -> Stored:
        """The record of a row."""
        key = self.key(row)
        document, write_id, stamp, buried, expires, token, _, *shown = row[len(key) :]
        if buried:
            return Stored(key, None, token, write_id, stamp)
        fields: Fields = dict(zip(self.collection.key_names, key, strict=True))
        if document is not None:
            fields.update(from_jsonb(document))
        believe(self.columns, shown, fields)
        return Stored(key, fields, token, write_id, stamp, expires)


def _row(names: Sequence[str], operator: str) -> str:
    """A comparison of several columns as one value; the index of the key serves it."""
    return f"({', '.join(names)}) {operator} ({', '.join(['%s'] * len(names))})"
