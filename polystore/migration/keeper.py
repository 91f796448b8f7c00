"""What each member does for the others, beside its own work.

It settles what shadow reads found suspicious, buries members whose heartbeat stands still, and
gives up a freeze that its coordinator left behind.
"""

from __future__ import annotations

from polystore.effects import Changed, Now, Sleep, Uniform
from polystore.errors import PolystoreError
from polystore.migration.coordinator import FREEZE_SECONDS, Coordinator
from polystore.migration.member import CLOSED
from polystore.migration.repair import Discrepancy, settle_suspects, tell
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
        self._coordinator = Coordinator(session.group)
        self._frozen_since: tuple[int, float] | None = None
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
        """One round of all three duties."""
        if not setting.stage.leased or setting.stage is Stage.CLEAN:
            return
        await self._free(setting)
        if setting.stage is Stage.DUAL_READ:
            await self._settle()
        now = await Now()
        if now - self._looked >= self.session.group.config.lease / 2:
            self._looked = now
            await self._bury(now)

    async def _free(self, setting: Setting) -> None:
        if setting.frozen is None:
            self._frozen_since = None
            return
        now = await Now()
        if self._frozen_since is None or self._frozen_since[0] != setting.epoch:
            self._frozen_since = (setting.epoch, now)
        elif now - self._frozen_since[1] > 2 * FREEZE_SECONDS:
            await self._coordinator.abort()

    async def _settle(self) -> None:
        with self.session.signal:
            suspects = list(self._suspects)
            self._suspects.clear()
        if suspects:
            found = await settle_suspects(self.session, self._coordinator.fleet, suspects)
            self.discrepancies += found
            tell(self.session.group, found)
            self.session.counters.add(DIFFERENCES, len(found))
            if found:
                self.session.differed = self.session.counters.count(COMPARED)

    async def _bury(self, now: float) -> None:
        """Close and recover who is silent; a random pause first, so that not all do at once.

        What is left of those that were recovered before is removed.
        """
        fleet = self._coordinator.fleet
        dead = [m for m in await fleet.members() if m.state == CLOSED or fleet.silent(m, now)]
        if dead:
            await Sleep(await Uniform() * PERIOD)
        for member in dead:
            await fleet.bury(member)
        await fleet.tidy()
