"""A driver as procedures see it: each method makes the typed effect of one call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, Self, TypeAlias, TypeVar

from polystore.capabilities import Capabilities
from polystore.driver import compression
from polystore.driver.contract import (
    Check,
    Committed,
    Consistency,
    Description,
    Driver,
    NativeExpiry,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Sizes,
    Stored,
    Unprocessed,
    Write,
    Written,
)
from polystore.driver.packing import Packing
from polystore.effects import Call
from polystore.errors import Throttled
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection, Oversized
from polystore.values import Key

T = TypeVar("T")

Promised: TypeAlias = Callable[[Driver, Collection], Capabilities]
"""What a driver promises for a collection, lowered by the plugins that know its endpoint."""

Measure: TypeAlias = Callable[[Write], Sizes]
"""What a put would take as it would be stored."""


def declared(driver: Driver, collection: Collection) -> Capabilities:
    """What a driver promises by itself: where no plugin is to be asked."""
    return driver.capabilities(collection)


class Paces(Protocol):
    """What the calls of a side pass on their way, where it is limited."""

    def sent(
        self,
        call: Call[T],
        measure: Measure,
        operations: int,
        writes: Sequence[Write],
        read: Collection | None,
    ) -> Awaitable[T]:
        """The call, sent when it is its turn; what it writes, and which collection it reads."""

    def background(self) -> Self:
        """The same for copying and comparing, which take what others leave."""

    def by(self, until: float) -> Self:
        """The same for calls that are sent by a moment of the monotonic clock, or not at all."""

    def portion(self, most: int) -> int:
        """How many records one call of copying should bring, of ``most`` at most."""


class Side:
    """One of the databases in play.

    Args:
        name: ``source``, ``target`` or ``control``.
        driver: the open database.
        promised: what it promises. Nothing but this is ever asked for a driver's capabilities:
            what a plugin lowered holds everywhere.
        pace: what its calls pass, where it is limited.
        may_be_home: whether it can decide what becomes of a record, alone and in transactions.

    Attributes:
        calls: the driver's calls, with records over its limit compressed on the way.
    """

    __slots__ = ("_known", "_promised", "calls", "driver", "may_be_home", "name", "pace")

    def __init__(
        self,
        name: str,
        driver: Driver,
        promised: Promised,
        pace: Paces | None = None,
        *,
        may_be_home: bool = True,
    ) -> None:
        self.name = name
        self.driver = driver
        self.pace = pace
        self.may_be_home = may_be_home
        self._promised = promised
        self._known: dict[str, Capabilities] = {}
        self.calls = Packing(driver, self.capabilities)

    def at(self, pace: Paces) -> Side:
        """The same side for calls that pass another way."""
        home = self.may_be_home
        side = Side(self.name, self.driver, self._promised, pace, may_be_home=home)
        side._known = self._known
        return side

    def background(self) -> Side:
        """The same side for copying and comparing, which take what applications leave."""
        return self if self.pace is None else self.at(self.pace.background())

    def capabilities(self, collection: Collection) -> Capabilities:
        """What this side promises for a collection: asked once, then known. No call.

        Raises:
            ConfigError: the collection's placement cannot be used, or its policy wants what is not
                installed.
        """
        known = self._known.get(collection.name)
        if known is None:
            if collection.oversized is Oversized.COMPRESS:
                compression.check_installed()
            known = self._known[collection.name] = self._promised(self.driver, collection)
        return known

    def measure(self, write: Write) -> Sizes:
        """What a put would take as it would be stored. No call."""
        return self.calls.measure(write)

    def batches(self, writes: Sequence[Write]) -> Iterator[Sequence[Write]]:
        """Writes in parts that one call of ``write_many`` takes."""
        limits = [self.capabilities(w.collection).batches.write_items for w in writes]
        size = min((limit.most for limit in limits if limit), default=len(writes) or 1)
        for start in range(0, len(writes), size):
            yield writes[start : start + size]

    def portion(self, most: int) -> int:
        """How many records one call of copying should bring, of ``most`` at most."""
        return most if self.pace is None else self.pace.portion(most)

    def read(
        self,
        collection: Collection,
        keys: Sequence[Key],
        consistency: Consistency = Consistency.STRONG,
    ) -> Awaitable[ReadReply]:
        """Ask for records by key."""
        arguments = (collection, keys, consistency)
        return self._sent(self.calls.read, arguments, len(keys), read=collection)

    def write(self, write: Write) -> Awaitable[Written | Refused]:
        """Ask for one write."""
        return self._sent(self.calls.write, (write,), 1, (write,))

    def write_many(
        self, writes: Sequence[Write]
    ) -> Awaitable[list[Written | Refused | Unprocessed]]:
        """Ask for several writes that need not be one."""
        return self._sent(self.calls.write_many, (writes,), len(writes), writes)

    def commit(
        self, writes: Sequence[Write], checks: Sequence[Check] = ()
    ) -> Awaitable[Committed | Rejected]:
        """Ask for several writes and checks as one."""
        operations = len(writes) + len(checks)
        return self._sent(self.calls.commit, (writes, checks), operations, writes)

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> Awaitable[QueryPage]:
        """Ask for a page of a query."""
        return self._sent(self.calls.query, (collection, plan, after, limit), 1, read=collection)

    def describe(self, collection: Collection) -> Call[Description]:
        """Ask what is really there."""
        return Call(self.name, self.driver, self.driver.describe, (collection,))

    def native_expiry(self, collection: Collection) -> Call[NativeExpiry]:
        """Ask whether the database removes records by itself."""
        return Call(self.name, self.driver, self.driver.native_expiry, (collection,))

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> Awaitable[ScanPage]:
        """Ask for a page of a scan."""
        arguments = (collection, segment, cursor, limit)
        return self._sent(self.calls.scan, arguments, 1, read=collection)

    def halve(self, collection: Collection, segment: Segment) -> Call[bool]:
        """Ask whether a segment can be scanned by its halves, too."""
        return Call(self.name, self.driver, self.driver.halve, (collection, segment))

    def _sent(
        self,
        method: Callable[..., T],
        arguments: tuple[Any, ...],
        operations: int,
        writes: Sequence[Write] = (),
        read: Collection | None = None,
    ) -> Awaitable[T]:
        """The effect of a data call, past the limits of the side where it has any."""
        call = Call(self.name, self.driver, method, arguments)
        pace = self.pace
        return call if pace is None else pace.sent(call, self.measure, operations, writes, read)


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
