"""Changing the stage and the dial: what an operator's commands do.

Any process may coordinate; the setting in the control store says where things stand, and each step
can be taken up by another process, or given up while not everybody has acknowledged it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from polystore.effects import Now, Sleep
from polystore.errors import IllegalEdge, MigrationError
from polystore.migration.checks import Check, Gate, Situation, copies_named
from polystore.migration.clean import Swept, give_up, sweep
from polystore.migration.epochs import Epochs
from polystore.migration.fleet import behind
from polystore.migration.forcing import Price, forcing, price_of
from polystore.migration.gates import EVERY_STEP, INTO, ahead, looked_at, passed, turning
from polystore.migration.group import OpenGroup
from polystore.migration.load import Load
from polystore.migration.preflight.checkpoints import run_of
from polystore.migration.preflight.observed import forget
from polystore.migration.preflight.report import Report, report_of, sign_off
from polystore.migration.preflight.scan import Scan
from polystore.migration.preflight.shape import forget_shape
from polystore.migration.recording import Recorded
from polystore.migration.request import NOBODY, Request
from polystore.migration.stages import (
    TARGET,
    Setting,
    Stage,
    after,
    check_target,
    given_up,
    moved_at,
    next_stage,
    previous_stage,
)
from polystore.observe.events import DIAL_CHANGED, STAGE_CHANGED


class Coordinator:
    """Carries out an operator's commands on one group.

    Args:
        group: the open group.
        patience: seconds in which everybody has to acknowledge a step; then it is given up. See
            :class:`Epochs`.
        told: called with each new setting, for people who watch.
    """

    def __init__(
        self,
        group: OpenGroup,
        *,
        patience: float | None = None,
        told: Callable[[Setting], None] = lambda _: None,
    ) -> None:
        self.group = group
        self.epochs = Epochs(group, patience=patience, told=told)
        self.fleet = self.epochs.fleet

    async def start(self, request: Request) -> Setting:
        """Begin a run: source-only, armed, acknowledged by all. Where it has begun, finish that.

        Raises:
            GateClosed: naming each gate that is shut and what to do.
            IllegalEdge: a run is under way, or has ended on the target.
        """
        setting = await self.finish(request)
        if setting.stage is Stage.ARMED:
            await self.fleet.tell(setting, fast=False)
            return setting
        if setting.stage is not Stage.SOURCE_ONLY:
            raise IllegalEdge(f"a run has been started: the stage is {setting.stage.value}")
        return await self._to(Stage.ARMED, request, "start")

    async def advance(self, request: Request) -> Setting:
        """Go to the next stage, if its gates are open.

        Raises:
            GateClosed: naming each gate that is shut and what to do.
            IllegalEdge: there is no next stage, or the dial is in the way.
            MigrationError: members did not acknowledge in time; run the command again.
        """
        setting = await self.group.ledger.setting()
        stage = next_stage(setting.stage)
        return await self._to(stage, request, "advance")

    async def back(self, request: Request) -> Setting:
        """Go to the previous stage; from armed and prepare to source-only, which ends the run."""
        setting = await self.group.ledger.setting()
        new = await self._to(previous_stage(setting.stage), request, "back")
        if new.stage is Stage.ARMED:
            new = await self._to(Stage.SOURCE_ONLY, request, "back")
        return new

    async def dial(self, percent: float, request: Request, batch: int | None = None) -> Setting:
        """Move homes until so many percent of the buckets have theirs on the target.

        Args:
            batch: most buckets that are frozen at a time; ``None``: as usual.

        Raises:
            GateClosed: the first bucket may not move yet.
            IllegalEdge: not in dual-read, or a partial dial without a colocation key.
            InvalidRequest: a batch of no bucket, or one where all have to move at once.
            MigrationError: a freeze was given up; the dial stays where it is.
        """
        goal, width = moved_at(percent), self.group.batch(batch)
        setting = await self.finish(request)
        await self._pass(turning(setting, goal, self.group.config.colocate), setting, request)
        async with self._recorded(setting, f"dial {percent:g}", request):
            while setting.moved != goal:
                await self.fleet.barrier(within=self.epochs.patience)  # finds the dead before
                setting = await self.epochs.turned(setting, goal, width)
        self.group.tell(DIAL_CHANGED, buckets=setting.moved, epoch=setting.epoch)
        await self.fleet.tell(setting, fast=False)
        return setting

    async def price(self, kept: str) -> Price:
        """What it may cost to go on with one side alone; calls neither of the two.

        Raises:
            IllegalEdge: the stage does not use both sides.
        """
        return await price_of(self.group, self.fleet, await self.group.ledger.setting(), kept)

    async def force_home(self, kept: str, request: Request) -> Setting:
        """Go on with one side alone: the other is gone for good, and is not called any more.

        Given again, it finishes what it began.

        Args:
            kept: the side that is left.

        Raises:
            GateClosed: the group's name was not typed, or the side left cannot be a home.
            IllegalEdge: the stage does not use both sides.
            MigrationError: not everybody is shut out and recovered in time; run it again.
            PolystoreError: the side that is left, or the control store, does not answer.
        """
        setting = await self.group.ledger.setting()
        if setting.lost is not None and setting.lost != kept:
            return await self.finish()
        price = await price_of(self.group, self.fleet, setting, kept)
        await self._pass(forcing(kept), setting, request)
        async with self._recorded(setting, f"force-home {kept}", request) as told:
            told.append(price.text())
            new = await self.epochs.forced(setting, kept)
            told.append(f"epoch {new.epoch}")
            self.group.tell(STAGE_CHANGED, stage=new.stage.value, epoch=new.epoch)
        return new

    async def set_load(
        self, change: Callable[[Load], Load], what: str, request: Request
    ) -> Setting:
        """Change rates or policies; every member works by them from its next look on.

        Args:
            change: what the new ones are; called again where somebody else was quicker.
            what: the change in words, for the history.

        Raises:
            InvalidRequest: what ``change`` raises; nothing was changed.
        """
        before = await self.group.ledger.setting()
        change(before.load)  # may it be so at all?
        async with self._recorded(before, what, request):
            setting = await self.group.ledger.change_setting(
                lambda now: attrs.evolve(now, load=change(now.load))
            )
        await self.fleet.tell(setting)
        self.group.heed(setting.load)
        return setting

    async def gates(
        self, request: Request, *, dial: float | None = None, back: bool = False
    ) -> list[Gate]:
        """The gates of the next stage, of a dial of so many percent, or of the way back.

        Changes nothing.

        Raises:
            IllegalEdge: there is no such way from here.
        """
        setting = await self.group.ledger.setting()
        if dial is not None:
            checks = turning(setting, moved_at(dial), self.group.config.colocate)
        else:
            checks = () if back else ahead(setting)
        return await looked_at((*EVERY_STEP, *checks), self._situation(setting, request))

    async def preflight(self, request: Request, scan: Scan | None = None, when: str = "") -> Report:
        """Look at every record of the source; what was found, live writes included.

        Args:
            scan: how; the defaults of :class:`Scan` otherwise.
            when: the time of day, kept with the scan.

        Raises:
            IllegalEdge: the source is not the home of everything any more.
        """
        await (scan or Scan(self.group)).run(request.who, when)
        return await report_of(self.group, await self.group.ledger.setting())

    async def sign_off(self, findings: Sequence[str], request: Request) -> Report:
        """Answer for findings of the preflight, by name; it is recorded.

        Raises:
            InvalidRequest: there is no open finding of this name.
        """
        setting = await self.group.ledger.setting()
        for name in findings:
            await sign_off(self.group, setting, name, request.who, request.why)
        return await report_of(self.group, setting)

    async def forget_observed(self, request: Request) -> None:
        """Forget what live operations showed: the application was mended. It is recorded."""
        setting = await self.group.ledger.setting()
        async with self._recorded(setting, "forget observed", request):
            await forget(self.group.ledger, run_of(setting))
            await forget_shape(self.group.ledger)

    async def swept(self, request: Request, *, copies: bool = False) -> Swept:
        """Remove what a run left: in clean on the target, in source-only what was given up.

        Everybody has acknowledged the stage by then: whoever has not still works with its slots.

        Args:
            copies: in source-only, also remove what ended runs wrote to the target.

        Raises:
            IllegalEdge: the stage is another, or there never was a run.
            MigrationError: the stage is not acknowledged by all.
            GateClosed: copies are to go, and the group's name was not typed.
        """
        setting = await self.finish()
        gone = setting.stage is Stage.SOURCE_ONLY and setting.run > 0
        if setting.stage is not Stage.CLEAN and not gone:
            raise IllegalEdge(
                "cleaning needs the stage clean, or a run that was given up; this is "
                f"{setting.stage.value}, run {setting.run}"
            )
        await self._pass((copies_named,) if copies and gone else (), setting, request)
        async with self._recorded(setting, "sweep", request) as told:
            if gone:
                await self._late_calls_out()
                serving = {member.id for member in await self.fleet.members()}
                found = await give_up(self.group, setting, serving, copies=copies)
            else:
                found = await sweep(self.group, self.group.sides[TARGET].background())
            told.append(found.text())
        return found

    async def finish(self, request: Request = NOBODY) -> Setting:
        """Take up what another coordinator left: give up a freeze, wait for acknowledgements.

        A stage change that does not come in its time is given up, too, where it leads back.

        Raises:
            GateClosed: naming who has not acknowledged, or is closed and not recovered.
        """
        setting = await self.group.ledger.setting()
        if setting.frozen is not None:
            end = self.epochs.go_back if setting.lost is None else self.epochs.released
            setting = await end(setting)
        missing = await self.epochs.missing(setting)
        if missing:
            if setting.left is not None and behind(setting, missing):
                setting = await self.epochs.go_back(setting)
            passed(await looked_at(EVERY_STEP, self._situation(setting, request)), request)
            return await self.epochs.acknowledged(setting)  # in the last moment
        return setting

    async def abort(self, request: Request) -> Setting:
        """Give up the step that is under way: back to where it came from, without waiting.

        Raises:
            IllegalEdge: no step is under way, or nothing leads back from it.
        """
        setting = await self.group.ledger.setting()
        back = given_up(setting)
        if setting.frozen is None and not await self.fleet.behind(setting):
            raise IllegalEdge(
                f"everybody works under epoch {setting.epoch}: no step is under way; go back with "
                "`polystore migrate back`, or dial"
            )
        what = "freeze" if setting.frozen is not None else setting.stage.value
        async with self._recorded(setting, f"abort of {what}", request) as told:
            new = await self.epochs.go_back(setting)
            told.append(f"epoch {new.epoch}")
        if new.epoch != back.epoch:
            raise MigrationError("somebody else was quicker: look at the status")
        return new

    def _recorded(self, setting: Setting, what: str, request: Request) -> Recorded:
        return Recorded(self.group.ledger, setting, what, request)

    # -- the steps ----------------------------------------------------------------------------

    async def _to(self, stage: Stage, request: Request, what: str) -> Setting:
        setting = await self.finish(request)
        check_target(setting, stage)
        await self._pass(INTO.get((setting.stage, stage), ()), setting, request)
        after(setting, stage)  # is there such a way at all?
        if stage is Stage.CLEAN:
            await self._late_calls_out()
        if stage is Stage.DETACHED:
            await self.swept(request)
        async with self._recorded(setting, f"{what} → {stage.value}", request) as told:
            await self.fleet.tell(setting, fast=True)
            new = await self.epochs.changed(setting, stage)
            told.append(f"epoch {new.epoch}")
            self.group.tell(STAGE_CHANGED, stage=new.stage.value, epoch=new.epoch)
        await self.fleet.tell(new, fast=False)
        return new

    async def _late_calls_out(self) -> None:
        """Wait until no late call can land: where tombstones go, no stamp keeps an old record out.

        Since everybody has acknowledged this stage, nobody has sent one. A coordinator that did
        not see that happen knows only that it has (STG-9).
        """
        _, since = self.epochs.acked
        left = since + self.group.config.quarantine - await Now()
        await Sleep(max(left, 0.0))

    async def _pass(self, checks: Sequence[Check], setting: Setting, request: Request) -> None:
        looked = await looked_at(checks, self._situation(setting, request))
        for gate in passed(looked, request):
            what = f"override {gate.name}: {gate.says}"
            await self.group.ledger.record(setting, what, request.who, request.why)

    def _situation(self, setting: Setting, request: Request) -> Situation:
        return Situation(self.group, self.fleet, setting, request)
