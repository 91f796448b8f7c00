"""Acknowledging an epoch: what ran under the old setting has ended and is converged before."""

from __future__ import annotations

import math

from polystore.effects import Now
from polystore.migration.group import OpenGroup
from polystore.migration.latch import Latch
from polystore.migration.member import Incarnation, update
from polystore.migration.stages import Setting, Stage, affected
from polystore.migration.upkeep import Upkeep

DRAIN_SECONDS = 1.0
"""How long operations are kept waiting for one attempt at an acknowledgement."""


class Acknowledging:
    """How a member comes from one setting to the next.

    Args:
        group: the open group.
        latch: admits the operations of this process.
        upkeep: makes and settles its slots.
    """

    def __init__(self, group: OpenGroup, latch: Latch, upkeep: Upkeep) -> None:
        self.group = group
        self.latch = latch
        self.upkeep = upkeep

    async def acknowledge(self, incarnation: Incarnation, new: Setting) -> bool:
        """Stop, finish, converge, say so, go on under ``new``; whether it was done.

        A backlog, or an answer that is still missing, withholds the acknowledgement: the
        operations go on under the old setting, and the next look tries again.

        Raises:
            Fenced: the member has been closed.
        """
        old = incarnation.setting
        if new.epoch <= old.epoch or not await self.upkeep.settled(incarnation):
            return new.epoch <= old.epoch
        if _leaves_plain_source(old, new) and await Now() < incarnation.unanswered_until:
            return False
        await self.upkeep.prepare(incarnation, new)
        buckets = affected(old, new)
        done = saying = False
        if buckets is not None:
            self.latch.stop(buckets)
        try:
            done = buckets is None or await self._drained(incarnation, buckets)
            if done and _leaves_plain_source(old, new):
                done = await Now() >= incarnation.unanswered_until
            if done:
                saying = True
                await self.say_acked(incarnation, new)
                saying = False
        finally:
            # Without an answer the fleet may count on it: nothing goes on under the old setting.
            if self.latch.incarnation is incarnation and not saying:
                self.latch.serve(incarnation)
        return done

    async def _drained(self, incarnation: Incarnation, buckets: tuple[int, int]) -> bool:
        """What ran under the old setting is finished and converged [M: NO_DRAIN]."""
        idle = await self.latch.idle_within(buckets, DRAIN_SECONDS)
        return idle and await self.upkeep.settled(incarnation)

    async def say_acked(
        self, incarnation: Incarnation, new: Setting, until: float = math.inf
    ) -> None:
        lacking = self.upkeep.lacking(incarnation, await Now())
        await update(
            self.group.ledger, incarnation, lambda f: {**f, **lacking, "acked": new.epoch}, until
        )
        incarnation.setting = new


def _leaves_plain_source(old: Setting, new: Setting) -> bool:
    return old.stage in (Stage.SOURCE_ONLY, Stage.ARMED) and not new.stage.plain
