"""The SQL of one table. Names are quoted, values bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polystore.driver.spans import Span
from polystore.drivers.sqlite.layout import KeptIndex, Layout
from polystore.drivers.sqlite.quoting import quoted
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key

SEGMENT = "_ps_segment"
"""Name of the SQL function that tells a key's segment: (count, key part, …)."""

Bound = tuple[str, list[Any]]
"""A statement and the values bound to it."""


class Statements:
    """What is sent for one table; made once per layout.

    Key columns of text compare by BINARY even where the table says otherwise, so that different
    keys are never the same row and key order is that of UTF-8.
    """

    def __init__(self, collection: Collection, layout: Layout) -> None:
        table = quoted(layout.table)
        self._keys = [
            quoted(field.name) + (" COLLATE BINARY" if field.type is str else "")
            for field in collection.key
        ]
        self._names = [quoted(column.name) for column in layout.columns]
        self.same_key = " AND ".join(f"{name} = ?" for name in self._keys)
        others = [self._names[place] for place in layout.written if place not in layout.key]
        changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        self._select = f"SELECT * FROM {table}"
        self.get = f"{self._select} WHERE {self.same_key}"
        # No list of columns: if the table has got another one, the statement fails, and the
        # layout is read again.
        self.put = (
            f"INSERT INTO {table} VALUES ({', '.join('?' * len(layout.written))}) "
            f"ON CONFLICT ({', '.join(self._keys)}) "
            f"DO {'UPDATE SET ' + changes if changes else 'NOTHING'}"
        )
        self.delete = f"DELETE FROM {table} WHERE {self.same_key}"

    def scan(self, key: Key | None, index: int, count: int, limit: int) -> Bound:
        """A page of one of ``count`` segments, after ``key``, in the order of the key."""
        terms: list[str] = []
        values: list[Any] = []
        if key is not None:
            terms.append(_row(self._keys, ">"))
            values += key
        if count > 1:
            terms.append(f"{SEGMENT}(?, {', '.join(self._keys)}) = ?")
            values += [count, index]
        return self._page(terms, values, self._keys, False, limit)

    def by_key(self, plan: QueryPlan, after: Position | None, limit: int) -> Bound:
        """A page of a query of a partition."""
        fixed = len(plan.equals)
        terms = [f"{name} = ?" for name in self._keys[:fixed]]
        values: list[Any] = list(plan.equals)
        rest = self._keys[fixed:]
        bounds = plan.range
        if bounds is not None and bounds.low is not None:
            terms.append(f"{rest[0]} {'>=' if bounds.low_included else '>'} ?")
            values += bounds.low
        if bounds is not None and bounds.high is not None:
            terms.append(f"{rest[0]} {'<=' if bounds.high_included else '<'} ?")
            values += bounds.high
        if after is not None:
            if not rest:
                terms.append("0")  # the whole key was given, and its record was on the page before
            else:
                terms.append(_row(rest, "<" if plan.descending else ">"))
                values += after.key[fixed:]
        return self._page(terms, values, rest, plan.descending, limit)

    def by_index(self, kept: KeptIndex, span: Span, descending: bool, limit: int) -> Bound:
        """A page of a query of an index."""
        name = self._names[kept.column]
        terms = [f"{name} >= ?", f"{name} < ?"]
        return self._page(terms, [span.low, span.high], [name], descending, limit)

    def _page(
        self,
        terms: Sequence[str],
        values: list[Any],
        order: list[str],
        descending: bool,
        limit: int,
    ) -> Bound:
        text = self._select
        if terms:
            text += f" WHERE {' AND '.join(terms)}"
        if order:
            direction = " DESC" if descending else ""
            text += f" ORDER BY {', '.join(name + direction for name in order)}"
        return f"{text} LIMIT ?", [*values, limit]


def _row(names: Sequence[str], operator: str) -> str:
    """A comparison of several columns as one value; the index of the key serves it."""
    return f"({', '.join(names)}) {operator} ({', '.join('?' * len(names))})"
