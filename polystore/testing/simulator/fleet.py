"""A fleet in one place: two databases in memory, and processes that run the real procedures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from polystore.config import Group
from polystore.driver import Segment, Stored, Write
from polystore.driver.side import declared
from polystore.drivers.memory.driver import Space
from polystore.effects import Procedure, Signal
from polystore.identity import WriteIds
from polystore.migration.group import OpenGroup
from polystore.migration.keeper import Keeper
from polystore.migration.ledger import CONTROL, SLOTS
from polystore.migration.route import MigratingRoute
from polystore.migration.session import Session
from polystore.migration.stages import SOURCE, TARGET, Setting
from polystore.operations import Access, Operations
from polystore.schema import Collection
from polystore.testing.simulator.choices import Choices
from polystore.testing.simulator.database import Database
from polystore.testing.simulator.faults import CALM, Faults
from polystore.testing.simulator.imitation import Imitation
from polystore.testing.simulator.network import Network
from polystore.testing.simulator.scheduler import Process, Scheduler, Task
from polystore.testing.simulator.watch import State, Violation, Watch, difference
from polystore.values import Key

T = TypeVar("T")

ITEMS = Collection("items", ["owner:str", "item:int"], indexes={"by_state": ["state", "rank"]})
"""Records that are written one by one; the first key field decides the bucket."""

TOTALS = Collection("totals", ["owner:str"])
"""Records that transactions write together with an item of the same owner."""


@attrs.frozen(kw_only=True)
class Times:
    """The times of the simulated group, in seconds; see ``polystore.config.Group``."""

    lease: float = 2.0
    poll: float = 0.5
    fast_poll: float = 0.05
    quarantine: float = 8.0
    call_timeout: float = 1.0
    operation: float = 10.0


class SimulatedGroup(OpenGroup):
    """A group whose dial moves in fewer, larger steps, for shorter runs."""

    width = 64

    @property
    def step(self) -> int:
        """Most buckets that freeze at a time."""
        return max(super().step, self.width)


class SimulatedMember:
    """One process of the application: its session, keeper and route, and its collections.

    Attributes:
        operations: the verbs of each collection.
    """

    def __init__(self, fleet: SimulatedFleet, name: str) -> None:
        scheduler = fleet.scheduler
        self.name = name
        off = scheduler.choices.of(name).between(-fleet.drift, fleet.drift)
        self.process = Process(name, 1 + off)
        self.group = fleet.opened(name, self.process.signal)
        incarnations = iter(range(1, 1_000_000))
        self.session = Session(
            self.group,
            self.process.signal,
            lambda: f"{name}.{next(incarnations)}",
            {"host": name, "pid": 1, "version": "simulated"},
        )
        self.keeper = Keeper(self.session)
        self.route = MigratingRoute(self.session, self.keeper.suspect)
        self.operations = {
            collection: Operations(self.access(collection), fleet.times.operation)
            for collection in self.group.collections
        }
        self.background: list[Task] = []

    def access(self, collection: str) -> Access:
        """The way to a collection, as a store has it."""
        bounds = self.group.bounds[collection]

        def bound() -> Any:
            setting = self.session.latch.setting
            return bounds.source if setting is None else bounds.during(setting.stage)

        return Access(
            self.group.collections[collection], self.group.config.name, self.route, bound, _nothing
        )


def _never() -> bool:
    return False


def _nothing() -> None:
    return None


class SimulatedFleet:
    """Everything of one simulated run.

    Args:
        choices: decide it.
        pair: names of the databases that source and target imitate.
        databases: what source and target are instead, by side: real ones, through whatever counts
            their changes.
        name: of the group.
        faults: what goes wrong by chance.
        collections: what the group holds.
        colocate: how many leading key fields decide the bucket.
        width: most buckets of one dial step.
        drift: how much clocks may be fast or slow: 0.1 is 10 %.
        tracing: whether to keep a line for each event.
    """

    def __init__(
        self,
        choices: Choices,
        *,
        pair: tuple[str, str] = ("memory", "memory"),
        databases: Mapping[str, Database] | None = None,
        name: str = "shop",
        faults: Faults = CALM,
        collections: tuple[Collection, ...] = (ITEMS, TOTALS),
        colocate: int | None = 1,
        times: Times | None = None,
        width: int = 64,
        drift: float = 0.0,
        tracing: bool = False,
    ) -> None:
        self.times = times or Times()
        self.width = width
        self.drift = drift
        self.drivers: Mapping[str, Database] = databases or {
            side: Imitation(Space(), imitated)
            for side, imitated in zip((SOURCE, TARGET), pair, strict=True)
        }
        self.collections = {collection.name: collection for collection in collections}
        for driver in self.drivers.values():
            for collection in (*collections, SLOTS):
                driver.create(collection)
        self.drivers[SOURCE].create(CONTROL)
        self.config = Group(
            name=name,
            source="memory://source",
            target="memory://target",
            collections=tuple(self.collections),
            colocate=colocate,
            lease=self.times.lease,
            poll=self.times.poll,
            fast_poll=self.times.fast_poll,
            quarantine=self.times.quarantine,
            call_timeout=self.times.call_timeout,
        )
        self.watch = Watch(colocate, {id(d): name for name, d in self.drivers.items()})
        self.watch.alive = self._serves
        self.watch.noted = self._noted
        self.network = Network(
            faults,
            self.watch.applied,
            self.times.lease,
            lambda: self.watch.setting,
            {id(d): d for d in self.drivers.values()},
        )
        self.scheduler = Scheduler(choices, self.network.deliver, tracing=tracing)
        self.network.scheduler = self.scheduler
        self.members: list[SimulatedMember] = []
        self._names: dict[str, int] = {}

    # -- processes ----------------------------------------------------------------------------

    def opened(self, name: str, signal: Signal) -> OpenGroup:
        """The group as one process has it open."""
        count = self._names[name] = self._names.get(name, 0) + 1
        group = SimulatedGroup(
            self.config,
            self.collections,
            self.drivers[SOURCE],
            self.drivers[TARGET],
            self.drivers[SOURCE],
            WriteIds(f"{name}-{count}"),
            declared,
            signal,
        )
        group.width = self.width
        return group

    def member(self, name: str) -> SimulatedMember:
        """Start a process that takes part."""
        member = SimulatedMember(self, name)
        self.members.append(member)
        member.background = [
            self.spawn(member, member.session.run(), "session", vital=True),
            self.spawn(member, member.session.beat(), "beat", vital=True),
            self.spawn(member, member.keeper.run(), "keeper", vital=True),
        ]
        return member

    def spawn(
        self, member: SimulatedMember, procedure: Procedure[Any], name: str, *, vital: bool = False
    ) -> Task:
        """Let a member run a procedure. What a vital one raises ends the simulation."""
        return self.scheduler.spawn(member.process, procedure, name, vital=vital)

    def crash(self, member: SimulatedMember) -> None:
        """Kill a process: it never says goodbye."""
        self.scheduler.crash(member.process)
        self.members.remove(member)

    def alive(self) -> list[SimulatedMember]:
        """The members whose process runs."""
        return [m for m in self.members if m.process.alive]

    def _serves(self, incarnation: str) -> bool:
        """Whether a process that runs takes itself for this incarnation."""
        serving = (m.session.incarnation for m in self.alive())
        return any(one is not None and one.id == incarnation for one in serving)

    def _noted(self, text: str, incarnation: str) -> None:
        self.scheduler.note(text, process=incarnation.rpartition(".")[0])

    # -- running ------------------------------------------------------------------------------

    def finish(self, task: Task, limit: float = 120.0) -> Any:
        """Carry on until a task has ended; its result. What it raised is raised."""
        self.run_until(lambda: task.done, limit, f"{task!r} to end")
        if task.error is not None:
            raise task.error
        return task.result

    def do(self, member: SimulatedMember, procedure: Procedure[T], limit: float = 120.0) -> T:
        """Let a member run a procedure to its end, while everything else goes on."""
        result: T = self.finish(self.spawn(member, procedure, "task"), limit)
        return result

    def run_until(self, condition: Callable[[], bool], limit: float, what: str) -> None:
        """Carry on until something is so. Raises Violation where it takes over ``limit`` s."""
        if not self.scheduler.run(condition, limit):
            raise Violation(f"waited {limit:g} s in vain for {what}")

    def pass_time(self, seconds: float) -> None:
        """Carry on for so long."""
        self.scheduler.run(_never, seconds)

    def close(self) -> None:
        """End everything."""
        self.scheduler.close()

    def enter(self, setting: Setting) -> None:
        """Begin in the middle of a migration, before anybody has joined."""
        assert not self.members
        name = self.config.name
        fields = {**setting.to_fields(), "group": name, "item": "control"}
        self.drivers[SOURCE].write(Write(CONTROL, (name, "control"), fields))
        self.watch.setting = setting

    # -- looking ------------------------------------------------------------------------------

    @property
    def setting(self) -> Setting:
        """The setting in the control store."""
        return self.watch.setting

    def plant(self, side: str, write: Write) -> None:
        """Write to one side past the library, as somebody else may; or make a difference."""
        self.drivers[side].write(write)
        gone = write.fields is None and write.stamp is None
        state = None if gone else State(write.stamp, write.fields, write.expires)
        self.watch.foreign(side, write.collection.name, write.key, state)

    def empty(self, side: str, collection: str) -> None:
        """Remove all records of a collection on one side, as a person may before a new run."""
        for key in self.contents(side, collection):
            self.plant(side, Write(self.collections[collection], key, None))

    def contents(self, side: str, collection: str) -> dict[Key, Stored]:
        """All records of one side, tombstones included."""
        found: dict[Key, Stored] = {}
        cursor: str | None = None
        while True:
            page = self.drivers[side].scan(self.collections[collection], Segment(), cursor, 1000)
            found |= {stored.key: stored for stored in page.records}
            cursor = page.cursor
            if cursor is None:
                return found

    def shown(self, side: str) -> Mapping[tuple[str, Key], dict[str, Any]]:
        """What an application would see on one side alone."""
        return {
            (name, key): dict(stored.fields)
            for name in self.collections
            for key, stored in self.contents(side, name).items()
            if stored.fields is not None
        }

    def settled(self) -> bool:
        """Whether all have acknowledged everything and owe nothing, and the dead are recovered."""
        running = {m.session.incarnation.id for m in self.alive() if m.session.incarnation}
        unburied = self.setting.stage.mirrored and self.watch.present() - running
        return (
            self.watch.all_acked()
            and not unburied
            and all(
                member.session.incarnation is not None
                and not member.session.incarnation.owes
                and member.session.latch.idle((0, 256))
                for member in self.alive()
            )
        )

    def differences(self) -> list[str]:
        """Where the two sides differ."""
        found = []
        for name in self.collections:
            source, target = self.contents(SOURCE, name), self.contents(TARGET, name)
            for key in sorted({*source, *target}, key=repr):
                what = difference(self.setting, source.get(key), target.get(key))
                if what is not None:
                    found.append(f"{name} {key}: {what}")
        return found
