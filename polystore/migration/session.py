"""A process's part in the fleet: joining, its lease, acknowledging, draining, leaving.

Two tasks of the process run :meth:`Session.run` and :meth:`Session.beat`; operations of the
application go through the latch. What they share is guarded by one signal, never over a call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

from polystore.driver import Stored
from polystore.effects import Changed, Now, Signal, Sleep
from polystore.errors import MigrationError, OutcomeUnknown, PolystoreError, Unavailable
from polystore.migration.acknowledging import DRAIN_SECONDS, Acknowledging
from polystore.migration.group import OpenGroup
from polystore.migration.home import Fenced
from polystore.migration.latch import ALL, Latch
from polystore.migration.member import (
    ACTIVE,
    Incarnation,
    Member,
    first_record,
    in_time,
    update,
)
from polystore.migration.preflight.observed import Observed
from polystore.migration.preflight.shape import Seen
from polystore.migration.slots import Slot
from polystore.migration.stages import SOURCE, SPEAKS, Stage, understood
from polystore.migration.upkeep import Upkeep
from polystore.observe.counters import CLEAN_READS, COMPARED
from polystore.values import Fields

HURRY_SECONDS = 10.0
"""How long a member polls quickly after the last news: who asked for it may have died since."""


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
        self.upkeep = Upkeep(group, signal, self.latch)
        self.acknowledging = Acknowledging(group, self.latch, self.upkeep)
        self.counters = group.counters
        self.observed = Observed(group, self.counters)
        self.shape = Seen()
        self.incarnation: Incarnation | None = None
        self.differed = 0
        """How many reads had been compared when the last difference was confirmed."""
        self._identity = identity
        self._about = about
        self._closing = False
        self._joining = False
        self._halfway: Incarnation | None = None
        """A member that has not come to the end of joining; others may have closed it."""
        self._news: tuple[object, float] = (None, 0.0)
        self._looked = float("-inf")

    # -- joining and leaving ------------------------------------------------------------------

    async def join(self, until: float = math.inf) -> None:
        """Become a member, under the newest setting; does nothing if this process is one.

        Args:
            until: moment on the monotonic clock after which no call is begun: what is left of
                joining is then done for who asks next.

        Raises:
            DeadlineExceeded: it is too late; this process is no member yet.
            ConfigError: the control store was never prepared.
            MigrationError: the run speaks a later version of the protocol than this release.
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
        while True:
            incarnation = self._halfway or await self._enrolled(until)
            if incarnation is None:
                continue  # an id that was used before
            self._halfway = incarnation
            self.group.heed(incarnation.setting.load)
            try:
                await self.upkeep.prepare(incarnation, incarnation.setting, until)
                await self._catch_up(incarnation, until)
            except Fenced:
                self._halfway = None
                continue
            self._halfway = None
            return incarnation

    async def _enrolled(self, until: float) -> Incarnation | None:
        """A new incarnation, its record in the control store."""
        setting = await self.group.ledger.setting()
        if not understood(setting):
            raise MigrationError(
                f"the run was started by a release that speaks version {setting.speaks} of the "
                f"protocol, this one speaks {SPEAKS}: bring this process to that release"
            )
        sent = await Now()
        id_ = self._identity()
        fields = first_record(setting, self._about)
        record = await self.group.ledger.put("member/" + id_, fields, None, until)
        if record is None:
            return None
        incarnation = Incarnation(id_, record, setting, self.signal)
        incarnation.lease_until = sent + self.group.config.lease
        return incarnation

    async def _catch_up(self, incarnation: Incarnation, until: float) -> None:
        """The newest setting must be the acknowledged one before this serves [M: JOIN_BLIND]."""
        while True:
            await in_time(until)
            newest = await self.group.ledger.setting()
            if newest.epoch == incarnation.setting.epoch:
                break
            await self.upkeep.prepare(incarnation, newest, until)
            await self.acknowledging.say_acked(incarnation, newest, until)

        def passed(fields: Fields) -> Fields | None:
            """Who has served nothing yet has passed a barrier of which nobody may have told it."""
            old = fields["barrier"]
            assert type(old) is int
            return {**fields, "barrier": newest.barrier} if old < newest.barrier else None

        await update(self.group.ledger, incarnation, passed, until)

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
        if not idle or not await self.upkeep.settled(incarnation):
            raise OutcomeUnknown("the mirror still lacks writes: another process will recover them")
        with suppress(PolystoreError):  # what it saw holds nobody back
            await self.observed.say(incarnation.setting, at_once=True)
            await self.shape.say(self.group.ledger, at_once=True)
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
            return {
                **fields,
                **self.counters.snapshot(),
                **self.upkeep.lacking(incarnation, sent),
                CLEAN_READS: self.counters.count(COMPARED) - self.differed,
                "beat": old + 1,
            }

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
                    await self.shape.say(self.group.ledger)
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
                await self.acknowledging.acknowledge(incarnation, await self.group.ledger.setting())
            if member.asked > member.barrier:
                await self._pass_barrier(incarnation, member.asked)
        except Fenced:
            self.lost(incarnation)
            return 0.0
        if incarnation.owes:
            await self.upkeep.settled(incarnation)
            if self.upkeep.pressing(incarnation):
                return 0.0
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
        if await self.latch.ended_within(running, DRAIN_SECONDS) and await self.upkeep.settled(
            incarnation
        ):
            lacking = self.upkeep.lacking(incarnation, await Now())
            await update(
                self.group.ledger, incarnation, lambda f: {**f, **lacking, "barrier": barrier}
            )
