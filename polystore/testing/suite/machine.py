"""Two clients of one driver, in any order, against a small model: a dict is all a driver is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import precondition

from polystore.capabilities import Scope
from polystore.driver import (
    ANYTHING,
    NOTHING,
    Check,
    Committed,
    Condition,
    Consistency,
    Driver,
    OlderThan,
    Refused,
    Rejected,
    Stored,
    Token,
    Unchanged,
    Write,
    Written,
)
from polystore.schema import Collection
from polystore.testing.machines import Broken, TracedMachine, step
from polystore.testing.suite.calls import fresh
from polystore.values import same

SLOTS = ("a-x", "a-y", "b-x")
"""Collection and key of the three records."""

CLIENTS = ("one", "another")
"""What a program calls the two drivers."""

PROGRAM = """\
from polystore.driver import *
from polystore.testing.replay import tried
from polystore.values import same

with tried({!r}) as (one, another, a, b):  # two drivers on one database, two collections
"""


@attrs.frozen(eq=False)
class Named:
    """A token, and what a program calls it."""

    token: Token
    name: str


@attrs.frozen(eq=False)
class State:
    """One state of one record in the model; each is its own.

    Attributes:
        write: what made it.
        ident: what a program calls its write id.
        token: what came with it.
    """

    write: Write
    ident: str
    token: Named


@attrs.frozen
class Part:
    """A write or a check as it is sent, and as a program says it.

    Attributes:
        slot: of the record.
        sent: the write or the check.
        told: the same in a program.
        holds: whether its condition is true of the model.
        ident: what a program calls its write id.
    """

    slot: str
    sent: Write | Check
    told: str
    holds: bool
    ident: str = ""


clients = st.sampled_from([0, 1])
slots = st.sampled_from(SLOTS)
conditions = st.sampled_from(["anything", "nothing", "held", "held", "older-than"])
actions = st.sampled_from(["put", "put-stamped", "tombstone", "delete"])
stamps = st.integers(1, 4)
numbers = st.sampled_from([0, 1, 1.0, None, "", [1]])


def transactional(driver: Driver, things: Collection) -> bool:
    """Whether commits reach over collections."""
    return driver.capabilities(things).transactions.scope is Scope.STORE


class ContractMachine(TracedMachine):
    """DRV-1, DRV-2, DRV-3, CON-1, CON-3, REC-5.

    Args:
        name: of the driver.
        openings: two drivers on one database.
        collections: two collections; each run has keys of its own in them.
        seen: counts how often each kind of outcome came about, over all runs.
        broken: gets a run that breaks a promise.
    """

    def __init__(
        self,
        name: str,
        openings: Sequence[Driver],
        collections: Sequence[Collection],
        seen: Counter[str],
        broken: Broken,
    ) -> None:
        super().__init__((name,), None, PROGRAM.format(name), broken)
        self.seen = seen
        self.transactional = transactional(openings[0], collections[0])
        self.openings = openings
        self.collections = dict(zip("ab", collections, strict=True))
        self.run = fresh()
        self.model: dict[str, State | None] = dict.fromkeys(SLOTS)
        self.held: tuple[dict[str, State], dict[str, State]] = ({}, {})
        self.tokens: dict[str, list[Named]] = {slot: [] for slot in SLOTS}
        self.names = Counter[str]()

    # -- what it says -------------------------------------------------------------------------

    def called(self, kind: str) -> str:
        """A name in the program that nothing else has."""
        self.names[kind] += 1
        return f"{kind}{self.names[kind]}"

    def expect(self, claim: str, *, holds: bool, saw: object) -> None:
        """Say what must be so, and look."""
        self.program.append(f"assert {claim}")
        assert holds, f"not so: {claim}; there is {saw!r}"

    # -- what is sent -------------------------------------------------------------------------

    def where(self, slot: str) -> tuple[Collection, tuple[str]]:
        """The collection and key of a record; keys of each run are its own."""
        collection, _, key = slot.partition("-")
        return self.collections[collection], (self.run + key,)

    def condition(
        self, client: int, slot: str, name: str, stamp: int
    ) -> tuple[Condition, str, bool]:
        """A condition, what a program calls it, and whether it is true of the model."""
        now = self.model[slot]
        if name == "held" and slot in self.held[client]:
            held = self.held[client][slot]
            return Unchanged(held.token.token), f"Unchanged({held.token.name})", held is now
        if name == "older-than":
            older = now is None or now.write.stamp is None or now.write.stamp < stamp
            return OlderThan(stamp), f"OlderThan({stamp})", older
        if name == "anything":
            return ANYTHING, "ANYTHING", True
        return NOTHING, "NOTHING", now is None

    def part(self, client: int, slot: str, action: str, name: str, stamp: int, n: Any) -> Part:
        """A write or a check of a record."""
        collection, key = self.where(slot)
        condition, told, holds = self.condition(client, slot, name, stamp)
        letter, _, short = slot.partition("-")
        place = f"{letter}, ({short!r},)"
        if action == "check":
            if not isinstance(condition, type(NOTHING) | Unchanged):
                condition, told, holds = NOTHING, "NOTHING", self.model[slot] is None
            return Part(slot, Check(collection, key, condition), f"Check({place}, {told})", holds)
        if action == "delete":
            write = Write(collection, key, None, condition)
            return Part(slot, write, f"Write({place}, None, {told})", holds)
        fields = None if action == "tombstone" else {"id": key[0], "n": n}
        mark, ident = None if action == "put" else stamp, self.called("w")
        write = Write(collection, key, fields, condition, fresh(), mark)
        record = None if fields is None else {**fields, "id": short}
        stamped = "" if mark is None else f", {mark}"
        said = f"Write({place}, {record!r}, {told}, {ident!r}{stamped})"
        return Part(slot, write, said, holds, ident)

    # -- what comes back ----------------------------------------------------------------------

    def agree(self, slot: str, record: Stored | None, told: str) -> None:
        """A record that was read, or came with a refusal, is that of the model."""
        now = self.model[slot]
        if now is None:
            self.expect(f"{told} is None", holds=record is None, saw=record)
            return
        self.expect(f"{told} is not None", holds=record is not None, saw=record)
        assert record is not None
        write, short = now.write, slot.partition("-")[2]
        fields = None if write.fields is None else {**write.fields, "id": short}
        known = same(record.fields, write.fields)
        self.expect(f"same({told}.fields, {fields!r})", holds=known, saw=record.fields)
        known = record.stamp == write.stamp
        self.expect(f"{told}.stamp == {write.stamp}", holds=known, saw=record.stamp)
        known = record.write_id == write.write_id
        self.expect(f"{told}.write_id == {now.ident!r}", holds=known, saw=record.write_id)
        known = record.token == now.token.token
        self.expect(f"{told}.token == {now.token.name}", holds=known, saw=record.token)

    def apply(self, client: int, part: Part, token: Named) -> None:
        """A write that was carried out: no state before had its token."""
        write = part.sent
        assert isinstance(write, Write)
        if write.fields is None and write.stamp is None:
            self.expect(f"{token.name} is None", holds=token.token is None, saw=token.token)
            self.model[part.slot] = None
            return
        for earlier in self.tokens[part.slot]:
            other = token.token != earlier.token
            self.expect(f"{token.name} != {earlier.name}", holds=other, saw=token.token)
        state = State(write, part.ident, token)
        self.tokens[part.slot].append(token)
        self.model[part.slot] = state
        self.held[client][part.slot] = state

    def read(self, client: int, slots: Sequence[str]) -> list[tuple[Stored | None, str]]:
        """Read records of one collection strongly; each with what a program calls it."""
        collection = self.where(slots[0])[0]
        keys = [self.where(slot)[1] for slot in slots]
        short = [(slot.partition("-")[2],) for slot in slots]
        name = self.called("found")
        self.program.append(
            f"{name} = {CLIENTS[client]}.read({slots[0][0]}, {short}, Consistency.STRONG).records"
        )
        reply = self.openings[client].read(collection, keys, Consistency.STRONG)
        assert not reply.unprocessed
        return [(record, f"{name}[{i}]") for i, record in enumerate(reply.records)]

    # -- its steps ----------------------------------------------------------------------------

    @step(client=clients, slot=slots)
    def look(self, client: int, slot: str) -> None:
        """Read one record."""
        ((record, told),) = self.read(client, [slot])
        self.agree(slot, record, told)
        now = self.model[slot]
        if now is not None:
            self.held[client][slot] = now

    @step(client=clients)
    def look_at_all(self, client: int) -> None:
        """Read two records with one call."""
        for slot, (record, told) in zip(SLOTS[:2], self.read(client, SLOTS[:2]), strict=True):
            self.agree(slot, record, told)

    @step(client=clients, slot=slots, action=actions, name=conditions, stamp=stamps, n=numbers)
    def write_one(self, client: int, slot: str, action: str, name: str, stamp: int, n: Any) -> None:
        """One write under a condition."""
        part, told = self.part(client, slot, action, name, stamp, n), self.called("done")
        self.program.append(f"{told} = {CLIENTS[client]}.write({part.told})")
        assert isinstance(part.sent, Write)
        outcome = self.openings[client].write(part.sent)
        self.seen[type(outcome).__name__] += 1
        kind = Written if part.holds else Refused
        known = isinstance(outcome, kind)
        self.expect(f"isinstance({told}, {kind.__name__})", holds=known, saw=outcome)
        if isinstance(outcome, Written):
            self.apply(client, part, Named(outcome.token, f"{told}.token"))
        elif outcome.told:
            self.agree(slot, outcome.current, f"{told}.current")

    @precondition(lambda self: self.transactional)
    @step(
        client=clients,
        parts=st.lists(
            st.tuples(slots, actions | st.just("check"), conditions, stamps, numbers),
            min_size=1,
            max_size=3,
            unique_by=lambda part: part[0],
        ),
    )
    def commit(self, client: int, parts: list[tuple[str, str, str, int, Any]]) -> None:
        """Writes and checks as one."""
        sent, told = [self.part(client, *part) for part in parts], self.called("done")
        puts = [part for part in sent if isinstance(part.sent, Write)]
        writes = [part.sent for part in sent if isinstance(part.sent, Write)]
        checks = [part.sent for part in sent if isinstance(part.sent, Check)]
        said = ([p.told for p in sent if isinstance(p.sent, kind)] for kind in (Write, Check))
        listed = ", ".join(f"[{', '.join(some)}]" for some in said)
        self.program.append(f"{told} = {CLIENTS[client]}.commit({listed})")
        outcome = self.openings[client].commit(writes, checks)
        self.seen[type(outcome).__name__] += 1
        kind = Committed if all(part.holds for part in sent) else Rejected
        known = isinstance(outcome, kind)
        self.expect(f"isinstance({told}, {kind.__name__})", holds=known, saw=outcome)
        if isinstance(outcome, Committed):
            for i, (part, token) in enumerate(zip(puts, outcome.tokens, strict=True)):
                self.apply(client, part, Named(token, f"{told}.tokens[{i}]"))

    def rest(self) -> None:
        """All records are those of the model."""
        for slot in SLOTS:
            ((record, told),) = self.read(0, [slot])
            self.agree(slot, record, told)
