"""A driver as procedures see it: each method makes the typed effect of one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from polystore.capabilities import Capabilities
from polystore.driver.contract import (
    Check,
    Committed,
    Consistency,
    Description,
    Driver,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Stored,
    Unprocessed,
    Write,
    Written,
)
from polystore.effects import Call
from polystore.errors import Throttled
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key

Promised: TypeAlias = Callable[[Driver, Collection], Capabilities]
"""What a driver promises for a collection, lowered by the plugins that know its endpoint."""


def declared(driver: Driver, collection: Collection) -> Capabilities:
    """What a driver promises by itself: where no plugin is to be asked."""
    return driver.capabilities(collection)


class Side:
    """One of the databases in play.

    Args:
        name: ``source``, ``target`` or ``control``.
        driver: the open database.
        promised: what it promises. Nothing but this is ever asked for a driver's capabilities:
            what a plugin lowered holds everywhere.
    """

    __slots__ = ("_known", "_promised", "driver", "name")

    def __init__(self, name: str, driver: Driver, promised: Promised) -> None:
        self.name = name
        self.driver = driver
        self._promised = promised
        self._known: dict[str, Capabilities] = {}

    def capabilities(self, collection: Collection) -> Capabilities:
        """What this side promises for a collection: asked once, then known. No call.

        Raises:
            ConfigError: the collection's placement cannot be used.
        """
        known = self._known.get(collection.name)
        if known is None:
            known = self._known[collection.name] = self._promised(self.driver, collection)
        return known

    def read(
        self,
        collection: Collection,
        keys: Sequence[Key],
        consistency: Consistency = Consistency.STRONG,
    ) -> Call[ReadReply]:
        """Ask for records by key."""
        driver = self.driver
        return Call(self.name, driver, driver.read, (collection, keys, consistency))

    def write(self, write: Write) -> Call[Written | Refused]:
        """Ask for one write."""
        return Call(self.name, self.driver, self.driver.write, (write,))

    def write_many(self, writes: Sequence[Write]) -> Call[list[Written | Refused | Unprocessed]]:
        """Ask for several writes that need not be one."""
        return Call(self.name, self.driver, self.driver.write_many, (writes,))

    def commit(
        self, writes: Sequence[Write], checks: Sequence[Check] = ()
    ) -> Call[Committed | Rejected]:
        """Ask for several writes and checks as one."""
        return Call(self.name, self.driver, self.driver.commit, (writes, checks))

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> Call[QueryPage]:
        """Ask for a page of a query."""
        return Call(self.name, self.driver, self.driver.query, (collection, plan, after, limit))

    def describe(self, collection: Collection) -> Call[Description]:
        """Ask what is really there."""
        return Call(self.name, self.driver, self.driver.describe, (collection,))

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> Call[ScanPage]:
        """Ask for a page of a scan."""
        return Call(self.name, self.driver, self.driver.scan, (collection, segment, cursor, limit))


async def read_one(
    side: Side, collection: Collection, key: Key, consistency: Consistency = Consistency.STRONG
) -> Stored | None:
    """One record. Raises Throttled where the database did not get to it."""
    reply = await side.read(collection, (key,), consistency)
    if reply.unprocessed:
        raise Throttled("the read was not processed", collection=collection.name, key=key)
    return reply.records[0]


async def read_all(
    side: Side,
    collection: Collection,
    keys: Sequence[Key],
    consistency: Consistency = Consistency.STRONG,
) -> list[Stored | None]:
    """Any number of records, in the order of ``keys``: in batches that the database takes.

    Raises:
        Throttled: keys stay unprocessed although each round gets to fewer of them.
    """
    limit = side.capabilities(collection).batches.read_keys
    size = limit.most if limit else len(keys) or 1
    found: list[Stored | None] = []
    for start in range(0, len(keys), size):
        found += await _read_batch(side, collection, keys[start : start + size], consistency)
    return found


async def _read_batch(
    side: Side, collection: Collection, keys: Sequence[Key], consistency: Consistency
) -> list[Stored | None]:
    reply = await side.read(collection, keys, consistency)
    records = reply.records
    missing = reply.unprocessed
    while missing:
        again = await side.read(collection, [keys[i] for i in missing], consistency)
        left = set(again.unprocessed)
        for place, i in enumerate(missing):
            if place not in left:
                records[i] = again.records[place]
        if len(left) == len(missing):
            raise Throttled(f"{len(left)} keys were not processed", collection=collection.name)
        missing = tuple(missing[place] for place in sorted(left))
    return records
