"""A driver whose database decides: conditions are part of statements, many go in one round trip.

For databases whose ``INSERT … ON CONFLICT … DO UPDATE`` and ``UPDATE`` take a condition and return
what they did, and that tell two states of a row apart (``Layout.state``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import attrs

from polystore.driver.bookkeeping import STAMP, holds
from polystore.driver.contract import (
    ANYTHING,
    NOTHING,
    OlderThan,
    Refused,
    Stored,
    Token,
    Unchanged,
    Unprocessed,
    Write,
    Written,
)
from polystore.driver.sql.driver import SqlDriver, transaction
from polystore.driver.sql.statements import Bound
from polystore.driver.sql.table import Table, deletes
from polystore.values import Key

Place = tuple[str, Key]
"""A record: its collection and its key."""


class DecidingDriver(SqlDriver):
    """Collections as tables of a database that decides itself.

    Attributes:
        rows: how many records one statement takes at most; of 500, on PostgreSQL, each took longer.
    """

    rows = 100

    @abstractmethod
    def together(self, connection: Any) -> AbstractContextManager[object]:
        """While it lasts, no answer is waited for; at its end all are there, or an error."""

    def look(self, connection: Any, table: Table, keys: Sequence[Key]) -> list[Stored | None]:
        if not keys:
            return []
        rows = connection.execute(*table.statements.get_many(keys))
        found = {stored.key: stored for stored in map(table.rows.stored, rows)}
        return [found.get(key) for key in keys]

    def write(self, write: Write) -> Written | Refused:
        (outcome,) = self._decide([write])
        return outcome

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        return [*self._decide(writes)] if writes else []

    def _decide(self, writes: Sequence[Write]) -> list[Written | Refused]:
        """All in one transaction and one round trip; each decides for itself."""

        def work(connection: Any, _first: Table) -> list[Written | Refused]:
            groups: dict[str, list[Write]] = {}
            for write in writes:
                groups.setdefault(write.collection.name, []).append(write)
            tables = {n: self.table(connection, some[0].collection) for n, some in groups.items()}
            with self.together(connection), transaction(connection, self.dialect.begin):
                done = self._send(connection, [(tables[w.collection.name], w) for w in writes])
                looked = {
                    name: connection.execute(*_left(tables[name], some))
                    for name, some in groups.items()
                }
            tokens = self._tokens(done)
            found = {
                (name, stored.key): stored
                for name, cursor in looked.items()
                for stored in map(tables[name].rows.stored, cursor)
            }
            return [_outcome(write, tokens, found) for write in writes]

        return self.on_table(writes[0].collection, work)

    def put_all(self, connection: Any, changes: Sequence[tuple[Table, Write]]) -> list[Token]:
        with self.together(connection):
            done = self._send(
                connection, [(table, attrs.evolve(w, condition=ANYTHING)) for table, w in changes]
            )
        tokens = self._tokens(done)
        return [tokens.get((write.collection.name, write.key)) for _, write in changes]

    def _send(
        self, connection: Any, changes: Sequence[tuple[Table, Write]]
    ) -> list[tuple[str, Any]]:
        """Send writes, those that differ in their values alone in one statement.

        Returns:
            For each statement the collection, and the cursor with keys and tokens.
        """
        groups: dict[Any, tuple[Table, list[Write]]] = {}
        for table, write in changes:
            alike = (write.collection.name, _kind(write))
            groups.setdefault(alike, (table, []))[1].append(write)
        return [
            (name, connection.execute(*_decided(table, some[start : start + self.rows])))
            for (name, _), (table, some) in groups.items()
            for start in range(0, len(some), self.rows)
        ]

    def _tokens(self, done: Sequence[tuple[str, Any]]) -> dict[Place, Token]:
        """The tokens of what was written."""
        key = self.dialect.key
        return {(name, key(row[:-1])): row[-1] for name, cursor in done for row in cursor}


def _outcome(
    write: Write, tokens: dict[Place, Token], found: dict[Place, Stored]
) -> Written | Refused:
    place = (write.collection.name, write.key)
    current = found.get(place)
    void = current is None and deletes(write) and holds(write.condition, None)
    if place in tokens or void:
        return Written(tokens.get(place))
    return Refused(told=True, current=current)


def _kind(write: Write) -> Any:
    """What is alike of writes that one statement can carry out together."""
    condition = write.condition
    if deletes(write) or isinstance(condition, Unchanged):
        return write.key
    if isinstance(condition, OlderThan) and condition.stamp == write.stamp:
        return OlderThan
    return condition


def _decided(table: Table, writes: Sequence[Write]) -> Bound:
    """Writes of one kind, each under its condition; gives keys and tokens of what is done."""
    first, sql, state = writes[0], table.statements, table.layout.state
    where, bound = _where(table, first)
    key = table.dialect.bound(first.key)
    returning = f"RETURNING {', '.join(sql.keys)}"
    if deletes(first):
        return f"{sql.delete} AND {where} {returning}, NULL", [*key, *bound]
    rows = [table.row(write) for write in writes]
    if isinstance(first.condition, Unchanged):
        return f"{sql.replace} AND {where} {returning}, {state}", [*rows[0], *key, *bound]
    new = f"{sql.into} {', '.join([sql.row] * len(rows))} {sql.conflict}"
    change = "NOTHING" if first.condition is NOTHING else f"UPDATE SET {sql.changes} WHERE {where}"
    values = [value for row in rows for value in row]
    return f"{new} {change} {returning}, {state}", [*values, *bound]


def _where(table: Table, write: Write) -> Bound:
    """A condition on the row ``t`` that is there."""
    condition, at = write.condition, table.dialect.placeholder
    if isinstance(condition, Unchanged):
        return f"{table.layout.state} = {at}", [condition.token]
    if isinstance(condition, OlderThan):
        own = condition.stamp == write.stamp
        limit = f"excluded.{STAMP}" if own else at
        return f"(t.{STAMP} IS NULL OR t.{STAMP} < {limit})", [] if own else [condition.stamp]
    return ("FALSE" if condition is NOTHING else "TRUE"), []


def _left(table: Table, writes: Sequence[Write]) -> Bound:
    """What is there for those of some writes that this transaction has not carried out."""
    text, values = table.statements.get_many([write.key for write in writes])
    return f"{text} AND {table.dialect.untouched}", values
