"""The world of a small scope: two processes, one key, a copier, a crash, and who recovers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, TypeAlias

import attrs

from polystore.conditions import If
from polystore.driver import Write
from polystore.effects import Both, Call, Changed, Now, Procedure, Sleep, Uniform, WallClock
from polystore.errors import PolystoreError
from polystore.migration.backfill import Copier
from polystore.migration.fleet import Fleet
from polystore.migration.progress import SegmentProgress
from polystore.migration.recovery import close, recover
from polystore.migration.stages import SOURCE, Setting, Stage
from polystore.records import Increment
from polystore.runner import perform
from polystore.testing.history import Operation, check
from polystore.testing.simulator.choices import Choices
from polystore.testing.simulator.faults import Sent
from polystore.testing.simulator.fleet import ITEMS, SimulatedFleet, SimulatedMember
from polystore.testing.simulator.watch import Violation
from polystore.values import Key

KEY: Key = ("ann", 1)
DAWN = 1_800_000_000_000_000
Touched: TypeAlias = tuple[int, str, Key | None, bool]
"""A database, a collection, a key (``None``: all of them), and whether it may be written."""


@attrs.frozen
class Step:
    """One step: the next call of somebody, or a death.

    Attributes:
        actor: whose.
        crash: empty for a call; ``drop``: dead before the call is sent; ``wire``: dead, and the
            call arrives at some later moment.
    """

    actor: str
    crash: str = ""

    def __str__(self) -> str:
        return f"{self.crash or 'step'} {self.actor}"


class Actor:
    """A procedure that stands before its next call. Its clock moves only while it waits."""

    def __init__(self, name: str, procedure: Procedure[Any], carry: Callable[..., Any]) -> None:
        self.name = name
        self.clock = 0.0
        self.replies = 0
        self.call: Call[Any] | None = None
        self.result: Any = None
        self.error: PolystoreError | None = None
        self._carry = carry
        self._driven = self._drive(procedure)
        self.resume(None, None)

    def resume(self, reply: Any, error: PolystoreError | None) -> None:
        """Go on to the next call that others can notice."""
        self.replies = hash((self.replies, repr(reply), repr(error)))
        try:
            self.call = self._driven.send((reply, error)) if self.call else next(self._driven)
            while self.call.side == "control":  # nobody else in this scope writes what these read
                self.call = self._driven.send(self._carry(self.name, self.call))
        except StopIteration as stop:
            self.call, self.result = None, stop.value
        except PolystoreError as raised:
            self.call, self.error = None, raised

    def _drive(self, procedure: Procedure[Any]) -> Generator[Call[Any], Any, Any]:
        reply: Any = None
        error: PolystoreError | None = None
        while True:
            try:
                effect = procedure.throw(error) if error is not None else procedure.send(reply)
            except StopIteration as stop:
                return stop.value
            reply, error = None, None
            if isinstance(effect, Call):
                reply, error = yield effect
            elif isinstance(effect, Both):  # one after another: the same calls
                reply = []
                for part in effect.procedures:
                    reply.append((yield from self._drive(part)))
            elif isinstance(effect, Now):
                reply = self.clock
            elif isinstance(effect, WallClock):
                reply = DAWN
            elif isinstance(effect, Uniform):
                reply = 0.5
            elif isinstance(effect, Sleep):
                self.clock += max(effect.seconds, 0.0)
            elif isinstance(effect, Changed):
                reply = effect.ready()
                self.clock += 0.0 if reply else max(effect.seconds, 0.0)
                reply = effect.ready()


@attrs.frozen
class Scope:
    """What happens in it.

    Attributes:
        name: for people.
        verbs: what the two processes do with the key: put, insert, delete or add.
        there: whether the record is there from before, without a stamp.
    """

    name: str
    verbs: tuple[str, str]
    there: bool


SCOPES = tuple(
    Scope(f"{one} beside {other}, {'an old record' if there else 'empty'}", (one, other), there)
    for one, other in (("put", "put"), ("put", "delete"), ("insert", "insert"), ("add", "delete"))
    for there in (False, True)
)
"""In dual-write, with a copier under way."""


class World:
    """A scope at its beginning, and as it goes on."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.fleet = SimulatedFleet(
            Choices.replayed({}), pair=("sqlite", "sqlite"), collections=(ITEMS,)
        )
        self.fleet.enter(Setting(run=1, epoch=3, stage=Stage.DUAL_WRITE, copied=3))
        if scope.there:
            self.fleet.plant(SOURCE, Write(ITEMS, KEY, _item(1)))
        self.history: list[Operation] = []
        if scope.there:
            self.history.append(Operation("before", KEY, "put", 1, 0, 0, "done"))
        self.members = {name: self._joined(name) for name in ("p0", "p1")}
        self.rescuer = self._joined("rescuer")
        self.crashed: str | None = None
        self.asked: dict[str, Operation] = {}
        self.actors: dict[str, Actor] = {}
        for (name, member), verb, value in zip(
            self.members.items(), scope.verbs, (1000, 2000), strict=True
        ):
            self._start(name, self._asks(name, member, verb, value))
        copier = Copier(self.rescuer.group, page=2, parallel=1)
        part = SegmentProgress(collection="items", index=0, count=1)
        self._start("copier", copier._segment(self.fleet.setting, ITEMS, part))

    # -- the beginning ------------------------------------------------------------------------

    def _joined(self, name: str) -> SimulatedMember:
        member = SimulatedMember(self.fleet, name)
        self.fleet.members.append(member)
        self.run(name, member.session.join())
        return member

    def _start(self, name: str, procedure: Procedure[Any]) -> None:
        self.actors[name] = Actor(name, procedure, self._carry)

    def run(self, name: str, procedure: Procedure[Any]) -> Any:
        """Run a procedure to its end, with nothing between."""
        actor = Actor(name, procedure, self._carry)
        while actor.call is not None:
            actor.resume(*self._carry(name, actor.call))
        if actor.error is not None:
            raise actor.error
        return actor.result

    async def _asks(self, name: str, member: SimulatedMember, verb: str, value: int) -> Any:
        items = member.operations["items"]
        argument: Any = {"delete": None, "add": 1}.get(verb, value)
        operation = Operation(name, KEY, verb, argument, 1)
        self.asked[name] = operation
        self.history.append(operation)
        if verb == "delete":
            asked: Any = items.delete(KEY, If.any, None)
        elif verb == "add":
            asked = items.update((*KEY, Increment("v")), If.present, None)
        else:
            asked = items.put(_item(value), If.absent if verb == "insert" else If.any, None, None)
        try:
            await asked
        except PolystoreError:
            operation.outcome = "refused"
        else:
            operation.outcome = "done"
        operation.returned = 2

    # -- steps --------------------------------------------------------------------------------

    def steps(self) -> dict[Step, Sequence[Touched]]:
        """What can happen next, and what each touches."""
        found: dict[Step, Sequence[Touched]] = {}
        for name, actor in self.actors.items():
            if actor.call is None:
                continue
            found[Step(name)] = touched(actor.call)
            if self.crashed is None and name in self.members:
                found[Step(name, "drop")] = ()
                found[Step(name, "wire")] = ()
        return found

    def take(self, step: Step) -> None:
        """Let one of them happen."""
        actor = self.actors[step.actor]
        assert actor.call is not None
        if not step.crash:
            actor.resume(*self._carry(step.actor, actor.call))
            return
        del self.actors[step.actor]
        self.crashed = step.actor
        self.fleet.members.remove(self.members[step.actor])
        if step.crash == "wire":
            self._start(f"wire of {step.actor}", _once(actor.call))
        self._start("rescuer", self._recovery(step.actor))

    async def _recovery(self, name: str) -> None:
        group = self.rescuer.group
        incarnation = self.members[name].session.incarnation
        assert incarnation is not None
        (member,) = [m for m in await Fleet(group).members() if m.id == incarnation.id]
        await recover(group, await close(group, member))

    def _carry(self, name: str, call: Call[Any]) -> tuple[Any, PolystoreError | None]:
        try:
            reply = perform(call)
        except PolystoreError as error:
            return None, error
        sent = Sent(name, "", call, 0.0, self.fleet.setting, self.fleet.scheduler.choices)
        self.fleet.watch.applied(sent, call.arguments, reply)
        return reply, None

    def state(self) -> int:
        """What decides everything from here on."""
        rows = [
            (side, name, key, repr(row.fields), row.stamp, row.write_id)
            for side, driver in self.fleet.drivers.items()
            for name, table in driver.native().items()
            for key, row in sorted(table.rows.items(), key=repr)
        ]
        actors = [(name, actor.replies) for name, actor in sorted(self.actors.items())]
        past = repr(self.fleet.watch.homes)  # what comes is judged by it
        return hash((tuple(rows), tuple(actors), self.crashed, past))

    # -- the end ------------------------------------------------------------------------------

    def judge(self) -> None:
        """P7 and P1, when everything has come to its end. Raises Violation, NotLinearizable."""
        for name, member in self.members.items():
            incarnation = member.session.incarnation
            if name == self.crashed:
                continue
            if incarnation is None:
                raise Violation(f"RCV-6: {name} was shut out, and nobody had taken it for dead")
            self.run(name, member.session.upkeep.settled(incarnation))
        if found := self.fleet.differences():
            raise Violation(f"P7: {found}")
        stored = self.fleet.contents(SOURCE, "items").get(KEY)
        value = None if stored is None or stored.fields is None else stored.fields["v"]
        check([*self.history, Operation("end", KEY, "get", None, 3, 4, value)])

    def close(self) -> None:
        """End what is left."""
        self.fleet.close()


async def _once(call: Call[Any]) -> None:
    try:
        await call
    except PolystoreError:
        return


def touched(call: Call[Any]) -> Sequence[Touched]:
    """What a call reads or may write."""
    arguments = call.arguments
    place = id(call.driver)
    if call.method.__name__ == "read":
        return [(place, arguments[0].name, key, False) for key in arguments[1]]
    if call.method.__name__ in ("scan", "query"):
        return [(place, arguments[0].name, None, False)]
    first = arguments[0]
    writes: Iterable[Write] = first if isinstance(first, list | tuple) else [first]
    found = [(place, w.collection.name, w.key, True) for w in writes]
    checks = arguments[1] if call.method.__name__ == "commit" else ()
    return [*found, *((place, c.collection.name, c.key, False) for c in checks)]


def _item(value: int) -> dict[str, Any]:
    return {"owner": KEY[0], "item": KEY[1], "v": value, "state": "open", "rank": 1}
