"""The frame of every operation of a group: joined, in its turn, admitted for its buckets.

Each attempt works under the setting that it was admitted under. What was read counts only if the
lease is live after the answer; a commit only if its slot is open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

import attrs

from polystore.capacity import DECLINE
from polystore.driver.side import Side
from polystore.effects import Now
from polystore.errors import Contention, DeadlineExceeded, Declined, PolystoreError, Throttled
from polystore.migration.group import OpenGroup
from polystore.migration.home import Fenced
from polystore.migration.member import Incarnation
from polystore.migration.session import Session
from polystore.migration.stages import Setting, Stage
from polystore.observe.counters import DECLINED
from polystore.pacing.turn import Need, Turn, take_turn
from polystore.route.base import Place
from polystore.route.bound import Bound
from polystore.route.plain import Retry, pause
from polystore.values import Key

T = TypeVar("T")


@attrs.frozen(eq=False)
class Admitted:
    """One attempt at an operation: what it may rely on while it holds its ticket.

    Attributes:
        setting: what holds for its buckets until the ticket is given back.
        incarnation: this process as the fleet knows it; its lease must be live.
        turn: the operation's turn at the sides, and its deadline.
    """

    setting: Setting
    incarnation: Incarnation
    turn: Turn
    _group: OpenGroup
    _session: Session

    def side(self, name: str) -> Side:
        """A side, its calls in the operation's turn."""
        return self.turn.at(self._group.sides[name])

    def home(self, key: Key) -> Side:
        """The side that decides for a key."""
        return self.side(self.setting.home(self._group.bucket(key)))

    def bound(self, bound: Bound) -> Bound:
        """A collection with the sides that are in play for it in this stage."""
        return self._group.bounds[bound.collection.name].during(self.setting.stage)

    async def live(self) -> bool:
        """Whether the lease is live, so that what was read before counts."""
        return await self._session.live(self.incarnation, self.turn.until)


Attempt: TypeAlias = Callable[[Admitted], Awaitable[T | Retry]]
"""One attempt at an operation."""


class Frame:
    """What reading and writing have in common: how an operation comes to its attempts."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.group: OpenGroup = session.group

    async def _under(
        self,
        buckets: tuple[int, int],
        timeout: float,
        attempt: Attempt[T],
        place: Place,
        needs: Callable[[Setting], Sequence[Need]],
    ) -> T:
        """Run attempts in the turn of the operation, until one of them counts."""
        deadline = await Now() + timeout
        await self._joined(deadline)
        turn = await self._turn(place, needs, deadline)
        try:
            return await self._attempts(buckets, attempt, place, turn)
        finally:
            turn.end()

    async def _turn(
        self, place: Place, needs: Callable[[Setting], Sequence[Need]], deadline: float
    ) -> Turn:
        """Wait until the sides have room; before a ticket is held, which others would wait for."""
        setting = self.session.latch.setting
        if setting is None:
            return Turn(deadline)
        policy = self.group.overload(place[0].collection)
        if policy == DECLINE and setting.stage.mirrored:
            await self._declines(needs(setting))
        if not self.group.limited:
            return Turn(deadline)
        return await take_turn(needs(setting), policy, deadline)

    async def _declines(self, needs: Sequence[Need]) -> None:
        """Decline what would leave the mirror further behind, before anything is sent.

        Raises:
            Declined: the mirror does not answer, or lacks more than slots can name.
        """
        incarnation = self.session.incarnation
        behind = incarnation is not None and incarnation.spilled
        for name in (need.side.name for need in needs if need.later):
            if behind or self.group.breakers[name].shut_off(await Now()):
                self.group.counters.add(f"{DECLINED}:{name}")
                raise Declined(
                    f"the {name} does not answer, or lacks too much: nothing was sent. The policy "
                    "of the collection is decline",
                    seconds=self.group.config.poll,
                )

    async def _attempts(
        self, buckets: tuple[int, int], attempt: Attempt[T], place: Place, turn: Turn
    ) -> T:
        """Run attempts, each under a ticket of its own, until one of them counts."""
        deadline = turn.until
        tries = 0
        while True:
            await self._joined(deadline)
            ticket = await self.session.latch.admit(buckets, deadline)
            at = Admitted(ticket.setting, ticket.incarnation, turn, self.group, self.session)
            error: PolystoreError | None = None
            try:
                result = await attempt(at)
                if not isinstance(result, Retry):
                    return result
            except Fenced:
                self.session.lost(ticket.incarnation)
                continue
            except (Contention, Throttled) as gave_way:  # surely not applied
                error = gave_way
            finally:
                self.session.latch.release(ticket)
            tries += 1
            await pause(tries, deadline, place, error)

    async def _joined(self, deadline: float) -> None:
        while self.session.incarnation is None:
            if await Now() >= deadline:
                raise DeadlineExceeded("could not join the fleet in time; nothing was done")
            await self.session.join(deadline)
            if self.session.incarnation is None:
                await self.session.wait_joined(deadline)

    def _did(self, at: Admitted, collection: str, kind: str) -> None:
        """Count an operation for the shape of the load, while the source alone is used."""
        setting = at.setting
        if setting.observe and setting.stage in (Stage.SOURCE_ONLY, Stage.ARMED):
            self.session.shape.add(collection, kind)

    def _range(self, keys: Sequence[Key]) -> tuple[int, int]:
        buckets = [self.group.bucket(key) for key in keys]
        return (min(buckets), max(buckets) + 1)

    def _reads(self, setting: Setting, keys: Sequence[Key]) -> list[Need]:
        """What reading some keys at their homes needs."""
        counted = Counter(setting.home(self.group.bucket(key)) for key in keys)
        return [Need(self.group.sides[name], count) for name, count in counted.items()]
