"""The slots of one member: made before they are needed, and settled after use."""

from __future__ import annotations

import math

from polystore.driver.side import Side
from polystore.effects import Now, Signal
from polystore.errors import (
    ConfigError,
    Contention,
    DeadlineExceeded,
    MigrationError,
    PolystoreError,
)
from polystore.migration.group import OpenGroup
from polystore.migration.home import Fenced, resolve
from polystore.migration.latch import Latch
from polystore.migration.member import Incarnation, add_slots, in_time
from polystore.migration.mirror import converge
from polystore.migration.slots import FREE, OWED, UNKNOWN, Slot
from polystore.migration.spill import Spilling
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Setting, Stage
from polystore.observe.counters import BREAKER
from polystore.schema import Collection
from polystore.values import Fields, Key

SLOTS_AT_START = 2
"""Slots that a member makes at first on each home (PROTOCOL.md 3.7)."""

MOST_SLOTS = 64
"""Most slots of one member on one side: when all are owed, what they owe spills."""


SLICE_SECONDS = 0.5
"""How long one attempt at settling drains what was spilled: the member looks for news between."""

_SIDES = (SOURCE, TARGET)


class Upkeep:
    """Makes and settles the slots of a member.

    Args:
        group: the open group.
        signal: guards what the tasks of this process share.
        latch: tells whether operations are kept waiting just now.
    """

    def __init__(self, group: OpenGroup, signal: Signal, latch: Latch) -> None:
        self.group = group
        self._signal = signal
        self._latch = latch
        self.spilling = Spilling(group, signal)
        self._growing = False

    async def prepare(
        self, incarnation: Incarnation, setting: Setting, until: float = math.inf
    ) -> None:
        """Make the slots that ``setting`` needs; those it may need later where that is possible.

        Args:
            until: moment on the monotonic clock after which no call is begun.
        """
        ledger = self.group.ledger
        for side in self.group.sides.values():
            if incarnation.pools[side.name].slots:
                continue
            if _needs_slots(setting, side.name):
                await add_slots(ledger, incarnation, side, SLOTS_AT_START, until=until)
            elif setting.stage is Stage.DUAL_READ and side.may_be_home:
                try:
                    await add_slots(ledger, incarnation, side, SLOTS_AT_START, until=until)
                except (ConfigError, DeadlineExceeded):
                    raise
                except PolystoreError:  # no start, read or write waits for a mirror that is down
                    self.group.counters.add("slots_postponed")

    async def grow(self, incarnation: Incarnation, home: Side, until: float = math.inf) -> None:
        """Make as many more slots on a side as there are, up to the most; one task at a time.

        Args:
            until: moment on the monotonic clock after which no call is begun.
        """
        have = len(incarnation.pools[home.name].slots)
        more = min(max(have, SLOTS_AT_START), MOST_SLOTS - have)
        with self._signal:
            if more <= 0 or self._latch.draining or self._growing:
                return
            self._growing = True
        try:
            await add_slots(self.group.ledger, incarnation, home, more, until=until)
        finally:
            with self._signal:
                self._growing = False

    async def make_room(self, incarnation: Incarnation, home: Side, until: float) -> None:
        """No slot is free: make more, or let what the others owe spill.

        Args:
            until: moment on the monotonic clock after which neither is begun.

        Raises:
            Fenced: the member has been closed.
            PolystoreError: a store does not answer; one may come free all the same.
        """
        await self.grow(incarnation, home, until)
        await in_time(until)
        pool = incarnation.pools[home.name]
        if not pool.any_free() and not self._latch.draining:
            await self.spilling.spill(incarnation, home)

    async def settled(self, incarnation: Incarnation) -> bool:
        """Resolve and converge what slots still owe; whether nothing is owed any more."""
        for slot in incarnation.unsettled():
            try:
                await self.settle(incarnation, slot)
            except PolystoreError:
                return False
        return await self._drained(incarnation)

    def lacking(self, incarnation: Incarnation, now: float) -> Fields:
        """How much the mirror may lack just now, and how often callers gave it up."""
        opened = {f"{BREAKER}:{n}": b.opened for n, b in self.group.breakers.items() if b.opened}
        return {**incarnation.lacking(now), **opened}

    def pressing(self, incarnation: Incarnation) -> bool:
        """Whether more can be drained at once: the mirror answers, and lacks what was spilled."""
        return any(
            not backlog.empty and not self.group.breakers[_other(name)].failures
            for name, backlog in incarnation.backlogs.items()
        )

    async def _drained(self, incarnation: Incarnation) -> bool:
        """Drain what was spilled, for a moment; whether nothing is left of it."""
        until = await Now() + SLICE_SECONDS
        try:
            return all([await self.spilling.drained(incarnation, n, until) for n in _SIDES])
        except Fenced:
            return False  # found out by the next look
        except PolystoreError:
            return False

    async def settle(self, incarnation: Incarnation, slot: Slot) -> None:
        """Find out about a lost answer, and bring the mirror what the slot's intent names.

        Raises:
            PolystoreError: a store does not answer; the slot stays as it is.
            Fenced: the slot is closed: whoever closed it does the rest.
        """
        if slot.state not in (OWED, UNKNOWN):
            return  # another task was quicker
        setting, home = incarnation.setting, self.group.sides[slot.home]
        pool = incarnation.pools[slot.home]
        if slot.state == UNKNOWN:
            deadline = await Now() + self.group.config.call_timeout
            try:
                applied = await resolve(home, slot, self.group.ids, deadline)
            except Fenced:
                applied = False
            pool.give(slot, OWED if applied else FREE)
            if not applied:
                return  # somebody else may have taken it by now
        seq, intent = slot.seq, slot.intent
        for name, key in intent if setting.stage.mirrored else ():
            collection = self.group.collection(name)
            await self._converge(home, collection, key, setting)
        pool.settled([(slot, seq, intent)])

    async def _converge(
        self, home: Side, collection: Collection, key: Key, setting: Setting
    ) -> None:
        mirror = self.group.other(home)
        breaker = self.group.breakers[mirror.name]
        try:
            written = await converge(home, mirror, collection, key, setting)
        except (MigrationError, Contention):  # the mirror answers
            raise
        except PolystoreError:
            breaker.failed(await Now())
            raise
        breaker.answered(await Now())
        self.group.counters.add("mirrored_late", int(written))


def _other(name: str) -> str:
    return TARGET if name == SOURCE else SOURCE


def _needs_slots(setting: Setting, side: str) -> bool:
    if setting.stage.plain or side == setting.lost:
        return False
    if setting.frozen is not None:
        return True
    if setting.stage is Stage.DUAL_READ:
        return setting.moved < BUCKETS if side == SOURCE else setting.moved > 0
    return side == (TARGET if setting.stage is Stage.TARGET_ONLY else SOURCE)
