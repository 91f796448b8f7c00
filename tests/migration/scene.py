"""A simulated fleet with clients and an operator: what the tests of this folder play."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from polystore.driver import OlderThan, Segment, Stored
from polystore.migration.ledger import CONTROL, SLOTS
from polystore.migration.member import Incarnation
from polystore.migration.stages import SOURCE, Setting, Stage, after
from polystore.schema import Collection
from polystore.testing.history import Operation
from polystore.testing.simulator import (
    CALM,
    ITEMS,
    TOTALS,
    Choices,
    Fate,
    Faults,
    Load,
    Operator,
    Sent,
    SimulatedFleet,
    SimulatedMember,
    Times,
    come_to_rest,
)
from polystore.testing.simulator.faults import lost
from polystore.testing.simulator.network import Rule
from polystore.values import Key


class Scene:
    """A fleet, brought to a stage while all was calm.

    Args:
        seed: of the run.
        stage, dial: where it begins.
        members: processes of the application.
        clients: threads of each that work from the beginning of the scene.
        faults: of the network, from the beginning of the scene.
        pair: what source and target imitate.
        collections: what the group holds.
    """

    def __init__(
        self,
        stage: Stage = Stage.SOURCE_ONLY,
        dial: float = 0.0,
        *,
        seed: int = 1,
        members: int = 3,
        clients: int = 0,
        faults: Faults = CALM,
        items: int = 3,
        colocate: int | None = 1,
        times: Times | None = None,
        width: int = 64,
        tracing: bool = False,
        preload: bool = True,
        pair: tuple[str, str] = ("memory", "memory"),
        collections: tuple[Collection, ...] = (ITEMS, TOTALS),
    ) -> None:
        self.fleet = SimulatedFleet(
            Choices.seeded(seed),
            pair=pair,
            collections=collections,
            colocate=colocate,
            times=times,
            width=width,
            tracing=tracing,
        )
        self.load = Load(self.fleet, items=items)
        if preload:
            self.load.preload()
        self.members = [self.fleet.member(f"p{i}") for i in range(members)]
        self.operator = Operator(self.fleet)
        self.operator.reach(stage, dial)
        self.fleet.pass_time(2.0)  # everybody polls slowly again, nothing is on its way
        self.fleet.network.faults = faults
        for member in self.members:
            self.load.start(member, clients)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.fleet.close()

    def incarnation(self, number: int) -> Incarnation:
        """A member of the application, as it is now in the fleet."""
        incarnation = self.members[number].session.incarnation
        assert incarnation is not None
        return incarnation

    def at(self, number: int) -> Setting:
        """What a member of the application works under."""
        return self.incarnation(number).setting

    def name(self, number: int) -> str:
        """Id of a member's incarnation."""
        return self.incarnation(number).id

    # -- operations ---------------------------------------------------------------------------

    def put(self, member: SimulatedMember, key: Key) -> Operation:
        """Write a record, and wait for the end of that."""
        return self.fleet.do(member, self.load.put(member, key))

    def delete(self, member: SimulatedMember, key: Key) -> Operation:
        """Delete a record, and wait for the end of that."""
        return self.fleet.do(member, self.load.delete(member, key))

    def get(self, member: SimulatedMember, key: Key) -> Any:
        """Read a record, and wait for the end of that."""
        return self.fleet.do(member, self.load.get(member, key))

    def announce(self, stage: Stage) -> Setting:
        """Change the stage and wait for nobody, as a coordinator that dies then."""
        member, epochs = self.operator.member, self.operator.coordinator.epochs
        return self.fleet.do(
            member, epochs.advanced(self.fleet.setting, lambda now: after(now, stage))
        )

    def rule(self, rule: Rule) -> Rule:
        """Let something decide what becomes of calls."""
        self.fleet.network.rules.append(rule)
        return rule

    def once(self, rule: Rule) -> list[Sent]:
        """The same for one call only; that call, once it was met."""
        met: list[Sent] = []

        def first(sent: Sent) -> Fate | None:
            fate = None if met else rule(sent)
            if fate is not None:
                met.append(sent)
            return fate

        self.rule(first)
        return met

    def rest(self, *, alarms: bool = False) -> None:
        """Come to rest, and check everything."""
        come_to_rest(self.fleet, self.load, alarms=alarms)

    def no_failures(self) -> None:
        """Nothing that the application asked for has failed (STG-3)."""
        assert [(str(o), repr(e)) for o, e in self.load.failed] == []

    def slots(self, side: str = SOURCE) -> dict[Key, Stored]:
        """The slots of everybody on one side."""
        page = self.fleet.drivers[side].scan(SLOTS, Segment(), None, 1_000_000)
        return {stored.key: stored for stored in page.records}

    def stamp(self, side: str, key: Key, collection: str = "items") -> int | None:
        """Counter of the stamp of a record on one side."""
        stored = self.fleet.contents(side, collection).get(key)
        return None if stored is None or stored.stamp is None else stored.stamp % (1 << 40)


def commits(sent: Sent, key: Key | None = None) -> bool:
    """Whether a call is a home commit (of this key)."""
    return sent.fenced and (key is None or any(w.key == key for w in sent.call.arguments[0]))


def mirrors(sent: Sent) -> bool:
    """Whether a call brings something to a mirror."""
    if sent.method not in ("write", "write_many"):
        return False
    first = sent.call.arguments[0]
    return any(
        isinstance(w.condition, OlderThan) for w in (first if isinstance(first, list) else [first])
    )


def controls(sent: Sent) -> bool:
    """Whether a call concerns the control store."""
    return sent.call.side == "control"


def acknowledges(sent: Sent, process: str, epoch: int) -> bool:
    """Whether a call is a member's word that it works under an epoch."""
    if sent.process != process or sent.method != "write":
        return False
    (write,) = sent.call.arguments
    fields = write.fields or {}
    return write.collection is CONTROL and fields.get("acked") == epoch and "host" in fields


def slot_write(sent: Sent) -> bool:
    """Whether a call writes a slot alone: a bump, a close, a new one."""
    return sent.method == "write" and sent.call.arguments[0].collection is SLOTS


def deaf(scene: Scene, name: str) -> None:
    """A member that lives and beats, and never looks for news."""
    scene.rule(
        lambda s: (
            lost(s, 0.2)
            if s.process == name and s.task == "session" and s.method == "read"
            else None
        )
    )
