"""Two clients against one small model: no update is lost, whatever they do in whichever order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

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
    Stored,
    Token,
    Unchanged,
    Write,
    Written,
)
from polystore.schema import Collection
from polystore.testing.suite.calls import Make, delete, found, fresh, put, tombstone
from polystore.values import Fields, same

SLOTS = ("a-x", "a-y", "b-x")
"""Collection and key of the three records."""


@attrs.frozen(eq=False)
class State:
    """One state of one record in the model; each is its own."""

    fields: Fields | None
    stamp: int | None
    write_id: str | None


@attrs.frozen
class Held:
    """What a client remembers of a record: a token, and the state that it came with."""

    token: Token
    state: State


clients = st.sampled_from([0, 1])
slots = st.sampled_from(SLOTS)
conditions = st.sampled_from(["anything", "nothing", "held", "held", "older-than"])
actions = st.sampled_from(["put", "put-stamped", "tombstone", "delete"])
stamps = st.integers(1, 4)
numbers = st.sampled_from([0, 1, 1.0, None, "", [1]])


class ContractMachine(RuleBasedStateMachine):
    """DRV-1, DRV-2, DRV-3, CON-1, CON-3, REC-5: a dict is all that a driver is.

    Args:
        openings: two drivers on one database.
        collections: two collections; each run has keys of its own in them.
        seen: counts how often each kind of outcome came about, over all runs.
    """

    def __init__(
        self, openings: list[Driver], collections: list[Collection], seen: Counter[str]
    ) -> None:
        super().__init__()
        self.seen = seen
        self.transactional = _transactional(openings[0], collections[0])
        self.openings = openings
        self.collections = dict(zip("ab", collections, strict=True))
        self.run = fresh()
        self.model: dict[str, State | None] = dict.fromkeys(SLOTS)
        self.held: tuple[dict[str, Held], dict[str, Held]] = ({}, {})
        self.tokens: dict[str, list[Token]] = {slot: [] for slot in SLOTS}

    def place(self, slot: str) -> tuple[Collection, tuple[str]]:
        collection, _, key = slot.partition("-")
        return self.collections[collection], (self.run + key,)

    def condition(self, client: int, slot: str, name: str, stamp: int) -> tuple[Condition, bool]:
        """A condition, and whether it is true of the model."""
        now = self.model[slot]
        if name == "held" and slot in self.held[client]:
            held = self.held[client][slot]
            return Unchanged(held.token), held.state is now
        if name == "older-than":
            older = now is None or now.stamp is None or now.stamp < stamp
            return OlderThan(stamp), older
        if name == "anything":
            return ANYTHING, True
        return NOTHING, now is None

    def write(self, slot: str, action: str, condition: Condition, stamp: int, n: Any) -> Write:
        collection, key = self.place(slot)
        if action == "delete":
            return delete(collection, key, condition)
        if action == "tombstone":
            return tombstone(collection, key, condition, stamp=stamp)
        return put(collection, key, condition, stamp=None if action == "put" else stamp, n=n)

    def agree(self, slot: str, record: Stored | None) -> None:
        now = self.model[slot]
        if now is None or record is None:
            assert now is None
            assert record is None
            return
        assert same(record.fields, now.fields)
        assert (record.stamp, record.write_id) == (now.stamp, now.write_id)
        assert record.token == self.tokens[slot][-1]

    def apply(self, client: int, slot: str, write: Write, token: Token) -> None:
        if write.fields is None and write.stamp is None:
            assert token is None
            self.model[slot] = None
            return
        assert all(token != earlier for earlier in self.tokens[slot])
        state = State(write.fields, write.stamp, write.write_id)
        self.tokens[slot].append(token)
        self.model[slot] = state
        self.held[client][slot] = Held(token, state)

    @rule(client=clients, slot=slots)
    def look(self, client: int, slot: str) -> None:
        record = found(self.openings[client], *self.place(slot))
        self.agree(slot, record)
        now = self.model[slot]
        if record is not None and now is not None:
            self.held[client][slot] = Held(record.token, now)

    @rule(client=clients)
    def look_at_all(self, client: int) -> None:
        things = self.collections["a"]
        keys = [self.place(slot)[1] for slot in SLOTS[:2]]
        reply = self.openings[client].read(things, keys, Consistency.STRONG)
        for slot, record in zip(SLOTS[:2], reply.records, strict=True):
            self.agree(slot, record)

    @rule(client=clients, slot=slots, action=actions, name=conditions, stamp=stamps, n=numbers)
    def write_one(self, client: int, slot: str, action: str, name: str, stamp: int, n: Any) -> None:
        condition, holds = self.condition(client, slot, name, stamp)
        write = self.write(slot, action, condition, stamp, n)
        outcome = self.openings[client].write(write)
        self.seen[type(outcome).__name__] += 1
        assert isinstance(outcome, Written) == holds
        if isinstance(outcome, Written):
            self.apply(client, slot, write, outcome.token)
        elif outcome.told:
            self.agree(slot, outcome.current)

    @precondition(lambda self: self.transactional)
    @rule(
        client=clients,
        parts=st.lists(
            st.tuples(slots, actions | st.just("check"), conditions, stamps, numbers),
            min_size=1,
            max_size=3,
            unique_by=lambda part: part[0],
        ),
    )
    def commit(self, client: int, parts: list[tuple[str, str, str, int, Any]]) -> None:
        writes: dict[str, Write] = {}
        checks: list[Check] = []
        expected = True
        for slot, action, name, stamp, n in parts:
            condition, holds = self.condition(client, slot, name, stamp)
            if action != "check":
                writes[slot] = self.write(slot, action, condition, stamp, n)
            else:
                if not isinstance(condition, type(NOTHING) | Unchanged):
                    condition, holds = NOTHING, self.model[slot] is None
                checks.append(Check(*self.place(slot), condition))
            expected = expected and holds
        outcome = self.openings[client].commit(list(writes.values()), checks)
        self.seen[type(outcome).__name__] += 1
        assert isinstance(outcome, Committed) == expected
        if isinstance(outcome, Committed):
            for (slot, write), token in zip(writes.items(), outcome.tokens, strict=True):
                self.apply(client, slot, write, token)

    def teardown(self) -> None:
        for slot in SLOTS:
            self.agree(slot, found(self.openings[0], *self.place(slot)))


def _transactional(driver: Driver, things: Collection) -> bool:
    return driver.capabilities(things).transactions.scope is Scope.STORE


@pytest.mark.rule("DRV-1", "DRV-2", "DRV-3", "CON-1", "CON-3", "REC-5")
def test_no_update_is_lost(driver: Driver, another: Driver, make: Make) -> None:
    collections = [make(), make()]
    seen: Counter[str] = Counter()

    class PlacedMachine(ContractMachine):
        def __init__(self) -> None:
            super().__init__([driver, another], collections, seen)

    steps = settings(
        max_examples=max(25, settings().max_examples // 4),
        stateful_step_count=25,
        report_multiple_bugs=False,  # one lost update fails in many places
    )
    run_state_machine_as_test(PlacedMachine, settings=steps)
    # A machine that never came to one of these has shown nothing about it.
    outcomes = {"Written", "Refused"}
    if _transactional(driver, collections[0]):
        outcomes |= {"Committed", "Rejected"}
    assert outcomes <= set(seen), f"never came about: {outcomes - set(seen)}"
