"""How the calls of a side pass its limiter: what each takes before it is sent, and owes after."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

from polystore.driver.contract import (
    ANYTHING,
    QueryPage,
    ReadReply,
    ScanPage,
    Stored,
    Unprocessed,
    Write,
)
from polystore.driver.side import Measure
from polystore.effects import Call, Now
from polystore.errors import Throttled
from polystore.pacing.limiter import BACKGROUND, BEGUN, Limiter, Prepaid
from polystore.schema import Collection

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds that a call waits which belongs to no operation of an application."""


class Pace:
    """The way of a side's calls to its database: past its limiter.

    Args:
        limiter: the side's limits.
        rank: of these calls.
        until: moment up to which they may wait; ``None``: five seconds each, or in the background
            as long as it takes.
        prepaid: operations that were taken for them in advance.
    """

    __slots__ = ("_prepaid", "_rank", "_until", "limiter")

    def __init__(
        self,
        limiter: Limiter,
        rank: int = BEGUN,
        until: float | None = None,
        prepaid: Prepaid | None = None,
    ) -> None:
        self.limiter = limiter
        self._rank = rank
        self._until = until
        self._prepaid = prepaid

    def background(self, until: float | None = None) -> Pace:
        """The same for copying and comparing, which take what others leave."""
        return Pace(self.limiter, BACKGROUND, until)

    def by(self, until: float) -> Pace:
        """The same for calls that are sent by a moment of the monotonic clock, or not at all."""
        last = until if self._until is None else min(until, self._until)
        return Pace(self.limiter, self._rank, last, self._prepaid)

    def portion(self, most: int) -> int:
        """How many records one call of copying should bring, of ``most`` at most."""
        return self.limiter.portion(most)

    def sent(
        self,
        call: Call[T],
        measure: Measure,
        operations: int,
        writes: Sequence[Write],
        read: Collection | None,
    ) -> Awaitable[T]:
        """The call, sent when it is its turn; the call itself where nothing is limited.

        Args:
            measure: tells the bytes of a record.
            operations: what it takes at least.
            writes: what it writes.
            read: the collection that it reads.
        """
        if not self.limiter.active:
            return call
        return self._sent(call, measure, operations, writes, read)

    async def _sent(
        self,
        call: Call[T],
        measure: Measure,
        operations: int,
        writes: Sequence[Write],
        read: Collection | None,
    ) -> T:
        limiter = self.limiter
        weighed = limiter.capacity.bytes is not None
        size = sum(_size(measure, write) for write in writes) if weighed else 0
        rest = limiter.spend(self._prepaid, operations)
        until = await self._patience()
        if rest or size:
            await limiter.take(self._rank, (rest, size), until)
        await limiter.enter(self._rank, until)
        sent = await Now()
        permit = _Permit(limiter)
        try:
            held = Call(call.side, call.driver, permit.held(call.method), call.arguments)
            reply = await held
        except Throttled:
            limiter.throttled(sent, await Now())
            raise
        finally:
            permit.end()
        now = await Now()
        limiter.took(now - sent)
        if _asks_for_less(reply):
            limiter.throttled(sent, now)
        found = _found(reply)
        extra = 0 if isinstance(reply, ReadReply) else max(len(found) - operations, 0)
        if read is not None and (extra or (weighed and found)):
            brought = sum(_size(measure, _as_write(read, s)) for s in found) if weighed else 0
            limiter.owe(now, extra, brought)
        return reply

    async def _patience(self) -> float:
        if self._until is not None:
            return self._until
        return math.inf if self._rank == BACKGROUND else await Now() + PATIENCE


class _Permit:
    """A place among the calls that run. It is given back when the call has ended where it runs.

    Who asked for it may have stopped waiting long before (cancelled, or without an answer); a call
    that never started gives its place back then.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._started = False
        self._left = False

    def held(self, method: Callable[..., T]) -> Callable[..., T]:
        """The method of a driver, giving the place back at its end."""

        @wraps(method)
        def run(*arguments: Any) -> T:
            self._started = True
            try:
                return method(*arguments)
            finally:
                self._leave()

        return run

    def end(self) -> None:
        """Nobody waits for the call any more."""
        if not self._started:
            self._leave()

    def _leave(self) -> None:
        left, self._left = self._left, True
        if not left:
            self._limiter.leave()


def _size(measure: Measure, write: Write) -> int:
    """Bytes of a record in the database's accounting; a delete has none."""
    return 0 if write.fields is None else measure(write).record


def _as_write(collection: Collection, stored: Stored) -> Write:
    write_id, stamp, expires = stored.write_id, stored.stamp, stored.expires
    return Write(collection, stored.key, stored.fields, ANYTHING, write_id, stamp, expires)


def _found(reply: object) -> list[Stored]:
    """The records that a reply brought."""
    if isinstance(reply, ReadReply | QueryPage | ScanPage):
        return [stored for stored in reply.records if stored is not None]
    return []


def _asks_for_less(reply: object) -> bool:
    """Whether the database left a part undone because there is too much to do."""
    if isinstance(reply, ReadReply):
        return bool(reply.unprocessed)
    return isinstance(reply, list) and any(
        isinstance(one, Unprocessed) and isinstance(one.error, Throttled) for one in reply
    )
