"""Two clients, an operator and a copier between two databases, in any order: a state machine.

It is shaped: few keys, records from before, a drawn place to start at, a copy that is one rule with
what comes between its calls, and stages that go both ways. What clients were answered is judged by
the history of each key, and the databases by the simulator's watch and at rest.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import strategies as st

from polystore.driver import Write
from polystore.errors import MigrationError
from polystore.migration.backfill import Copier
from polystore.migration.stages import SOURCE, TARGET, Stage, bucket_of
from polystore.records import Version
from polystore.testing.history import Operation
from polystore.testing.machines import Broken, TracedMachine, first_step, step
from polystore.testing.pairs import WAY, Pair, Stand
from polystore.testing.simulator.faults import Fate, Sent, held, lost, unanswered
from polystore.testing.simulator.fleet import ITEMS
from polystore.testing.simulator.load import Load
from polystore.testing.simulator.rest import come_to_rest
from polystore.testing.suite.pairs.records import item
from polystore.testing.traces import Step
from polystore.values import Key

ENTRIES = (
    "dual-write before the copy", "dual-write", "dual-read at 0", "dual-read at 40",
    "dual-read at 100", "prepare", "armed",
)  # fmt: skip
OWNERS = ("ann", "bob")
KEYS: dict[str, Key] = {f"{owner}-{n}": (owner, n) for owner in OWNERS for n in (1, 2)}
LOSSES = {"lost": lost, "unanswered": unanswered, "held": lambda sent: held(sent, 2.0)}

clients = st.sampled_from([0, 1])
keys = st.sampled_from([*KEYS])
acts = st.integers(0, 13)
between = st.lists(st.tuples(st.integers(0, 6), clients, keys, acts), min_size=1, max_size=4)


PROGRAM = """\
from polystore.testing.replay import migrated

