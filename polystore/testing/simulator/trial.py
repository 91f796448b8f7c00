"""One run of everything: load, faults, deaths, and an operator who turns stages and dial at random.

At the end all comes to rest, and the promises that only show then are checked (PROTOCOL.md 12).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from polystore.effects import Sleep
from polystore.errors import PolystoreError
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.fleet import Fleet
from polystore.migration.preflight.scan import Scan
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Stage
from polystore.migration.verify import Verified, Verifier
from polystore.testing.simulator.choices import Choices
from polystore.testing.simulator.faults import CALM, ROUGH, Faults
from polystore.testing.simulator.fleet import SimulatedFleet, SimulatedMember, Times
from polystore.testing.simulator.load import Load
from polystore.testing.simulator.operator import REQUEST, Operator
from polystore.testing.simulator.rest import come_to_rest
from polystore.testing.simulator.scheduler import Task
from polystore.testing.simulator.watch import Violation


@attrs.frozen(kw_only=True)
class Plan:
    """What a trial is like.

    Attributes:
        seconds: of load under faults.
        members: processes of the application.
        threads: clients of each.
        start: stages to start from; one of them is drawn.
        furthest: the stage that the operator does not go beyond.
        faults: what goes wrong with calls.
        crash, pause, outage: how often in 100 seconds a process dies, one stands still, and the
            mirror's database is gone.
        pause_seconds, outage_seconds: how long at most.
        drift: how far clocks are off.
        owners: first parts of the keys.
        items: how many records each of them has; one of these numbers is drawn. Few make races,
            many let a difference stay.
        think: most seconds between two operations of a client.
        times: of the group.
        patience: seconds that the operator waits for acknowledgements.
        careless: how often, in %, the operator leaves out what a gate will ask for.
    """

    seconds: float = 25.0
    members: int = 3
    threads: int = 2
    start: tuple[Stage, ...] = (
        Stage.SOURCE_ONLY, Stage.PREPARE, Stage.DUAL_WRITE, Stage.DUAL_READ, Stage.DUAL_READ,
        Stage.TARGET_ONLY,
    )  # fmt: skip
    furthest: Stage = Stage.DETACHED
    faults: Faults = ROUGH
    crash: float = 8.0
    pause: float = 8.0
    outage: float = 3.0
    pause_seconds: float = 5.0
    outage_seconds: float = 4.0
    drift: float = 0.04
    owners: tuple[str, ...] = ("ann", "bob", "cy")
    items: tuple[int, ...] = (2, 8)
    think: float = 0.2
    patience: float = 20.0
    careless: float = 10.0
    times: Times = attrs.field(factory=Times)


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
            choices, times=self.plan.times, drift=self.plan.drift, tracing=tracing
        )
        self.load = Load(
            self.fleet,
            owners=self.plan.owners,
            items=choices.pick(self.plan.items),
            think=self.plan.think,
        )
        self._operator: tuple[SimulatedMember, Task] | None = None
        self._born = 0
        self._chaos = False
        self.did: list[str] = []

    def run(self) -> None:
        """All of it. Raises Violation, or NotLinearizable, with what happened."""
        try:
            self.load.preload()
            for _ in range(self.plan.members):
                self._join()
            operator = self._join(clients=0)
            Operator(self.fleet, operator).reach(self.choices.pick(self.plan.start))
            self._operate(operator)
            self._rough()
            self.fleet.pass_time(self.plan.seconds)
            self._calm()
            come_to_rest(self.fleet, self.load)
        finally:
            self.fleet.close()

    # -- the fleet ----------------------------------------------------------------------------

    def _join(self, clients: int | None = None) -> SimulatedMember:
        self._born += 1
        member = self.fleet.member(f"{'p' if clients is None else 'op'}{self._born}")
        self.load.start(member, self.plan.threads if clients is None else clients)
        return member

    # -- faults -------------------------------------------------------------------------------

    def _rough(self) -> None:
        self.fleet.network.faults = self.plan.faults
        self._chaos = True
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

        self.fleet.scheduler.later(self.choices.between(0, 200 / rate), happen)

    def _crash(self) -> None:
        members = self.fleet.alive()
        if not members:
            return
        member = self.choices.pick(members)
        self.fleet.crash(member)
        operates = self._operator is not None and member is self._operator[0]
        back = self.choices.between(0.1, 5.0)

        def again() -> None:
            if not operates:
                self._join()
            elif self._chaos:
                self._operate(self._join(clients=0))

        self.fleet.scheduler.later(back, again)

    def _pause(self) -> None:
        for member in self.fleet.alive():
            if self.choices.below(len(self.fleet.members)) == 0:
                seconds = self.choices.between(0.2, self.plan.pause_seconds)
                self.fleet.scheduler.pause(member.process, seconds)

    def _outage(self) -> None:
        down = self.fleet.network.down
        side = TARGET if self.choices.below(3) else SOURCE
        driver = id(self.fleet.drivers[side])
        self.fleet.scheduler.note(f"the {side} is down")
        down.add(driver)
        self.fleet.scheduler.later(
            self.choices.between(0.2, self.plan.outage_seconds), down.discard, driver
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
        self._operator = (operator, task)

    async def _moves(self, operator: SimulatedMember) -> None:
        coordinator = Coordinator(operator.group, patience=self.plan.patience)
        while self._chaos:
            try:
                await self._move(operator, coordinator)
            except PolystoreError as error:
                self.fleet.scheduler.note(f"operator: {type(error).__name__}: {error}")
            await Sleep(self.choices.between(0.0, 1.0))

    async def _move(self, operator: SimulatedMember, coordinator: Coordinator) -> None:
        setting = await operator.group.ledger.setting()
        stage, below = setting.stage, self.choices.below
        self.did.append(f"{stage.value}:{setting.moved}")
        match stage:
            case Stage.SOURCE_ONLY:
                await coordinator.preflight(REQUEST, Scan(operator.group, page=3, parallel=2))
                await coordinator.start(REQUEST)
            case Stage.DUAL_WRITE if below(5):
                if not self._careless():
                    await Copier(operator.group, page=3, parallel=2).run()
                await coordinator.advance(REQUEST)
            case Stage.DUAL_READ:
                await self._turn(operator, coordinator, setting.moved)
            case Stage.TARGET_ONLY | Stage.CLEAN | Stage.DETACHED:
                if stage is not self.plan.furthest and stage is not Stage.DETACHED:
                    await coordinator.advance(REQUEST)
            case _ if below(5):
                await coordinator.advance(REQUEST)
            case _:
                await coordinator.back(REQUEST)

    async def _turn(self, operator: SimulatedMember, coordinator: Coordinator, moved: int) -> None:
        below = self.choices.below
        if below(3) == 0:
            await self._verify(operator)
        if moved == 0 and below(4) == 0:
            await coordinator.back(REQUEST)
        elif moved == BUCKETS and below(4) == 0 and self.plan.furthest is not Stage.DUAL_READ:
            await self._verify(operator)
            await coordinator.advance(REQUEST)
        else:
            if moved == 0:
                await self._verify(operator)
            await coordinator.dial(self.choices.pick((0, 10, 50, 100, 100)), REQUEST)

    def _careless(self) -> bool:
        return self.choices.chance(self.plan.careless)

    async def _verify(self, operator: SimulatedMember) -> None:
        if self._careless():
            return
        verifier = Verifier(operator.session, Fleet(operator.group))
        for found in (await verifier.run()).values():
            _no_alarm(found)


def _no_alarm(found: Verified) -> None:
    if found.discrepancies:
        raise Violation(f"VER-2: a verification alarmed: {found.discrepancies}")
