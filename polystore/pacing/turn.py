"""The turn of one operation: before it begins, every side in play has room for it, or it waits.

What its first attempt needs is taken in advance, on each side. So an operation that is declined
has sent nothing, and one that was begun is carried through: what it needs beyond that (another
attempt, a lost answer to be looked into) comes before what others ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from polystore.capacity import DECLINE, FAIL, QUEUE, WAIT
from polystore.driver.side import Side
from polystore.effects import Now
from polystore.pacing.limiter import ASKED, BACKGROUND, BEGUN, Limiter, Prepaid
from polystore.pacing.pace import Pace


@attrs.frozen(eq=False)
class Need:
    """What an operation needs of one side.

    Attributes:
        side: which.
        operations: records that its first attempt reads and writes there.
        later: whether that can be done later: it is the mirror.
    """

    side: Side
    operations: int
    later: bool = False


class Turn:
    """What one operation has taken in advance, and until when its calls may wait.

    Attributes:
        until: its deadline, on the monotonic clock.
    """

    __slots__ = ("_full", "_prepaid", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self._prepaid: dict[str, tuple[Limiter, Prepaid]] = {}
        self._full: set[str] = set()

    def at(self, side: Side) -> Side:
        """A side, for the calls of this operation."""
        limiter = _limiter(side)
        if limiter is None:
            return side
        taken = self._prepaid.get(side.name)
        return side.at(Pace(limiter, BEGUN, self.until, None if taken is None else taken[1]))

    def full(self, side: Side) -> bool:
        """Whether a side had no room: what is to be done there is left for later."""
        return side.name in self._full

    def end(self) -> None:
        """The operation has ended: what it did not spend is there for others."""
        for limiter, prepaid in self._prepaid.values():
            limiter.give_back(prepaid)

    async def take(self, need: Need, policy: str) -> None:
        """Take what is needed of one side, under the overload policy.

        Raises:
            Declined: there is no room in time.
        """
        limiter = _limiter(need.side)
        if limiter is None:
            return
        now = await Now()
        if need.later and policy == QUEUE:
            if not limiter.take_now(now, need.operations):
                self._full.add(need.side.name)
                return
        else:
            until = now if policy == DECLINE else self.until
            await limiter.take(ASKED, (need.operations, 0.0), until)
        self._prepaid[need.side.name] = (limiter, Prepaid(need.operations))


async def take_turn(needs: Sequence[Need], policy: str, until: float) -> Turn:
    """Wait for the turn of an operation, or decline it, as its policy says.

    Raises:
        Declined: nothing was sent; ``retry`` says when there would be room on all sides.
    """
    turn = Turn(until)
    if policy == DECLINE:
        await _look(needs)
    try:
        for need in needs:
            await turn.take(need, policy)
    except BaseException:
        turn.end()
        raise
    return turn


async def _look(needs: Sequence[Need]) -> None:
    """Whether all sides have room now; the one that has none for longest declines."""
    worst: tuple[float, Limiter] | None = None
    for need in needs:
        limiter = _limiter(need.side)
        if limiter is None:
            continue
        seconds = limiter.look(await Now(), need.operations)
        if seconds > (worst[0] if worst else 0.0):
            worst = (seconds, limiter)
    if worst is not None:
        raise worst[1].declined(worst[0])


async def idle(side: Side) -> Side:
    """A side for one call of comparing that must wait for nothing: it is made now, or declined."""
    limiter = _limiter(side)
    return side if limiter is None else side.at(Pace(limiter, BACKGROUND, await Now()))


def _limiter(side: Side) -> Limiter | None:
    """The limiter of a side that has limits."""
    pace = side.pace
    return pace.limiter if isinstance(pace, Pace) and pace.limiter.active else None


def strictest(policies: Iterable[str]) -> str:
    """The policy of an operation on several collections."""
    found = set(policies)
    return next((policy for policy in (DECLINE, FAIL, WAIT) if policy in found), QUEUE)
