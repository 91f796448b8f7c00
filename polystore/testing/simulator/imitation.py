"""Databases imitated in memory: the descriptor of a real driver, and what is peculiar to it.

A descriptor comes from the driver itself, opened on a place that is never called. Numbers of items
are :data:`SCALE` times smaller than the real ones, so that the few records of a simulation fill
batches too. What no descriptor says is in :class:`Manners`: what a token is made of, what a refusal
tells, in which order a scan goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any
from zlib import crc32

import attrs

from polystore.capabilities import Capabilities, Freshness, Limit, Transactions, Writes
from polystore.driver import (
    ANYTHING,
    Check,
    Committed,
    Consistency,
    Driver,
    OlderThan,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Stored,
    Token,
    Unprocessed,
    Write,
    Written,
)
from polystore.driver.keycodec import encode_key
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.driver import Space
from polystore.drivers.memory.table import Row, Table
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.testing.simulator.database import Database
from polystore.values import Key, canonical

SCALE = 25
"""How much smaller than in reality numbers of items are: DynamoDB's 100 become 4."""

PLACES = {
    "memory": "memory://",
    "sqlite": "sqlite:////nowhere/simulated.db",
    "datastore": "datastore://simulated?emulator=localhost:1",
    "dynamodb": "dynamodb://eu-west-1?endpoint=http://localhost:1",
    "postgresql": "postgresql://localhost:1/simulated",
    "redis": "redis://localhost:1/0",
}
"""Where a driver is opened to be asked for its descriptor; nothing is called there."""


@attrs.frozen(kw_only=True)
class Manners:
    """What a database does that its descriptor does not say.

    Attributes:
        versions: a token is a number that no other state has; otherwise the write id, or the
            stamp, or else everything that was read.
        tells: whether a refusal says what it found.
        knows_own: whether a repeated write that finds itself there is a success.
        scattered: whether a scan goes in an order of its own, not in that of the keys.
        lags: whether a read that need not be strong may answer with an earlier state.
        whole: whether many writes are one transaction: none of them is left unprocessed.
        patient: whether a read gets to every key.
    """

    versions: bool = True
    tells: bool = True
    knows_own: bool = False
    scattered: bool = False
    lags: bool = False
    whole: bool = False
    patient: bool = False


MANNERS = {
    "memory": Manners(),
    "sqlite": Manners(versions=False),
    "datastore": Manners(tells=False, lags=True),
    "dynamodb": Manners(versions=False, knows_own=True, scattered=True, lags=True),
    "postgresql": Manners(whole=True, patient=True),
    "redis": Manners(patient=True),
    "masked": Manners(),
}
"""The databases that can be imitated; ``masked`` has neither conditions nor transactions.

PostgreSQL's tokens are those of row versions, and Redis counts all writes. Both tell what refused a
commit, and have no limit on items. Of many writes Redis may carry out some where PostgreSQL carries
out all or none.
"""

MASKED = "masked"


@cache
def _model(name: str) -> Driver:
    from polystore.plugin.registry import default_registry  # loads SDKs: only where asked for

    return default_registry().open(PLACES[name])


@cache
def _promised(name: str, collection: Collection) -> Capabilities:
    if name == MASKED:
        return attrs.evolve(
            _promised("memory", collection),
            writes=Writes(conditions=frozenset({"anything"})),
            transactions=Transactions(),
        )
    promised = _model(name).capabilities(collection)
    return attrs.evolve(
        promised,
        batches=attrs.evolve(
            promised.batches,
            read_keys=_scaled(promised.batches.read_keys),
            write_items=_scaled(promised.batches.write_items),
        ),
        transactions=attrs.evolve(
            promised.transactions, items=_scaled(promised.transactions.items)
        ),
    )


