"""The limits of one side in one process: who may go on now, and who waits for how long.

Three ranks, each before the next: what belongs to an operation that was begun or acknowledged; what
applications ask for now; and the background, which gets what those leave. All state is of this
process; every method that touches it holds the signal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import attrs

from polystore.capacity import Capacity
from polystore.effects import Changed, Now, Signal, Sleep
from polystore.errors import Declined
from polystore.observe.counters import DECLINED, LATE, THROTTLED, WAITED
from polystore.pacing.allowance import BURST_SECONDS, Allowance
from polystore.pacing.backoff import BackOff

BEGUN, ASKED, BACKGROUND = 0, 1, 2
"""Ranks: what was begun or acknowledged; what applications ask for; copying and comparing."""

_RANKS = (BEGUN, ASKED, BACKGROUND)

SLICE = 0.5
"""Most seconds that a wait sleeps before it looks again: limits change meanwhile."""

Amounts: TypeAlias = tuple[float, float]
"""Operations, and bytes."""


@attrs.define(eq=False)
class Prepaid:
    """Operations that were taken for somebody in advance, and not spent yet."""

    operations: float


class Limiter:
    """What one side may be asked for by this process.

    Args:
        side: its name, for messages and counts.
        signal: guards the state, and wakes those that wait for a call to end.
        count: told of each decline, wait and throttled call, by name.
        capacity: the limits; they may change at any time.
    """

    def __init__(
        self,
        side: str,
        signal: Signal,
        count: Callable[[str], object],
        capacity: Capacity | None = None,
    ) -> None:
        self.side = side
        self.capacity = capacity or Capacity()
        self._signal = signal
        self._count = count
        self._backoff = BackOff(*_ceiling(self.capacity))
        self._allowances: list[Allowance | None] = [None, None]
        self._queued = [[0.0, 0.0] for _ in _RANKS]
        self._running = 0
        self._waiting = [0 for _ in _RANKS]
        self._seconds_a_call = 0.0
        self._going = (0.0, -math.inf)

    @property
    def active(self) -> bool:
        """Whether there is any limit: if not, calls pass by without being looked at."""
        return self.capacity.limited

    def change(self, capacity: Capacity) -> None:
        """Other limits from now on; what waits looks again within half a second."""
        with self._signal:
            if capacity.rate != self.capacity.rate:
                self._backoff = BackOff(*_ceiling(capacity))
            self.capacity = capacity
            self._signal.notify()

    def rate(self, now: float) -> float:
        """Operations a second that are let through just now; infinite without a limit."""
        with self._signal:
            return self._backoff.rate_at(now)

    def portion(self, most: int) -> int:
        """Half of what may be done at once, of ``most`` at most: others get in between."""
        rate = self.capacity.rate
        return most if rate is None else max(1, min(most, int(rate * BURST_SECONDS / 2)))

    # -- rates --------------------------------------------------------------------------------

    async def take(self, rank: int, amounts: Amounts, until: float) -> None:
        """Take operations and bytes, when it is their turn.

        Args:
            until: moment up to which to wait.

        Raises:
            Declined: it would be later; nothing was taken.
        """
        now = await Now()
        seconds = self._ask(now, rank, amounts, until)
        if seconds == 0.0:
            return
        if now + seconds > until:
            raise self.declined(seconds, rank)
        try:
            self._waits(rank)
            while seconds > 0.0:
                await Sleep(min(seconds, SLICE))
                now = await Now()
                seconds = self._ask_again(now, rank, amounts)
                if now + seconds > until:
                    raise self.declined(seconds, rank)
        finally:
            self._queue(rank, amounts, -1)

    def _ask(self, now: float, rank: int, amounts: Amounts, until: float) -> float:
        """Take, or get in line where the turn comes in time; seconds until then."""
        with self._signal:
            seconds = self._wait(now, rank, amounts, behind=rank)
            if seconds == 0.0:
                self._take(now, amounts)
            elif now + seconds <= until:
                self._queue(rank, amounts, 1)
            return seconds

    def _ask_again(self, now: float, rank: int, amounts: Amounts) -> float:
        """For one that is in line: take, or how much longer; only a higher rank came before."""
        with self._signal:
            seconds = self._wait(now, rank, amounts, behind=rank - 1)
            if seconds == 0.0:
                self._take(now, amounts)
            return seconds

    def take_now(self, now: float, operations: float) -> bool:
        """Take operations if it is their turn at once; whether it is."""
        with self._signal:
            free = self.look(now, operations) == 0.0
            if free:
                self._take(now, (operations, 0.0))
            return free

    def look(self, now: float, operations: float) -> float:
        """Seconds until it would be the turn of an operation that asks now."""
        with self._signal:
            seconds = self._wait(now, ASKED, (operations, 0.0), behind=ASKED)
            if not self._room(ASKED):
                seconds = max(seconds, self._until_room())
            return seconds

    def _wait(self, now: float, rank: int, amounts: Amounts, *, behind: int) -> float:
        """Seconds until there is enough, after all that is in line up to the rank ``behind``."""
        seconds = 0.0
        for unit, allowance in enumerate(self._filled(now)):
            if allowance is None:
                continue
            ahead = sum(self._queued[r][unit] for r in _RANKS if r <= behind)
            amount = amounts[unit]
            if rank == BACKGROUND:  # half of what may be done at once stays for who asks now
                amount = min(amount + allowance.burst / 2, allowance.burst)
            seconds = max(seconds, allowance.wait(amount, ahead))
        return seconds

    def _filled(self, now: float) -> list[Allowance | None]:
        """The allowances at a moment, at the rates of that moment."""
        rates = (self._backoff.rate_at(now), self.capacity.bytes or math.inf)
        for unit, rate in enumerate(rates):
            known = self._allowances[unit]
            if rate == math.inf:
                self._allowances[unit] = None
            elif known is None:
                self._allowances[unit] = Allowance.full(rate, now)
            else:
                self._allowances[unit] = known.filled(now).at_rate(rate)
        return self._allowances

    def _take(self, now: float, amounts: Amounts) -> None:
        level, at = self._going
        self._going = (level * math.exp(min(at - now, 0.0)) + amounts[0], now)
        for unit, allowance in enumerate(self._filled(now)):
            if allowance is not None:
                self._allowances[unit] = allowance.less(amounts[unit])

    def _queue(self, rank: int, amounts: Amounts, sign: int) -> None:
        with self._signal:
            for unit, amount in enumerate(amounts):
                self._queued[rank][unit] += sign * amount

    def owe(self, now: float, operations: float, size: float) -> None:
        """Take what a call turned out to need, as a debt that later ones wait for."""
        with self._signal:
            self._take(now, (operations, size))

    def spend(self, prepaid: Prepaid | None, operations: float) -> float:
        """Use up what was taken in advance; what is left to be taken."""
        if prepaid is None:
            return operations
        with self._signal:
            used = min(prepaid.operations, operations)
            prepaid.operations -= used
            return operations - used

    def give_back(self, prepaid: Prepaid) -> None:
        """What was taken in advance and is not needed is there for others."""
        with self._signal:
            unspent, prepaid.operations = prepaid.operations, 0.0
            allowance = self._allowances[0]
            if allowance is not None:
                self._allowances[0] = allowance.less(-unspent)

    def _waits(self, rank: int) -> None:
        """Count an operation that has to wait; that background work does is what it is for."""
        if rank != BACKGROUND:
            self._count(f"{WAITED}:{self.side}")

    def declined(self, seconds: float, rank: int = ASKED) -> Declined:
        """The error for something whose turn is too far away; it is counted."""
        if rank != BACKGROUND:
            self._count(f"{DECLINED if rank == ASKED else LATE}:{self.side}")
        return Declined(
            f"the {self.side} is at its capacity ({_told(self.capacity)}): "
            f"again in {seconds:.3f} s; this call was not sent",
            seconds=seconds,
        )

    # -- calls at a time ----------------------------------------------------------------------

    async def enter(self, rank: int, until: float) -> None:
        """Take the permit of one call; :meth:`leave` gives it back.

        Raises:
            Declined: as many calls as are allowed run, up to ``until``.
        """
        with self._signal:
            if self._room(rank):
                self._running += 1
                return
            self._waiting[rank] += 1
        try:
            self._waits(rank)
            while True:
                now = await Now()
                with self._signal:
                    if self._room(rank):
                        self._running += 1
                        return
                    if now >= until:
                        raise self.declined(self._until_room(), rank)
                await Changed(self._signal, lambda: self._room(rank), min(until - now, SLICE))
        finally:
            with self._signal:
                self._waiting[rank] -= 1
                self._signal.notify()

    def leave(self) -> None:
        """A call has ended."""
        with self._signal:
            self._running -= 1
            self._signal.notify()

    def took(self, seconds: float) -> None:
        """How long a call took, for how long others will have to wait."""
        with self._signal:
            self._seconds_a_call += 0.1 * (seconds - self._seconds_a_call)

    def _room(self, rank: int) -> bool:
        limit = self.capacity.concurrency
        return limit is None or (self._running < limit and not any(self._waiting[:rank]))

    def _until_room(self) -> float:
        limit = self.capacity.concurrency or 1
        return max(self._seconds_a_call * (1 + sum(self._waiting)) / limit, 0.001)

    # -- backing off --------------------------------------------------------------------------

    def throttled(self, sent: float, now: float) -> None:
        """The database asked for less, of a call that was sent at that moment."""
        self._count(f"{THROTTLED}:{self.side}")
        self.give_way(sent, now)

    def give_way(self, sent: float, now: float) -> None:
        """Half of what was going on from now on, as others need it; regained slowly.

        Args:
            sent: what was seen before the last time counts no further.
        """
        with self._signal:
            level, at = self._going
            going = level * math.exp(min(at - now, 0.0))
            self._backoff = self._backoff.throttled(sent, now, going)


def _ceiling(capacity: Capacity) -> tuple[float, float]:
    rate = capacity.rate or math.inf
    return (rate, rate)


def _told(capacity: Capacity) -> str:
    """Limits for people."""
    parts = (
        (capacity.rate, "operations a second"),
        (capacity.bytes, "bytes a second"),
        (capacity.concurrency, "calls at a time"),
    )
    return ", ".join(f"{value:g} {unit}" for value, unit in parts if value is not None)