with migrated({!r}, {!r}, {!r}) as run:
"""


class PairMachine(TracedMachine):
    """STG-4, WR-9, MIR-3, MIR-6, BF-2, DIA-5: one store, wherever its records lie.

    Args:
        pair: the databases.
        name: the place where it begins.
        fired: counts what came about, over all runs.
        broken: gets a run that breaks a promise.
    """

    def __init__(self, pair: Pair, name: str, fired: Counter[str], broken: Broken) -> None:
        super().__init__(pair.names, name, PROGRAM.format(*pair.names, name), broken)
        self.pair = pair
        self.name = name
        self.fired = fired
        self.stand: Stand | None = None
        self.seen: list[dict[Key, tuple[Any, Version]]] = [{}, {}]
        self.born = 1
        self._said = 0

    def took(self, step: Step) -> None:
        """Its line in the program, and beneath it what clients asked for and were answered."""
        self.program.append(f"run.{step}")
        if self.stand is not None:
            self.program += [f"# {operation_told(one)}" for one in self._new()]

    def _new(self) -> list[Operation]:
        asked = self.load.history[self._said :]
        self._said = len(self.load.history)
        return asked

    @first_step(there=st.lists(keys, min_size=2, unique=True))
    def begin(self, there: list[str]) -> None:
        """Start at the place, with records from before."""
        self.stand = Stand(self.pair, WAY[self.name].entry)
        self.fleet = self.stand.fleet
        self.load = Load(self.fleet, owners=OWNERS)
        for key in there:
            self._preload(KEYS[key])
        WAY[self.name].ready(self.stand)

    def _preload(self, key: Key) -> None:
        """A record that no run has written, on the other side as a copy would have left it."""
        setting, value = self.fleet.setting, self.load.value()
        fields = item(key, v=value, state="open")
        sides = [SOURCE, TARGET] if setting.stage is Stage.DUAL_READ else [SOURCE]
        if setting.home(bucket_of(key, 1)) == TARGET:
            sides.reverse()  # the home first: the other side never has what it has not
        for side in sides:
            stamp = setting.floor() if side == TARGET else None
            self.fleet.plant(side, Write(ITEMS, key, fields, stamp=stamp))
        self.load.journal.before(key, value)

    # -- clients ------------------------------------------------------------------------------

    @step(client=clients, key=keys, act=acts)
    def asks(self, client: int, key: str, act: int) -> None:
        """One operation on one record."""
        self._ask(client, KEYS[key], act)

    def _ask(self, client: int, key: Key, act: int) -> None:
        assert self.stand is not None
        single = self.load.single(self.stand.clients[client], key, act, self.seen[client])
        self.stand.run(client, single)

    @step(owner=st.sampled_from(OWNERS), acts=st.tuples(acts, acts), key=keys)
    def both_ask(self, owner: str, acts: tuple[int, int], key: str) -> None:
        """Two operations at once, and a transaction beside them."""
        assert self.stand is not None
        tasks = [
            self.fleet.spawn(member, self.load.single(member, KEYS[key], act, {}), "at once")
            for member, act in zip(self.stand.clients, acts, strict=True)
        ]
        tasks.append(
            self.fleet.spawn(member := self.stand.clients[0], self.load.move(member, owner), "move")
        )
        for task in tasks:
            self.fleet.finish(task)

    @step(client=clients, owner=st.sampled_from(OWNERS))
    def looks(self, client: int, owner: str) -> None:
        """A query of an owner, and a transaction that only reads."""
        assert self.stand is not None
        member = self.stand.clients[client]
        self.stand.run(client, self.load.query(member, owner))
        self.stand.run(client, self.load.both(member, owner))

    @step(client=clients, key=keys, act=st.integers(4, 13), how=st.sampled_from([*LOSSES]))
    def asks_in_vain(self, client: int, key: str, act: int, how: str) -> None:
        """The first call of an operation that writes has no answer."""
        assert self.stand is not None
        member = self.stand.clients[client]
        met: list[Sent] = []

        def strikes(sent: Sent) -> Fate | None:
            if met or not sent.writes or sent.process != member.name or sent.task != "task":
                return None
            met.append(sent)
            return LOSSES[how](sent)

        self.fleet.network.rules.append(strikes)
        self._ask(client, KEYS[key], act)
        self.fleet.network.rules.remove(strikes)
        self.fired["no answer"] += len(met)

    @step(client=clients, key=keys, act=st.integers(4, 13), point=st.integers(0, 3))
    def dies(self, client: int, key: str, act: int, point: int) -> None:
        """A process is killed at some call of what it does; another takes its place."""
        assert self.stand is not None
        member, calls = self.stand.clients[client], Counter[str]()

        def kills(sent: Sent) -> Fate | None:
            if sent.process != member.name or sent.task != "dying":
                return None
            calls["all"] += 1
            if calls["all"] != point + 1:
                return None
            self.fleet.crash(member)
            return Fate(apply=0.3)

        self.fleet.network.rules.append(kills)
        single = self.load.single(member, KEYS[key], act, self.seen[client])
        task = self.fleet.spawn(member, single, "dying")
        self.fleet.run_until(lambda: task.done or not member.process.alive, 60.0, "its end")
        self.fleet.network.rules.remove(kills)
        if member.process.alive:
            return
        self.born += 1
        self.seen[client] = {}
        self.stand.clients[client] = self.fleet.member(f"c{self.born}")
        self.fired["crash"] += 1

    @step(seconds=st.sampled_from([0.3, 3.0]))
    def waits(self, seconds: float) -> None:
        """Time passes."""
        self.fleet.pass_time(seconds)

    # -- the migration ------------------------------------------------------------------------

    @step()
    def forwards(self) -> None:
        """The next stage, up to where nothing leads back from, and what its gate wants."""
        self._turned("forwards", self._forwards)

    def _forwards(self) -> None:
        assert self.stand is not None
        operator, stage = self.stand.operator, self.stand.stage
        if stage is Stage.DUAL_READ:
            operator.dial(100.0 if self.fleet.setting.moved < 256 else 40.0)
        elif stage is Stage.SOURCE_ONLY:
            for name in self.fleet.collections:
                self.fleet.empty(TARGET, name)
            operator.start()
        else:
            if stage is Stage.DUAL_WRITE:
                operator.copy()
            operator.advance()
            if self.stand.stage is Stage.DUAL_READ:
                operator.verify()

    @step()
    def backwards(self) -> None:
        """The stage before, or the dial towards the source."""
        assert self.stand is not None
        operator, setting = self.stand.operator, self.fleet.setting
        if setting.stage is not Stage.SOURCE_ONLY:
            turn = (lambda: operator.dial(0.0)) if setting.moved else operator.back
            self._turned("backwards", turn)

    def _turned(self, what: str, turn: Any) -> None:
        try:
            turn()
        except MigrationError:  # who died has not been recovered yet
            self.fired[f"{what} in vain"] += 1
        else:
            self.fired[what] += 1
            self.fired[f"in {self.fleet.setting.stage.value}"] += 1

    @step(between=between, early=st.booleans())
    def copies(self, between: list[tuple[int, int, str, int]], early: bool) -> None:
        """A copy, and operations while some of its calls are on their way."""
        assert self.stand is not None
        if self.stand.stage is not Stage.DUAL_WRITE:
            return
        copier = self.fleet.member(f"copier{self.born}")
        self.born += 1
        due: list[int] = []
        calls = Counter[str]()

        def slow(sent: Sent) -> Fate | None:
            if sent.process != copier.name or not sent.task.startswith("copy"):
                return None
            if sent.call.side == "control":
                return None
            calls["all"] += 1
            now = [n for n, at in enumerate(between) if at[0] == calls["all"]]
            due.extend(now)
            return (Fate(apply=0.001, answer=1.0) if early else Fate(apply=1.0)) if now else None

        self.fleet.network.rules.append(slow)
        task = self.fleet.spawn(copier, Copier(copier.group, page=1, parallel=1).run(), "copy")
        while not task.done:
            self.fleet.run_until(lambda: task.done or bool(due), 60.0, "the copy")
            self.fleet.pass_time(0.01)
            while due:
                _, client, key, act = between[due.pop()]
                self._ask(client, KEYS[key], act)
                self.fired["copy beside a write"] += 1
        self.fleet.network.rules.remove(slow)
        if task.error is not None and not isinstance(task.error, MigrationError):
            raise task.error

    # -- the end ------------------------------------------------------------------------------

    def rest(self) -> None:
        """All comes to rest: sides equal, histories explained."""
        if self.stand is not None:
            self.program.append("# then all comes to rest, and is judged")
            come_to_rest(self.fleet, self.load)

    def leave(self) -> None:
        stand, self.stand = self.stand, None
        if stand is not None:
            stand.close()


def operation_told(operation: Operation) -> str:
    """An operation in the words of the public API, and its answer."""
    called = _call(operation.verb, operation.cell, operation.argument)
    answer = "no answer" if operation.open else repr(operation.outcome)
    return f"{operation.process}: {called}: {answer}"


def _call(verb: str, cell: Any, argument: Any) -> str:
    if cell[0] == "pair":
        return (
            f"store.transaction({verb} of {cell[1]}{'' if argument is None else f', {argument}'})"
        )
    owner, number = cell
    new = argument[1] if verb == "replace" else argument
    key, record = f"{owner!r}, {number}", f'{{"owner": {owner!r}, "item": {number}, "v": {new}}}'
    return {
        "get": f"items.get({key})",
        "put": f"items.put({record})",
        "insert": f"items.insert({record})",
        "replace": f"items.put({record}, If.version(…))",
        "add": f'items.update({key}, Increment("v"))',
        "delete": f"items.delete({key})",
        "remove": f"items.delete({key}, when=If.version(…))",
    }[verb]