def _scaled(limit: Limit | None) -> Limit | None:
    return limit and attrs.evolve(limit, most=-(-limit.most // SCALE))


class Imitation(MemoryDriver, Database):
    """A memory driver that behaves like another database, and holds its callers to its limits.

    Args:
        imitated: name of that database's driver, a key of :data:`MANNERS`.
    """

    def __init__(self, space: Space, imitated: str) -> None:
        super().__init__(space)
        self.imitated = imitated
        self.manners = MANNERS[imitated]
        self._past: dict[tuple[str, Key], Row | None] = {}

    def capabilities(self, collection: Collection) -> Capabilities:
        return _promised(self.imitated, collection)

    # -- writing ------------------------------------------------------------------------------

    def _token(self, write: Write) -> Token:
        if self.manners.versions:
            return super()._token(write)
        if write.write_id is not None:
            return ("w", write.write_id)
        if write.stamp is not None:
            return ("v", write.stamp)
        return ("a", canonical(write.fields or {}), write.expires)

    def _apply(self, table: Table, write: Write) -> Token:
        self.changes += 1
        self._past[write.collection.name, write.key] = table.rows.get(write.key)
        return super()._apply(table, write)

    def write(self, write: Write) -> Written | Refused:
        able = self.imitated != MASKED or write.condition is ANYTHING
        assert able, "a condition that it does not have"
        outcome = super().write(write)
        if isinstance(outcome, Written):
            return outcome
        if self._is_own(write, outcome):
            return Written(self._token(write))
        # Where no condition knows stamps, the driver looks, and has seen what it found.
        told = self.manners.tells or isinstance(write.condition, OlderThan)
        return outcome if told else Refused()

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        if writes:
            limits = self.capabilities(writes[0].collection).batches
            self._hold(
                len(writes), limits.write_items, [(w.collection.name, w.key) for w in writes]
            )
        return super().write_many(writes)

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        parts: list[Write | Check] = [*writes, *checks]
        if parts:
            limits = self.capabilities(parts[0].collection).transactions
            self._hold(len(parts), limits.items, [(p.collection.name, p.key) for p in parts])
        outcome = super().commit(writes, checks)
        if isinstance(outcome, Committed):
            return outcome
        if any(map(self._is_own, writes, outcome.refusals)):
            return Committed(tuple(map(self._token, writes)))
        return outcome if self.manners.tells else Rejected()

    def _is_own(self, write: Write, refused: Refused | None) -> bool:
        """Whether what refuses a write is that write itself, sent before."""
        current = None if refused is None else refused.current
        return (
            self.manners.knows_own
            and current is not None
            and write.write_id is not None
            and current.write_id == write.write_id
        )

    # -- reading ------------------------------------------------------------------------------

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        self._hold(len(keys), self.capabilities(collection).batches.read_keys, keys)
        return super().read(collection, keys, consistency)

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        if not self.manners.scattered:
            return super().scan(collection, segment, cursor, limit)
        whole = super().scan(collection, segment, None, len(self._table(collection).rows) + 1)
        placed = sorted(((_place(stored.key), stored) for stored in whole.records), key=_first)
        rest = [pair for pair in placed if cursor is None or pair[0] > cursor][:limit]
        more = len(rest) == limit
        return ScanPage([stored for _, stored in rest], rest[-1][0] if more else None)

    def lags(self, method: str, arguments: Sequence[Any]) -> bool:
        """Whether a call may be answered with an earlier state."""
        if not self.manners.lags:
            return False
        if method == "read":
            return arguments[2] is Consistency.EVENTUAL
        index = method == "query" and arguments[1].index is not None
        return index and self.capabilities(arguments[0]).reads.index is Freshness.EVENTUAL

    def parts(self, method: str) -> bool:
        return not (self.manners.patient if method == "read" else self.manners.whole)

    def read_late(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        """Records as they were before their last write."""
        reply = self.read(collection, keys, consistency)
        for i, key in enumerate(keys):
            if (collection.name, key) in self._past:
                row = self._past[collection.name, key]
                reply.records[i] = None if row is None else row.stored(key)
        return reply

    def query_late(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        """A page whose records are as they were before their last write, in the same order."""
        page = self.query(collection, plan, after, limit)
        names = plan.index.fields if plan.index else ()
        for i, stored in enumerate(page.records):
            row = self._past.get((collection.name, stored.key))
            old, new = row and row.fields, stored.fields
            if row and old and new and all(old[name] == new[name] for name in names):
                page.records[i] = row.stored(stored.key)
        return page

    def _hold(self, count: int, limit: Limit | None, places: Sequence[Any]) -> None:
        """Hold the caller to the contract. A breach is a defect, not an error of the tree."""
        assert limit is None or count <= limit.most, f"{count} {limit.unit} at once"
        assert len(set(places)) == count, "a key twice in one call"


def _place(key: Key) -> str:
    text = encode_key(key)
    return f"{crc32(text.encode()):08x}{text}"


def _first(pair: tuple[str, Stored]) -> str:
    return pair[0]
