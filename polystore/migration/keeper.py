"""What each member does for the others, beside its own work.

It settles what shadow reads found suspicious, buries members whose heartbeat stands still, gives up
a freeze that its coordinator left behind, and so a stage change, once its time is over.
"""

from __future__ import annotations

from polystore.effects import Changed, Now, Sleep, Uniform
from polystore.errors import PolystoreError
from polystore.migration.epochs import FREEZE_SECONDS, Epochs
from polystore.migration.fleet import behind
from polystore.migration.member import ACTIVE, CLOSED, Member
from polystore.migration.recording import Recorded
from polystore.migration.repair import Discrepancy, settle_suspects, tell
from polystore.migration.request import Request
from polystore.migration.session import Session
from polystore.migration.slots import Target
from polystore.migration.stages import Setting, Stage
from polystore.observe.counters import COMPARED, DIFFERENCES

MOST_SUSPECTS = 1000
"""Suspects kept at most; a verification finds what is dropped."""

PERIOD = 1.0
"""Seconds between two looks, on average."""


class Keeper:
    """The second task of a member.

    Attributes:
        discrepancies: what shadow reads found and a recheck confirmed.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.discrepancies: list[Discrepancy] = []
        self._suspects: dict[Target, None] = {}
        self._epochs = Epochs(session.group, who=self._who)
        self._repairs = (-1, "", 0)
        """The run of the last repair, its entry in the history, and how many there were."""
        self._since = (-1, 0.0)
        """The newest epoch that was seen unfinished, and since when."""
        self._looked = float("-inf")
        self._closing = False

    def suspect(self, target: Target) -> None:
        """A shadow read saw a difference: look at it again, in the background."""
        with self.session.signal:
            if len(self._suspects) < MOST_SUSPECTS:
                self._suspects[target] = None
        self.session.counters.add("suspects")

    def stop(self) -> None:
        """End :meth:`run` at its next look."""
        with self.session.signal:
            self._closing = True
            self.session.signal.notify()

    async def run(self) -> None:
        """Look around every second or so, until stopped."""
        while not self._closing:
            pause = PERIOD * (0.5 + await Uniform())
            await Changed(self.session.signal, lambda: self._closing, pause)
            incarnation = self.session.incarnation
            try:
                if incarnation is not None:
                    await self.look(incarnation.setting)
            except PolystoreError:
                self.session.counters.add("keeping_failed")

    async def look(self, setting: Setting) -> None:
        """One round of all duties."""
        if not setting.stage.leased or setting.stage is Stage.CLEAN:
            return
        if setting.frozen is not None and await self._lasting(setting) > 2 * FREEZE_SECONDS:
            await self._end_freeze(setting)
        if setting.stage is Stage.DUAL_READ:
            await self._settle()
        now = await Now()
        if now - self._looked >= self.session.group.config.lease / 2:
            self._looked = now
            await self._look_after(await self._epochs.fleet.members(), now)

    async def _lasting(self, setting: Setting) -> float:
        """For how many seconds this epoch was seen unfinished."""
        now = await Now()
        if self._since[0] != setting.epoch:
            self._since = (setting.epoch, now)
        return now - self._since[1]

    async def _end_freeze(self, setting: Setting) -> None:
        """Whoever froze these buckets has left them: on, where a side is gone, else back."""
        if setting.lost is None:
            await self._give_up(setting)
        else:
            await self._epochs.released(setting)

    async def _give_up(self, setting: Setting) -> None:
        """Whoever began this epoch has left it: back to where it came from (EPO-9)."""
        now = await self.session.group.ledger.setting()
        if now.epoch != setting.epoch:
            return  # somebody else was quicker
        what = "a freeze" if setting.frozen is not None else setting.stage.value
        request = Request(self._who(), f"epoch {setting.epoch} was not finished in its time")
        async with Recorded(self.session.group.ledger, setting, f"given up: {what}", request):
            await self._epochs.go_back(setting)

    def _who(self) -> str:
        incarnation = self.session.incarnation
        return "member" if incarnation is None else f"member {incarnation.id}"

    async def _settle(self) -> None:
        with self.session.signal:
            suspects = list(self._suspects)
            self._suspects.clear()
        if suspects:
            found = await settle_suspects(self.session, self._epochs.fleet, suspects)
            self.discrepancies += found
            tell(self.session.group, found)
            self.session.counters.add(DIFFERENCES, len(found))
            await self._tell_repairs(sum(one.repaired for one in found))
            if found:
                self.session.differed = self.session.counters.count(COMPARED)

    async def _tell_repairs(self, count: int) -> None:
        """Keep in the history how many records of this run were repaired after reads (HIS-5)."""
        if not count:
            return
        ledger = self.session.group.ledger
        setting = await ledger.setting()
        run, item, before = self._repairs
        if run != setting.run:
            why = "reads that were compared with the mirror differed"
            item = await ledger.record(setting, "repairs after reads", self._who(), why)
            before = 0
        self._repairs = (setting.run, item, before + count)
        await ledger.amend(item, f"{before + count} repaired")

    async def _look_after(self, members: list[Member], now: float) -> None:
        """Close and recover who is silent; a random pause first, so that not all do at once.

        What is left of those that were recovered before is removed. One of all looks after a step
        that nobody coordinates any more.
        """
        fleet = self._epochs.fleet
        dead = [m for m in members if m.state == CLOSED or fleet.silent(m, now)]
        if dead:
            await Sleep(await Uniform() * PERIOD)
        for member in dead:
            await fleet.bury(member)
        await fleet.record()
        await fleet.tidy()
        first = next((m.id for m in members if m.state == ACTIVE and m not in dead), None)
        incarnation = self.session.incarnation
        if incarnation is not None and first == incarnation.id:
            await self._take_up(members)

    async def _take_up(self, members: list[Member]) -> None:
        """Tell who was not told of the newest epoch; give it up once its time is over (EPO-9)."""
        setting = await self.session.group.ledger.setting()
        if setting.lost is not None and setting.frozen is not None:
            await self._epochs.released(setting)
            return
        late = behind(setting, members)
        if any(member.announced < setting.epoch for member in late):
            await self._epochs.fleet.tell(setting)
        timed = bool(late) and setting.left is not None and setting.within > 0
        if timed and await self._lasting(setting) > 2 * setting.within:
            await self._give_up(setting)
