"""A process's part in the fleet: joining, its lease, acknowledging, draining, leaving.

Two tasks of the process run :meth:`Session.run` and :meth:`Session.beat`; operations of the
application go through the latch. What they share is guarded by one signal, never over a call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

from polystore.driver import Stored
from polystore.driver.side import Side
from polystore.effects import Changed, Now, Signal, Sleep
from polystore.errors import ConfigError, OutcomeUnknown, PolystoreError, Unavailable
from polystore.migration.group import OpenGroup
from polystore.migration.home import Fenced, resolve
from polystore.migration.latch import ALL, Latch
from polystore.migration.member import ACTIVE, Incarnation, Member, add_slots, first_record, update
from polystore.migration.mirror import converge
from polystore.migration.preflight.observed import Observed
from polystore.migration.slots import FREE, OWED, UNKNOWN, Slot
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Setting, Stage, affected
from polystore.values import Fields

SLOTS_AT_START = 2
"""Slots that a member makes at first on each home (PROTOCOL.md 3.7)."""

MOST_SLOTS = 64
"""Most slots of one member on one side: more operations than that wait for one."""

HURRY_SECONDS = 10.0
"""How long a member polls quickly after the last news: who asked for it may have died since."""

DRAIN_SECONDS = 1.0
"""How long operations are kept waiting for one attempt at an acknowledgement."""


class Session:
    """One process in the fleet of one group.

    Args:
        group: the open group.
        signal: guards and announces what the tasks of this process share.
        identity: makes the id of each incarnation.
        about: who this is, for people: host, process id, version.
    """

    def __init__(
        self, group: OpenGroup, signal: Signal, identity: Callable[[], str], about: Fields
    ) -> None:
        self.group = group
        self.signal = signal
        self.latch = Latch(signal)
        self.counters = group.counters
        self.observed = Observed(group, self.counters)
        self.incarnation: Incarnation | None = None
        self._identity = identity
        self._about = about
        self._closing = False
        self._joining = False
        self._growing = False
        self._news: tuple[object, float] = (None, 0.0)
        self._looked = float("-inf")

    # -- joining and leaving ------------------------------------------------------------------

    async def join(self, until: float = math.inf) -> None:
        """Become a member, under the newest setting; does nothing if this process is one.

        Args:
            until: moment on the monotonic clock after which no call is repeated.

        Raises:
            ConfigError: the control store was never prepared.
            PolystoreError: a store cannot be reached; this process is no member.
        """
        with self.signal:
            if self.incarnation is not None or self._joining:
                return
            self._joining = True
        try:
            incarnation = await self._joined(until)
            with self.signal:
                self.incarnation = incarnation
            self.latch.serve(incarnation)
        except OutcomeUnknown as error:
            raise Unavailable("the control store gives no answer; nothing was done") from error
        finally:
            with self.signal:
                self._joining = False
                self.signal.notify()

    async def wait_joined(self, deadline: float) -> None:
        """Wait while another task of this process is joining, at most to ``deadline``."""
        left = deadline - await Now()
        await Changed(self.signal, lambda: not self._joining, max(left, 0.0))

    async def _joined(self, until: float) -> Incarnation:
        ledger = self.group.ledger
        while True:
            setting = await ledger.setting()
            sent = await Now()
            id_ = self._identity()
            record = await ledger.put(
                "member/" + id_, first_record(setting, self._about), None, until
            )
            if record is None:
                continue  # an id that was used before
            incarnation = Incarnation(id_, record, setting, self.signal)
            incarnation.lease_until = sent + self.group.config.lease
            self.group.heed(setting.load)
            try:
                await self._prepare(incarnation, setting)
                await self._catch_up(incarnation)
            except Fenced:
                continue
            return incarnation

    async def _catch_up(self, incarnation: Incarnation) -> None:
        """The newest setting must be the acknowledged one before this serves [M: JOIN_BLIND]."""
        while True:
            newest = await self.group.ledger.setting()
            if newest.epoch == incarnation.setting.epoch:
                break
            await self._prepare(incarnation, newest)
            await self._say_acked(incarnation, newest)

        def passed(fields: Fields) -> Fields | None:
            """Who has served nothing yet has passed a barrier of which nobody may have told it."""
            old = fields["barrier"]
            assert type(old) is int
            return {**fields, "barrier": newest.barrier} if old < newest.barrier else None

        await update(self.group.ledger, incarnation, passed)

    def stop(self) -> None:
        """End :meth:`run` and :meth:`beat` at their next look."""
        with self.signal:
            self._closing = True
            self.signal.notify()

    async def leave(self) -> None:
        """Stop taking part: finish, converge, remove slots and member record.

        Raises:
            PolystoreError: something is still owed; the member stays, and will be recovered.
        """
        self._closing = True
        incarnation = self.incarnation
        if incarnation is None:
            return
        self.latch.stop(ALL)
        idle = await self.latch.idle_within(ALL, self.group.config.call_timeout)
        if not idle or not await self._settle(incarnation):
            raise OutcomeUnknown("the mirror still lacks writes: another process will recover them")
        with suppress(PolystoreError):  # what it saw holds nobody back
            await self.observed.say(incarnation.setting, at_once=True)
        with self.signal:
            self.incarnation = None
        for slot in self._slots_in_play(incarnation):
            await self.group.sides[slot.home].write(slot.removal())
        record: Stored | None = incarnation.record
        while record is not None and not await self.group.ledger.delete(record):
            record = await self.group.ledger.get(incarnation.item)

    def _slots_in_play(self, incarnation: Incarnation) -> list[Slot]:
        """All its slots, but for those on a source that nobody calls any more."""
        gone = SOURCE not in incarnation.setting.homes() and not incarnation.setting.stage.mirrored
        pools = incarnation.pools
        return [
            s for name, pool in pools.items() if not (gone and name == SOURCE) for s in pool.slots
        ]

    def lost(self, incarnation: Incarnation) -> None:
        """This incarnation has been shut out: admit nothing until the process has rejoined."""
        with self.signal:
            if self.incarnation is incarnation:
                self.incarnation = None
                self.latch.serve(None)
                self.counters.add("rejoined")

    # -- the lease ----------------------------------------------------------------------------

    async def live(self, incarnation: Incarnation, until: float) -> bool:
        """Whether what was just read counts: looked at *after* the answer came [M: NO_LEASE].

        Args:
            until: the deadline of the operation that asks.

        Raises:
            Unavailable: the lease has run out and the control store does not answer.
        """
        now = await Now()
        if now < incarnation.lease_until or incarnation.setting.stage is Stage.DETACHED:
            return True
        if not incarnation.setting.stage.leased:
            return now - self._looked < self.group.config.lease or await self._awake(incarnation)
        try:
            await self.refresh(incarnation, until)
        except OutcomeUnknown as error:
            raise Unavailable("the lease ran out, and the control store is silent") from error
        return False

    async def _awake(self, incarnation: Incarnation) -> bool:
        """Idle, nothing rests on a lease; but who stood still may have been left behind."""
        self._looked = await Now()
        try:
            stored = await self.group.ledger.get(incarnation.item)
        except PolystoreError:
            return True  # idle, nothing waits for the control store
        if stored is None or stored.fields is None or stored.fields["state"] != ACTIVE:
            self.lost(incarnation)
            return False
        return True

    async def refresh(self, incarnation: Incarnation, until: float = math.inf) -> None:
        """Extend the lease, counted from before the refresh was sent.

        Args:
            until: moment on the monotonic clock after which no call is repeated.
        """

        def beat(fields: Fields) -> Fields:
            old = fields["beat"]
            assert type(old) is int
            return {**fields, **self.counters.snapshot(), "beat": old + 1}

        sent = await Now()
        try:
            await update(self.group.ledger, incarnation, beat, until)
        except Fenced:
            self.lost(incarnation)
            return
        incarnation.lease_until = sent + self.group.config.lease

    # -- the task -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Poll, acknowledge, pass barriers, settle, until the process leaves."""
        config = self.group.config
        while not self._closing:
            self._looked = await Now()
            pause = config.poll
            try:
                await self.join()
                incarnation = self.incarnation
                if incarnation is not None:
                    pause = await self.tick(incarnation)
                    await self.observed.say(incarnation.setting)
                    if incarnation.setting.stage is Stage.DETACHED:
                        return
            except PolystoreError:
                self.counters.add("polls_failed")
            await Sleep(min(pause, config.lease / 3))

    async def beat(self) -> None:
        """Refresh the lease, until the process leaves: a task of its own.

        However long a store takes to answer the other task, this process is alive.
        """
        while not self._closing:
            await Sleep(self.group.config.lease / 3)
            incarnation = self.incarnation
            if incarnation is None:
                continue
            if incarnation.setting.stage is Stage.DETACHED:
                return
            try:
                await self.refresh(incarnation)
            except PolystoreError:
                self.counters.add("beats_failed")

    async def tick(self, incarnation: Incarnation) -> float:
        """Look at the own member record and do what it asks for; seconds to the next look."""
        config = self.group.config
        stored = await self.group.ledger.get(incarnation.item)
        if stored is None or stored.fields is None or stored.fields["state"] != ACTIVE:
            self.lost(incarnation)
            return 0.0
        member = Member.of(stored)
        self.group.heed(member.load)
        try:
            if member.announced > incarnation.setting.epoch:
                await self.acknowledge(incarnation, await self.group.ledger.setting())
            if member.asked > member.barrier:
                await self._pass_barrier(incarnation, member.asked)
        except Fenced:
            self.lost(incarnation)
            return 0.0
        if incarnation.unsettled():
            await self._settle(incarnation)
        return config.fast_poll if await self._hurried(member) else config.poll

    async def _hurried(self, member: Member) -> bool:
        """Whether to look again soon: asked to, and something was new a moment ago."""
        news = (member.announced, member.asked, member.fast)
        now = await Now()
        if news != self._news[0]:
            self._news = (news, now)
        return member.fast and now - self._news[1] < HURRY_SECONDS

    async def _pass_barrier(self, incarnation: Incarnation, barrier: int) -> None:
        """Converge what was recorded before now, then say so."""
        running = self.latch.running()
        if await self.latch.ended_within(running, DRAIN_SECONDS) and await self._settle(
            incarnation
        ):
            await update(self.group.ledger, incarnation, lambda f: {**f, "barrier": barrier})

    # -- acknowledging ------------------------------------------------------------------------

    async def acknowledge(self, incarnation: Incarnation, new: Setting) -> bool:
        """Stop, finish, converge, say so, go on under ``new``; whether it was done.

        A backlog, or an answer that is still missing, withholds the acknowledgement: the
        operations go on under the old setting, and the next look tries again.

        Raises:
            Fenced: the member has been closed.
        """
        old = incarnation.setting
        if new.epoch <= old.epoch or not await self._settle(incarnation):
            return new.epoch <= old.epoch
        if _leaves_plain_source(old, new) and await Now() < incarnation.unanswered_until:
            return False
        await self._prepare(incarnation, new)
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
                await self._say_acked(incarnation, new)
                saying = False
        finally:
            # Without an answer the fleet may count on it: nothing goes on under the old setting.
            if self.incarnation is incarnation and not saying:
                self.latch.serve(incarnation)
        return done

    async def _drained(self, incarnation: Incarnation, buckets: tuple[int, int]) -> bool:
        """What ran under the old setting is finished and converged [M: NO_DRAIN]."""
        idle = await self.latch.idle_within(buckets, DRAIN_SECONDS)
        return idle and await self._settle(incarnation)

    async def _say_acked(self, incarnation: Incarnation, new: Setting) -> None:
        await update(self.group.ledger, incarnation, lambda f: {**f, "acked": new.epoch})
        incarnation.setting = new

    async def _prepare(self, incarnation: Incarnation, setting: Setting) -> None:
        """Make the slots that ``setting`` needs; those it may need later where that is possible."""
        for side in self.group.sides.values():
            if incarnation.pools[side.name].slots:
                continue
            if _needs_slots(setting, side.name):
                await add_slots(self.group.ledger, incarnation, side, SLOTS_AT_START)
            elif setting.stage is Stage.DUAL_READ:
                try:
                    await add_slots(self.group.ledger, incarnation, side, SLOTS_AT_START)
                except ConfigError:
                    raise
                except PolystoreError:  # no start, read or write waits for a mirror that is down
                    self.counters.add("slots_postponed")

    async def grow(self, incarnation: Incarnation, home: Side) -> None:
        """Make as many more slots on a side as there are, up to the most; one task at a time."""
        have = len(incarnation.pools[home.name].slots)
        more = min(max(have, SLOTS_AT_START), MOST_SLOTS - have)
        with self.signal:
            if more <= 0 or self.latch.draining or self._growing:
                return
            self._growing = True
        try:
            await add_slots(self.group.ledger, incarnation, home, more)
        finally:
            with self.signal:
                self._growing = False

    # -- settling -----------------------------------------------------------------------------

    async def _settle(self, incarnation: Incarnation) -> bool:
        """Resolve and converge what slots still owe; whether nothing is owed any more."""
        for slot in incarnation.unsettled():
            try:
                await self.settle(incarnation, slot)
            except PolystoreError:
                return False
        return True

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
        for name, key in slot.intent if setting.stage.mirrored else ():
            collection = self.group.collection(name)
            if await converge(home, self.group.other(home), collection, key, setting):
                self.counters.add("mirrored_late")
        pool.give(slot, FREE)


def _leaves_plain_source(old: Setting, new: Setting) -> bool:
    return old.stage in (Stage.SOURCE_ONLY, Stage.ARMED) and not new.stage.plain


def _needs_slots(setting: Setting, side: str) -> bool:
    if setting.stage.plain:
        return False
    if setting.frozen is not None:
        return True
    if setting.stage is Stage.DUAL_READ:
        return setting.moved < BUCKETS if side == SOURCE else setting.moved > 0
    return side == (TARGET if setting.stage is Stage.TARGET_ONLY else SOURCE)
