"""What a route offers to the verbs of a store, whichever stage it is in.

A verb is a pure decision about one record, or a set of reads and writes; the route carries it out
at the home of the key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import attrs

from polystore.driver import Consistency, Stored, Write
from polystore.effects import WallClock
from polystore.queries import Position, QueryPlan
from polystore.records import Record, Version
from polystore.route.bound import Bound, shown
from polystore.values import Fields, Key


@attrs.frozen
class Put:
    """Decision: the record becomes ``fields``, until ``expires`` (``None``: for ever)."""

    fields: Fields
    expires: int | None = None


@attrs.frozen
class Delete:
    """Decision: the record goes away."""


DELETE = Delete()
Decision: TypeAlias = Put | Delete
Decide: TypeAlias = Callable[[Record | None], Decision]
"""Decides on the record as it is (``None``: there is none). Raises Conflict to refuse."""


@attrs.frozen
class Verb:
    """One write: how it decides, and what it needs to know first.

    Attributes:
        decide: the decision.
        blind: it decides the same whatever is there: nothing need be read for it.
        fresh: it expects nothing to be there: try that first, read only if it is refused.
        puts: where it is blind or fresh: what it decides is a put.
        version: it decides the same on every record of this version, and expects one.
    """

    decide: Decide
    blind: bool = False
    fresh: bool = False
    puts: bool = False
    version: Version | None = None


class Observer(Protocol):
    """Is told of what is about to be sent to one database, as *observe* wants it."""

    def put(self, write: Write) -> None:
        """A record is about to be put."""

    def commit(self, writes: Sequence[Write], checks: int) -> None:
        """These writes and so many checks are about to be committed as one."""


@attrs.define(eq=False)
class Seen:
    """What a transaction read: the record of one key, and where it was read.

    ``home`` is the side's name; a commit elsewhere would compare a token of another database.
    """

    home: str
    stored: Stored | None


@attrs.define(eq=False)
class Page:
    """A page of visible records, and where the next one goes on (``None``: the end)."""

    records: list[Record]
    next: Position | None


@attrs.define(eq=False)
class ScannedPage:
    """A page of a scan; ``cursor`` resumes it, ``None`` at the end."""

    records: list[Record]
    cursor: str | None


Place: TypeAlias = tuple[Bound, Key]
Show: TypeAlias = Callable[[Stored, int], Record | None]
"""What is seen of a record at a moment of the wall clock; ``None``: nothing."""


def has_expired(stored: Stored, now: int) -> bool:
    """Whether the moment of a record has come."""
    return stored.expires is not None and stored.expires <= now


def visible(stored: Stored, now: int) -> Record | None:
    """What an application sees of a record: of a tombstone, or what has expired, nothing."""
    if stored.fields is None or has_expired(stored, now):
        return None
    return shown(stored.key, stored.fields, stored.write_id, stored.expires)


def expired(stored: Stored, now: int) -> Record | None:
    """What a purge sees: the records that have expired and still lie there."""
    if stored.fields is None or not has_expired(stored, now):
        return None
    return shown(stored.key, stored.fields, stored.write_id, stored.expires)


class Route(Protocol):
    """How the collections of one group (or of one database) are reached just now.

    ``timeout`` is in seconds, for the whole operation, waits included.
    """

    async def read(
        self, bound: Bound, keys: Sequence[Key], consistency: Consistency, timeout: float
    ) -> list[Record | None]:
        """Records by key, in order; ``None`` where there is none."""

    async def write(self, bound: Bound, key: Key, verb: Verb, timeout: float) -> Version | None:
        """Decide on one record and write; the new version, ``None`` after a delete."""

    async def look(self, place: Place, timeout: float) -> Seen:
        """Read one record for a transaction."""

    async def commit(
        self,
        seen: Sequence[tuple[Place, Seen]],
        writes: Sequence[tuple[Place, Decision]],
        timeout: float,
    ) -> list[Version | None]:
        """Write all if everything seen is still so; versions in the order of ``writes``.

        Raises:
            Conflict: something seen has changed; nothing was written.
        """

    async def query(
        self, bound: Bound, plan: QueryPlan, after: Position | None, limit: int, timeout: float
    ) -> Page:
        """One page of at most ``limit`` visible records; it may be short and not the last."""

    async def scan(
        self, bound: Bound, cursor: str | None, limit: int, timeout: float, show: Show = visible
    ) -> ScannedPage:
        """One page of all records, in no order, as ``show`` shows them."""


async def wall_clock(records: Sequence[Stored | None]) -> int:
    """The time of day, for what is shown of these; it is asked only where one has an expiry."""
    if any(stored is not None and stored.expires is not None for stored in records):
        return await WallClock()
    return 0


async def as_seen(records: Sequence[Stored | None]) -> list[Record | None]:
    """What an application sees of each of these."""
    now = await wall_clock(records)
    return [None if stored is None else visible(stored, now) for stored in records]


async def present(records: Sequence[Stored], show: Show = visible) -> list[Record]:
    """What is there of these, as ``show`` shows it, without what is not."""
    now = await wall_clock(records)
    return [record for stored in records if (record := show(stored, now)) is not None]
