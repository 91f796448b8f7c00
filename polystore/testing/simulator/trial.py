"""One run of everything: load, faults, deaths, and an operator who turns stages and dial at random.

At the end all comes to rest, and the promises that only show then are checked (PROTOCOL.md 12).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from polystore.effects import Sleep
from polystore.errors import MigrationError, PolystoreError
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.fleet import Fleet
from polystore.migration.preflight.scan import Scan
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Setting, Stage
from polystore.migration.verify import Verifier
from polystore.migration.walk import Verified
from polystore.testing.simulator.choices import Choices
from polystore.testing.simulator.faults import CALM
from polystore.testing.simulator.fleet import SimulatedFleet, SimulatedMember
from polystore.testing.simulator.happenings import GONE_ON
from polystore.testing.simulator.load import Load
from polystore.testing.simulator.operator import REQUEST, START, Operator
from polystore.testing.simulator.plan import Plan
from polystore.testing.simulator.rest import come_to_rest
from polystore.testing.simulator.scheduler import Task
from polystore.testing.simulator.watch import WAY_BACK, Violation

T = TypeVar("T")
_TRIES = 10

_FINE = 1 << 30
"""Parts of a time in which something happens for sure, but for the choice of 0."""


class Trial:
    """One run.

    Args:
        choices: decide everything; a seed repeats it.
        plan: what it is like.
    """

    def __init__(
        self, choices: Choices, plan: Plan | None = None, *, tracing: bool = False
    ) -> None:
        self.plan = plan or Plan()
        self.choices = choices
        self.fleet = SimulatedFleet(
            choices,
            pair=self.plan.pair,
            times=self.plan.times,
            drift=self.plan.drift,
            tracing=tracing,
        )
        self.load = Load(
            self.fleet,
            owners=self.plan.owners,
            items=choices.pick(self.plan.items),
            think=self.plan.think,
        )
        self._operators: dict[SimulatedMember, Task] = {}
        self._busy: Counter[str] = Counter()
        self._born = 0
        self._chaos = False
        self.did: list[str] = []

    def run(self) -> None:
        """All of it. Raises Violation, or NotLinearizable, with what happened."""
        try:
            self.load.preload()
            early = 1 if self.plan.operations else self.plan.members
            for _ in range(early):
                self._join(clients=1)
            operator = self._join(clients=0)
            self._slowly()
            self._reach(operator, self.choices.pick(self.plan.start))
            self.load.think = self.plan.think
            for member in self.fleet.alive()[:early]:
                self.load.start(member, self.plan.threads - 1)
            for _ in range(early, self.plan.members):
                self._join()
            self._operate(operator)
            for _ in range(1, self.choices.pick(self.plan.operators)):
                self._operate(self._join(clients=0))
            self._rough()
            self.fleet.pass_time(self.plan.seconds)
            self._fill()
            self._calm()
            come_to_rest(self.fleet, self.load)
            self._check_busy()
        finally:
            self.fleet.close()

    @property
    def happened(self) -> Counter[str]:
        """How often each fault and each event was seen (see ``happenings``)."""
        return self.fleet.network.fired + self.fleet.watch.happened

    def _note(self, what: str) -> None:
        self.fleet.watch.happened[what] += 1

    def _fill(self) -> None:
        """Go on until enough has happened, where the plan asks for that."""
        if not self.plan.operations:
            return
        history, happened = self.load.history, self.fleet.watch.happened
        self.fleet.run_until(lambda: len(history) >= self.plan.operations, 60.0, "operations")
        fired = self.fleet.network.fired
        if not fired[GONE_ON]:
            self._hold()
            self.fleet.run_until(lambda: fired[GONE_ON] > 0, 60.0, "a late call")
        if not happened[WAY_BACK]:
            self._calm()
            self._slowly()
            operator = Operator(self.fleet, self.fleet.member("back"))
            for _ in range(_TRIES):
                try:
                    self._turn_back(operator)
                    break
                except MigrationError:  # the operators before are still at their last command
                    self.fleet.pass_time(1.0)

    def _slowly(self) -> None:
        """Where many seeds are to run, clients do little while nothing goes wrong."""
        if self.plan.operations:
            self.load.think = 10 * self.plan.think

    def _check_busy(self) -> None:
        asked = ("crash", WAY_BACK, GONE_ON) if self.plan.operations else ()
        lacks = [what for what in asked if not self.happened[what]]
        assert not lacks, f"a trial without {lacks}"

    def _turn_back(self, operator: Operator) -> None:
        if self.fleet.setting.stage is Stage.SOURCE_ONLY:
            operator.start()
        if self.fleet.setting.moved:
            operator.dial(0.0)
        else:
            operator.back()

    def _reach(self, member: SimulatedMember, stage: Stage) -> None:
        operator = Operator(self.fleet, member)
        if self.plan.operations and stage is Stage.TARGET_ONLY:  # nothing leads back from there
            operator.reach(Stage.DUAL_READ, 50.0)
            operator.dial(0.0)
        operator.reach(stage, self.choices.pick(self.plan.dials))

    # -- the fleet ----------------------------------------------------------------------------

    def _join(self, clients: int | None = None) -> SimulatedMember:
        self._born += 1
        member = self.fleet.member(f"{'op' if clients == 0 else 'p'}{self._born}")
        self.load.start(member, self.plan.threads if clients is None else clients)
        return member

    # -- faults -------------------------------------------------------------------------------

    def _rough(self) -> None:
        self.fleet.network.faults = self.plan.faults
        self._chaos = True
        if self.plan.operations:
            self.fleet.watch.stepped = self._stepped
            for what in (self._crash, self._hold):
                share = self.choices.of(what.__name__).below(_FINE) / _FINE
                if share:
                    self.fleet.scheduler.later((0.05 + 0.55 * share) * self.plan.seconds, what)
        for rate, what in (
            (self.plan.crash, self._crash),
            (self.plan.pause, self._pause),
            (self.plan.outage, self._outage),
        ):
            self._repeat(rate, what)

    def _repeat(self, rate: float, what: Callable[[], None]) -> None:
        """Do something so often in 100 seconds, at random moments."""
        if not rate:
            return

        def happen() -> None:
            if self._chaos:
                what()
                self._repeat(rate, what)

        share = self.choices.of(what.__name__).below(_FINE) / _FINE
        if share:
            self.fleet.scheduler.later((1 - share) * 200 / rate, happen)

    def _stepped(self, setting: Setting) -> None:
        """What is sent while a freeze begins may be late: then it comes after the home moved."""
        if self._chaos and setting.frozen is not None and self.choices.of("holds").below(2):
            self._hold()

    def _hold(self) -> None:
        """The next write of anybody is late."""
        self.fleet.network.hold_next += 1

    def _crash(self) -> None:
        members = self.fleet.alive()
        if not members:
            return
        choices = self.choices.of("crashes")
        member = choices.pick(members)
        self.fleet.crash(member)
        self._note("crash")
        operates = self._operators.pop(member, None) is not None
        back = choices.between(0.1, 5.0)

        def again() -> None:
            self._note("restart")
            if not operates:
                self._join()
            elif self._chaos:
                self._operate(self._join(clients=0))

        self.fleet.scheduler.later(back, again)

    def _pause(self) -> None:
        choices = self.choices.of("pauses")
        for member in self.fleet.alive():
            if choices.below(len(self.fleet.members)) == 1:
                seconds = choices.between(0.2, self.plan.pause_seconds)
                self.fleet.scheduler.pause(member.process, seconds)
                self._note("pause")

    def _outage(self) -> None:
        down = self.fleet.network.down
        choices = self.choices.of("outages")
        side = SOURCE if choices.below(3) == 2 else TARGET
        driver = id(self.fleet.drivers[side])
        self.fleet.scheduler.note(f"the {side} is down")
        down.add(driver)
        self._note(f"outage of the {side}")
        self.fleet.scheduler.later(
            choices.between(0.2, self.plan.outage_seconds), down.discard, driver
        )

    def _calm(self) -> None:
        self._chaos = False
        self.fleet.network.faults = CALM
        self.fleet.network.down.clear()
        self.fleet.scheduler.note("calm")

    # -- the operator -------------------------------------------------------------------------

    def _operate(self, operator: SimulatedMember) -> None:
        task = self.fleet.spawn(operator, self._moves(operator), "operator", vital=True)
        self.load.clients.append(task)
        self._operators[operator] = task
        if len(self._operators) > 1:
            self._note("several operators")

    async def _moves(self, operator: SimulatedMember) -> None:
        coordinator = Coordinator(operator.group, patience=self.plan.patience)
        choices = self.choices.of(f"{operator.name}.moves")
        while self._chaos:
            try:
                await self._move(operator, coordinator, choices)
            except PolystoreError as error:
                text = f"operator: {type(error).__name__}: {error}"
                self.fleet.scheduler.note(text, process=operator.name)
            await Sleep(choices.between(1.0, 0.0))

    async def _move(
        self, operator: SimulatedMember, coordinator: Coordinator, choices: Choices
    ) -> None:
        setting = await operator.group.ledger.setting()
        stage, below = setting.stage, choices.below
        onward = self.plan.onward if self._has_been_back() else 2
        self.did.append(f"{stage.value}:{setting.moved}")
        match stage:
            case Stage.SOURCE_ONLY:
                await coordinator.preflight(REQUEST, Scan(operator.group, page=3, parallel=2))
                await coordinator.start(START)
            case Stage.DUAL_WRITE if below(onward):
                if not self._careless(choices):
                    if below(3) == 2:
                        beside = choices.pick(self.fleet.alive())
                        self.fleet.spawn(beside, self._copy(beside), "copier")
                    await self._copy(operator)
                await coordinator.advance(REQUEST)
            case Stage.DUAL_READ:
                await self._turn(operator, coordinator, choices, setting.moved)
            case Stage.TARGET_ONLY | Stage.CLEAN | Stage.DETACHED:
                if stage is not self.plan.furthest and stage is not Stage.DETACHED:
                    await coordinator.advance(REQUEST)
            case _ if below(onward):
                await coordinator.advance(REQUEST)
            case _:
                await coordinator.back(REQUEST)

    async def _copy(self, member: SimulatedMember) -> None:
        await self._alone("copiers", Copier(member.group, page=3, parallel=2).run())

    async def _turn(
        self, operator: SimulatedMember, coordinator: Coordinator, choices: Choices, moved: int
    ) -> None:
        below = choices.below
        if below(3) == 0:
            await self._verify(operator, choices)
        if moved == 0 and below(4 if self._has_been_back() else 2) == 0:
            await coordinator.back(REQUEST)
        elif moved == BUCKETS and below(4) == 0 and self._may_leave():
            await self._verify(operator, choices)
            await coordinator.advance(REQUEST)
        else:
            if moved == 0:
                await self._verify(operator, choices)
            await coordinator.dial(choices.pick((0, 10, 50, 100, 100)), REQUEST)

    def _may_leave(self) -> bool:
        """Whether an operator may go where nothing leads back from."""
        return self._has_been_back() and self.plan.furthest is not Stage.DUAL_READ

    def _has_been_back(self) -> bool:
        """Whether there was a way back, or the plan asks for none."""
        return not self.plan.operations or self.fleet.watch.happened[WAY_BACK] > 0

    def _careless(self, choices: Choices) -> bool:
        return choices.chance(self.plan.careless)

    async def _verify(self, operator: SimulatedMember, choices: Choices) -> None:
        if self._careless(choices):
            return
        verifier = Verifier(operator.session, Fleet(operator.group))
        for found in (await self._alone("verifiers", verifier.run())).values():
            _no_alarm(found)

    async def _alone(self, what: str, work: Awaitable[T]) -> T:
        """Await something, and note where it was not alone."""
        self._busy[what] += 1
        if self._busy[what] > 1:
            self._note(f"several {what}")
        try:
            return await work
        finally:
            self._busy[what] -= 1


def _no_alarm(found: Verified) -> None:
    if found.discrepancies:
        raise Violation(f"VER-2: a verification alarmed: {found.discrepancies}")
