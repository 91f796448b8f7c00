"""Admission: which operations run under which setting, and waiting for them to end.

An operation is admitted for its buckets, works under the setting of that moment, and is released.
A member acknowledges a setting only when no operation of the affected buckets is left. All state
is of this process; every method that touches it holds the signal.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import attrs

from polystore.effects import Changed, Now, Signal
from polystore.errors import DeadlineExceeded
from polystore.migration.stages import BUCKETS, Setting

if TYPE_CHECKING:
    from polystore.migration.member import Incarnation

ALL = (0, BUCKETS)
"""The range of every bucket."""


@attrs.define(eq=False)
class Ticket:
    """An admitted operation: the range of its buckets, and what it works under.

    Setting and incarnation belong together: an operation that was admitted for one incarnation
    must not commit by a slot of the next, whose fleet may be epochs further.
    """

    number: int
    range: tuple[int, int]
    setting: Setting
    incarnation: Incarnation


class Latch:
    """The operations of one process, admitted and counted."""

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self._setting: Setting | None = None
        self._incarnation: Incarnation | None = None
        self._draining: tuple[int, int] | None = None
        self._running: dict[int, Ticket] = {}
        self._next = count().__next__

    @property
    def setting(self) -> Setting | None:
        """What operations work under just now; ``None`` while nothing is admitted."""
        return self._setting

    @property
    def incarnation(self) -> Incarnation | None:
        """The one that operations are admitted for; ``None`` while nothing is admitted."""
        return self._incarnation

    @property
    def draining(self) -> bool:
        """Whether some operations are kept waiting for an acknowledgement."""
        return self._draining is not None

    def serve(self, incarnation: Incarnation | None) -> None:
        """Admit operations under what an incarnation acknowledged; ``None`` admits nothing."""
        with self.signal:
            self._incarnation = incarnation
            self._setting = None if incarnation is None else incarnation.setting
            self._draining = None
            self.signal.notify()

    def stop(self, buckets: tuple[int, int]) -> None:
        """Admit nothing more for a range of buckets until the next :meth:`serve`."""
        with self.signal:
            self._draining = buckets
            self.signal.notify()

    def idle(self, buckets: tuple[int, int]) -> bool:
        """Whether no operation of a range of buckets is running."""
        return not any(_overlap(t.range, buckets) for t in list(self._running.values()))

    async def idle_within(self, buckets: tuple[int, int], seconds: float) -> bool:
        """Wait until no operation of a range is running, at most so long; whether it is so."""
        return await Changed(self.signal, lambda: self.idle(buckets), seconds)

    def running(self) -> frozenset[int]:
        """Numbers of the operations that are running now."""
        with self.signal:
            return frozenset(self._running)

    async def ended_within(self, numbers: frozenset[int], seconds: float) -> bool:
        """Wait until these operations have ended, at most so long; whether they have."""
        return await Changed(self.signal, lambda: not (numbers & self._running.keys()), seconds)

    async def admit(self, buckets: tuple[int, int], deadline: float) -> Ticket:
        """Wait until operations on a range of buckets may run.

        Args:
            buckets: as ``(lo, hi)``, without ``hi``.
            deadline: on the monotonic clock, in seconds.

        Raises:
            DeadlineExceeded: a freeze or a stage change took longer; nothing was done.
        """
        while True:
            with self.signal:
                setting, incarnation = self._setting, self._incarnation
                if setting and incarnation and not self._blocked(setting, buckets):
                    ticket = Ticket(self._next(), buckets, setting, incarnation)
                    self._running[ticket.number] = ticket
                    return ticket
            left = deadline - await Now()
            if left <= 0 or not await Changed(self.signal, lambda: self._open(buckets), left):
                raise DeadlineExceeded("waited for a stage change or a dial step; nothing was done")

    def along(self, buckets: tuple[int, int], setting: Setting, incarnation: Incarnation) -> Ticket:
        """A further ticket for what operations that hold theirs do together: none is waited for.

        What they began may outlast each of them; nothing is acknowledged before it has ended.
        """
        with self.signal:
            ticket = Ticket(self._next(), buckets, setting, incarnation)
            self._running[ticket.number] = ticket
            return ticket

    def release(self, ticket: Ticket) -> None:
        """The operation has ended."""
        with self.signal:
            self._running.pop(ticket.number, None)
            self.signal.notify()

    def _open(self, buckets: tuple[int, int]) -> bool:
        return self._setting is not None and not self._blocked(self._setting, buckets)

    def _blocked(self, setting: Setting, buckets: tuple[int, int]) -> bool:
        return (self._draining is not None and _overlap(self._draining, buckets)) or (
            setting.frozen is not None and _overlap(setting.frozen, buckets)
        )


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]
