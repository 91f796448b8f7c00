"""From one epoch to the next: announced by compare-and-set, told to all, acknowledged, or given up.

An epoch advances only if everybody acknowledged the one before [M: NO_ACKS]. Going back to where
the newest one came from is the exception, of a freeze and of a stage change that leads back
[M: ABORT_EARLY, ABORT_STAGE]: who has not heard of it works as those do that have gone back.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from polystore.effects import SECOND, Now, WallClock
from polystore.errors import MigrationError, PolystoreError
from polystore.migration.fleet import Fleet, behind, named
from polystore.migration.group import OpenGroup
from polystore.migration.member import Member
from polystore.migration.stages import (
    Setting,
    Stage,
    after,
    forced,
    frozen_step,
    given_up,
    released,
    thawed,
)

PATIENCE = 120.0
"""Seconds in which everybody has to acknowledge a stage, beside a quarantine, unless it is said."""

FREEZE_SECONDS = 3.0
"""A freeze that not everybody has acknowledged by then is given up (PROTOCOL.md 2)."""

LAGGARD_SECONDS = 1.0
"""In a freeze, who has not acknowledged by then is shut out (PROTOCOL.md 2)."""


class Epochs:
    """Changes the setting of a group, and waits for its members.

    Args:
        group: the open group.
        patience: seconds in which everybody has to acknowledge a stage (``None``: ``PATIENCE``
            and a quarantine); a freeze has at most ``FREEZE_SECONDS``.
        told: called with each new setting, for people who watch.
        who: whose commands these are, for the history.

    Attributes:
        fleet: the members.
        acked: the newest epoch that was seen acknowledged by all, and when that was first seen.
    """

    def __init__(
        self,
        group: OpenGroup,
        *,
        patience: float | None = None,
        told: Callable[[Setting], None] = lambda _: None,
        who: Callable[[], str] = lambda: "a command",
    ) -> None:
        self.group = group
        self.fleet = Fleet(group, who)
        usual = PATIENCE + group.config.quarantine
        self.patience = usual if patience is None else patience
        self.acked = (-1, 0.0)
        self._told = told

    async def changed(self, at: Setting, stage: Stage) -> Setting:
        """The next epoch, with another stage, acknowledged by all.

        Raises:
            IllegalEdge: there is no way from here to there.
            MigrationError: members did not acknowledge in time: the group is back where it was,
                or, where nothing leads back, the stage stays announced.
        """
        within = math.ceil(self.patience)
        new = await self.advanced(at, lambda now: attrs.evolve(after(now, stage), within=within))
        self._told(new)
        return await self.acknowledged(new)

    async def turned(self, setting: Setting, goal: int, width: int) -> Setting:
        """One dial step: freeze a few buckets, and when all have acknowledged, give them away.

        Raises:
            MigrationError: the freeze was given up; or the new homes are not acknowledged by all.
        """
        frozen = await self.advanced(setting, lambda now: frozen_step(now, goal, width))
        within = min(FREEZE_SECONDS, self.patience)
        try:
            missing = await self.fleet.wait(
                _acked(frozen), within=within, close_after=min(LAGGARD_SECONDS, within)
            )
        except PolystoreError:
            await self.go_back(frozen)
            raise
        if missing:
            await self.go_back(frozen)
            await self.fleet.record()
            raise MigrationError(
                f"the freeze was not acknowledged within {within:g} s by {named(missing)}: "
                f"the dial stays at {setting.dial():g} %; try again"
            )
        at = await WallClock() // SECOND
        turned = await self.acknowledged(await self.advanced(frozen, lambda now: thawed(now, at)))
        self._told(turned)
        return turned

    async def forced(self, at: Setting, kept: str) -> Setting:
        """Go on with one side alone; the other is gone, and nobody calls it from here on (FRC-1).

        Raises:
            IllegalEdge: the stage does not use both sides.
            MigrationError: another coordinator was quicker; or members, all of them shut out by
                then, are not recovered in time: run the command again.
        """
        setting = await self.advanced(at, lambda now: forced(now, kept))
        self._told(setting)
        return await self.released(setting)

    async def released(self, setting: Setting) -> Setting:
        """Finish what :meth:`forced` began: shut out who worked with both sides, then serve.

        Whoever owes the lost side something cannot drain: it is shut out and joins anew, owing
        nothing. Nothing is served before all leases of before have run out.
        """
        missing = await self.fleet.wait(
            _acked(setting), within=self.patience, close_after=LAGGARD_SECONDS
        )
        if missing:
            raise MigrationError(
                f"not shut out and recovered yet: {named(missing)}; nothing is served until they "
                "are: run the command again"
            )
        served = await self.advanced(setting, released)
        self._told(served)
        return await self.acknowledged(served)

    async def go_back(self, at: Setting) -> Setting:
        """Give up the epoch of ``at``: the next one is as it was before, without waiting.

        Returns:
            The newest setting: where somebody else was quicker, theirs.
        """
        setting = await self.group.ledger.change_setting(
            lambda now: given_up(now) if now.epoch == at.epoch else None
        )
        await self.fleet.tell(setting)
        self._told(setting)
        return setting

    async def advanced(self, at: Setting, change: Callable[[Setting], Setting]) -> Setting:
        """The next epoch, by compare-and-set, if the setting is still the one of ``at``.

        Raises:
            MigrationError: another coordinator was quicker.
        """
        wanted = change(at)

        def step(now: Setting) -> Setting | None:
            if (now.epoch, now.stage, now.moved, now.frozen) == (
                wanted.epoch, wanted.stage, wanted.moved, wanted.frozen,
            ):  # fmt: skip
                return None  # our own step, whose answer was lost
            if now.epoch != at.epoch:
                raise MigrationError(_QUICKER)
            return change(now)

        setting = await self.group.ledger.change_setting(step)
        await self.fleet.tell(setting)
        return setting

    async def acknowledged(self, setting: Setting) -> Setting:
        """Wait until everybody works under the epoch.

        Raises:
            MigrationError: some do not; a stage change that leads back was given up.
        """
        missing = await self.missing(setting)
        if missing:
            raise MigrationError(await self._too_late(setting, missing))
        if (await self.group.ledger.setting()).stage is not setting.stage:
            raise MigrationError(_QUICKER)  # and went back, or on
        return setting

    async def missing(self, setting: Setting) -> list[Member]:
        """Wait until everybody works under the epoch; who does not, when its time is over."""
        await self.fleet.tell(setting)
        within = max(self.patience, setting.within)
        missing = await self.fleet.wait(_acked(setting), within=within)
        if not missing and self.acked[0] != setting.epoch:
            self.acked = (setting.epoch, await Now())
        return missing

    async def _too_late(self, setting: Setting, missing: list[Member]) -> str:
        says = (
            f"epoch {setting.epoch} ({setting.stage.value}) is not acknowledged by "
            f"{named(missing)}: a backlog, or a lost answer, holds it back; "
        )
        if setting.left is None or not behind(setting, missing):
            return f"{says}try again"
        back = await self.go_back(setting)
        return f"{says}the group is back in {back.stage.value}, epoch {back.epoch}; try again"


_QUICKER = "another coordinator was quicker: look at the status"


def _acked(setting: Setting) -> Callable[[Member], bool]:
    return lambda member: member.acked >= setting.epoch
