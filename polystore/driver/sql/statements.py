"""The SQL of one table. Names are quoted, values bound. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polystore.driver.policies import Policed
from polystore.driver.spans import Span
from polystore.driver.sql.dialect import Dialect
from polystore.driver.sql.layout import Layout
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key

Bound = tuple[str, Sequence[Any]]
"""A statement and the values bound to it."""


class Statements:
    """What is sent for one table; made once per layout.

    Key columns of text compare by the dialect's collation even where the table says otherwise, so
    that different keys are never the same row and key order is that of UTF-8.

    Attributes:
        get, delete: for the parts of a key.
        put: for the columns written; whatever is there. Returns the state, where there is one.
        into, row, conflict, changes: parts of ``put``, for a database that decides in it, or takes
            several rows: where to, placeholders of one row, where the key is there, what is set.
        keys: the columns of the key.
        replace: for the columns written and the parts of a key: the row that is there.
        place: for the entries of a record and the parts of its key: puts it into the indexes.
        same_key: the condition for the parts of a key.
    """

    def __init__(self, dialect: Dialect, collection: Collection, layout: Layout) -> None:
        self._dialect = dialect
        self._at = dialect.placeholder
        self.keys = [dialect.key_column(field) for field in collection.key]
        names = [dialect.quoted(column) for column in layout.columns]
        given = [names[place] for place in layout.written]
        others = [names[place] for place in layout.written if place not in layout.key]
        table = f"{layout.table} AS t"
        listed = "" if dialect.counted else f" ({', '.join(given)})"
        self._select = f"SELECT {layout.select} FROM {table}"
        self.same_key = " AND ".join(f"{name} = {self._at}" for name in self.keys)
        self.changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        self.into = f"INSERT INTO {table}{listed} VALUES"
        self.row = f"({self._many(given)})"
        self.conflict = f"ON CONFLICT ({', '.join(self.keys)}) DO"
        change = f"UPDATE SET {self.changes}" if others else "NOTHING"
        returning = "" if layout.state is None else f" RETURNING {layout.state}"
        self.put = f"{self.into} {self.row} {self.conflict} {change}{returning}"
        self.get = f"{self._select} WHERE {self.same_key}"
        self.delete = f"DELETE FROM {table} WHERE {self.same_key}"
        assigned = ", ".join(f"{name} = {self._at}" for name in given)
        self.replace = f"UPDATE {table} SET {assigned} WHERE {self.same_key}"
        entries = ", ".join(f"{names[place]} = {self._at}" for place, _ in layout.indexes)
        self.place = f"UPDATE {table} SET {entries} WHERE {self.same_key}"

    def get_many(self, keys: Sequence[Key]) -> Bound:
        """The rows of some keys, in any order."""
        one = f"({self._many(self.keys)})"
        chosen = f"({', '.join(self.keys)}) IN ({', '.join([one] * len(keys))})"
        return f"{self._select} WHERE {chosen}", [p for k in keys for p in self._dialect.bound(k)]

    def scan(self, key: Key | None, index: int, count: int, limit: int) -> Bound:
        """A page of one of ``count`` segments, after ``key``, in the order of the key."""
        terms: list[str] = []
        values: list[Any] = []
        if key is not None:
            terms.append(self._row(self.keys, ">"))
            values += self._dialect.bound(key)
        if count > 1:
            terms.append(f"{self._dialect.segment(self.keys, count)} = {self._at}")
            values.append(index)
        return self._page(terms, values, self.keys, False, limit)

    def by_key(self, plan: QueryPlan, after: Position | None, limit: int) -> Bound:
        """A page of a query of a partition."""
        fixed = len(plan.equals)
        terms = [f"{name} = {self._at}" for name in self.keys[:fixed]]
        values: list[Any] = list(plan.equals)
        rest = self.keys[fixed:]
        bounds = plan.range
        if bounds is not None and bounds.low is not None:
            terms.append(f"{rest[0]} {'>=' if bounds.low_included else '>'} {self._at}")
            values += bounds.low
        if bounds is not None and bounds.high is not None:
            terms.append(f"{rest[0]} {'<=' if bounds.high_included else '<'} {self._at}")
            values += bounds.high
        if after is not None:
            if not rest:
                terms.append("1 = 0")  # the whole key was given, and the page before had its record
            else:
                terms.append(self._row(rest, "<" if plan.descending else ">"))
                values += after.key[fixed:]
        return self._page(terms, self._dialect.bound(values), rest, plan.descending, limit)

    def by_index(self, kept: Policed, span: Span, descending: bool, limit: int) -> Bound:
        """A page of a query of an index."""
        dialect = self._dialect
        name = dialect.quoted(dialect.entries[0] + kept.index.name)
        low, high = dialect.entry(span.low), dialect.entry(span.high)
        terms, values = [f"{name} >= {self._at}", f"{name} < {self._at}"], [low, high]
        order = [name]
        if dialect.head is not None:  # what the index leaves open the database sorts
            head = dialect.searched(name)
            terms = [f"{head} >= {self._at}", f"{head} <= {self._at}", *terms]
            values = [low[: dialect.head], high[: dialect.head], *values]
            order = [head, name]
        return self._page(terms, values, order, descending, limit)

    def _page(
        self,
        terms: Sequence[str],
        values: Sequence[Any],
        order: list[str],
        descending: bool,
        limit: int,
    ) -> Bound:
        where = f" WHERE {' AND '.join(terms)}" if terms else ""
        direction = " DESC" if descending else ""
        by = f" ORDER BY {', '.join(name + direction for name in order)}" if order else ""
        return f"{self._select}{where}{by} LIMIT {self._at}", [*values, limit]

    def _row(self, names: Sequence[str], operator: str) -> str:
        """A comparison of several columns as one value; the index of the key serves it."""
        return f"({', '.join(names)}) {operator} ({self._many(names)})"

    def _many(self, names: Sequence[str]) -> str:
        return ", ".join([self._at] * len(names))
