"""The route to one database: no stamps, no tombstones, no bookkeeping but the write id.

It is also what the first stage of a migration does. Tombstones that a run left behind are read as
nothing and may be overwritten.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from polystore.driver import (
    ANYTHING,
    NOTHING,
    Check,
    Condition,
    Consistency,
    Nothing,
    QueryPage,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Stored,
    Unchanged,
    Write,
)
from polystore.driver.side import Side, read_all, read_one
from polystore.effects import Now, Procedure, Sleep, Uniform
from polystore.errors import Conflict, Contention, PolystoreError, Throttled
from polystore.identity import WriteIds
from polystore.queries import Position, QueryPlan
from polystore.records import Record, Version
from polystore.route.base import (
    Decision,
    Observer,
    Page,
    Place,
    Put,
    ScannedPage,
    Seen,
    Show,
    Verb,
    as_seen,
    present,
    visible,
)
from polystore.route.bound import Bound
from polystore.values import Key, digest

T = TypeVar("T")


class Retry:
    """An attempt was refused, or gave way: surely not applied, and worth another."""


RETRY = Retry()


async def _at_once() -> None:
    """Nothing to wait for before a write is sent."""


class PlainRoute:
    """Reads and writes one side directly.

    Args:
        side: the database.
        ids: makes write ids.
        before_write: awaited right before a write is sent; it may raise to stop it.
        observer: told of each put and commit before it is sent.
    """

    def __init__(
        self,
        side: Side,
        ids: WriteIds,
        before_write: Callable[[], Procedure[None]] = _at_once,
        observer: Observer | None = None,
    ) -> None:
        self.side = side
        self.ids = ids
        self.before_write = before_write
        self.observer = observer

    def at(self, side: Side) -> PlainRoute:
        """The same route for calls that pass another way to the database."""
        return PlainRoute(side, self.ids, self.before_write, self.observer)

    async def read(
        self, bound: Bound, keys: Sequence[Key], consistency: Consistency, timeout: float
    ) -> list[Record | None]:
        """Records by key, in order."""

        async def attempt() -> list[Stored | None]:
            return await read_all(self.side, bound.collection, keys, consistency)

        return await as_seen(await patiently(attempt, timeout, (bound, ())))

    async def write(self, bound: Bound, key: Key, verb: Verb, timeout: float) -> Version | None:
        """Decide on one record and write it under the token that the decision rests on."""
        deadline = await Now() + timeout
        attempt = 0
        while True:
            error: PolystoreError | None = None
            try:
                result = await self.attempt(bound, key, verb, again=attempt > 0)
                if not isinstance(result, Retry):
                    return result
            except (Contention, Throttled) as gave_way:
                error = gave_way
            attempt += 1
            await pause(attempt, deadline, (bound, key), error)

    async def attempt(
        self, bound: Bound, key: Key, verb: Verb, *, again: bool
    ) -> Version | None | Retry:
        """One attempt at a write; ``again`` says that an earlier one was refused."""
        known: Stored | None = None
        condition: Condition = ANYTHING if verb.blind else NOTHING
        if not verb.blind and (again or not verb.fresh):
            known = await read_one(self.side, bound.collection, key)
            condition = unchanged(known)
        await self.before_write()  # what was read must still count, for a refusal too
        (record,) = await as_seen((known,))
        decision = verb.decide(record)
        if decision_is_void(decision, known) and not verb.blind:
            return None
        write = self.made(bound, key, decision, condition)
        outcome = await self.side.write(write)
        return RETRY if isinstance(outcome, Refused) else version_of(write)

    async def look(self, place: Place, timeout: float) -> Seen:
        """Read one record for a transaction."""
        bound, key = place

        async def attempt() -> Stored | None:
            return await read_one(self.side, bound.collection, key)

        return Seen(self.side.name, await patiently(attempt, timeout, place))

    async def commit(
        self,
        seen: Sequence[tuple[Place, Seen]],
        writes: Sequence[tuple[Place, Decision]],
        timeout: float,
    ) -> list[Version | None]:
        """Write all if everything seen is still so."""
        known = {(place[0].collection.name, place[1]): s.stored for place, s in seen}
        made = [
            self.made(bound, key, decision, _condition(known, bound, key))
            for (bound, key), decision in writes
        ]
        written = {(w.collection.name, w.key) for w in made}
        checks = [
            Check(bound.collection, key, unchanged(s.stored))
            for (bound, key), s in seen
            if (bound.collection.name, key) not in written
        ]
        if not made and len(checks) <= 1:
            return []  # one strong read is a transaction of its own
        check_width([p for p, _ in seen] + [p for p, _ in writes], made, len(checks))
        if self.observer is not None:
            self.observer.commit(made, len(checks))
        await self.before_write()
        outcome = await self.side.commit(made, checks)
        if isinstance(outcome, Rejected):
            raise Conflict("something that the transaction read has changed")
        return [version_of(write) for write in made]

    async def query(
        self, bound: Bound, plan: QueryPlan, after: Position | None, limit: int, timeout: float
    ) -> Page:
        """One page of visible records."""

        async def attempt() -> QueryPage:
            return await self.side.query(bound.collection, plan, after, limit)

        page = await patiently(attempt, timeout, (bound, ()))
        return Page(await present(page.records), page.next)

    async def scan(
        self, bound: Bound, cursor: str | None, limit: int, timeout: float, show: Show = visible
    ) -> ScannedPage:
        """One page of all records, as ``show`` shows them."""

        async def attempt() -> ScanPage:
            return (await self.side.scan(bound.collection, Segment(), cursor, limit)).whole()

        page = await patiently(attempt, timeout, (bound, ()))
        return ScannedPage(await present(page.records, show), page.cursor)

    def made(self, bound: Bound, key: Key, decision: Decision, condition: Condition) -> Write:
        """The write that carries out a decision, checked against the limits of the sides."""
        if not isinstance(decision, Put):
            return Write(bound.collection, key, None, condition)
        # Also where the database marks states itself: its mark is another one on the other side,
        # and a digest would be the same after a write of equal fields (REC-4, REC-5).
        write = Write(
            bound.collection,
            key,
            decision.fields,
            condition,
            self.ids.new(),
            expires=decision.expires,
        )
        bound.check_write(write)
        if self.observer is not None:
            self.observer.put(write)
        return write


def unchanged(stored: Stored | None) -> Nothing | Unchanged:
    """The condition that what was read is still so."""
    return NOTHING if stored is None else Unchanged(stored.token)


def decision_is_void(decision: Decision, known: Stored | None) -> bool:
    """Whether it would delete what is not there: nothing need be written."""
    return not isinstance(decision, Put) and (known is None or known.fields is None)


def version_of(write: Write) -> Version | None:
    """The version of the state that a write makes; ``None`` for a delete."""
    if write.fields is None:
        return None
    return Version(write.write_id or digest(write.fields))


def _condition(known: dict[tuple[str, Key], Stored | None], bound: Bound, key: Key) -> Condition:
    name = (bound.collection.name, key)
    return unchanged(known[name]) if name in known else ANYTHING


def check_width(
    places: Sequence[Place], made: Sequence[Write], checks: int, beside: Sequence[Write] = ()
) -> None:
    """Whether a commit of these writes and checks fits every side in play.

    Args:
        places: what the commit reads and writes.
        made: the writes.
        checks: how many records it checks beside them.
        beside: what the protocol writes with them (the slot, while migrating).

    Raises:
        Unsupported, LimitExceeded: as ``Bound.check_atomic``; nothing was sent.
    """
    for bound in {id(place[0]): place[0] for place in places}.values():
        bound.check_atomic(len(made) + checks, made, beside)


async def patiently(attempt: Callable[[], Awaitable[T]], timeout: float, place: Place) -> T:
    """What ``attempt`` reads, asked again where the database gave way: reading twice is safe.

    Raises:
        Contention, Throttled: it gave way each time up to the time limit.
    """
    deadline = await Now() + timeout
    tries = 0
    while True:
        try:
            return await attempt()
        except (Contention, Throttled) as gave_way:
            error = gave_way
        tries += 1
        await pause(tries, deadline, place, error)


async def pause(
    attempt: int, deadline: float, place: Place, error: PolystoreError | None = None
) -> None:
    """Wait a random moment before the next attempt: up to 2 ms, doubled each time, at most 100 ms.

    Args:
        error: what ended the last attempt, where something was raised.

    Raises:
        Throttled: the deadline would pass, and the database asked for less.
        Contention: it would pass, and others were quicker; nothing was applied either way.
    """
    seconds = await Uniform() * min(0.002 * 2**attempt, 0.1)
    if await Now() + seconds >= deadline:
        bound, key = place
        if isinstance(error, Throttled):
            error.locate(bound.collection.name, key or None)
            raise error
        raise Contention(
            f"other writers were quicker {attempt} times up to the deadline",
            collection=bound.collection.name,
            key=key or None,
        )
    await Sleep(seconds)
