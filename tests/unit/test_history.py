"""The judge of histories: it agrees with trying every order, and copes with long ones."""

from __future__ import annotations

import math
import random
from itertools import combinations, permutations
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polystore.testing.history import Operation, TooHard, linearizable, pair, register

VERBS = ("get", "put", "insert", "delete", "add")


def operation(verb: str, argument: Any, begins: int, ends: float, outcome: Any) -> Operation:
    return Operation("p", "k", verb, argument, begins, ends, outcome)


def explained(history: list[Operation]) -> bool:
    """Whether one of all orders explains it, with any of the operations without an answer."""
    closed = [o for o in history if not o.open]
    late = [o for o in history if o.open]
    for count in range(len(late) + 1):
        for some in combinations(late, count):
            if any(_holds(order) for order in permutations([*closed, *some])):
                return True
    return False


def _holds(order: tuple[Operation, ...]) -> bool:
    state: Any = None
    for i, one in enumerate(order):
        if any(later.returned < one.invoked for later in order[i + 1 :]):
            return False
        outcome, state = register(state, one)
        if not one.open and outcome != one.outcome:
            return False
    return True


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    found = []
    for _ in range(draw(st.integers(1, 5))):
        verb = draw(st.sampled_from(VERBS))
        begins = draw(st.integers(0, 8))
        ends = draw(st.one_of(st.integers(begins, 10), st.just(math.inf)))
        answers = (None, 1, 2, 3) if verb == "get" else ("done", "refused")
        argument = draw(st.integers(1, 2))
        found.append(operation(verb, argument, begins, ends, draw(st.sampled_from(answers))))
    return found


@settings(max_examples=300)
@given(histories())
@example(
    [
        operation("delete", None, 0, 9, "done"),
        operation("put", 1, 1, 3, "done"),
        operation("get", None, 10, 11, None),
    ]
)
def test_it_agrees_with_trying_every_order(history: list[Operation]) -> None:
    assert linearizable(history, register) == explained(history)


def long(count: int, seed: int) -> list[Operation]:
    """Four processes on one key, each answer from one true order; some are not told."""
    source = random.Random(seed)
    state: Any = None
    found = []
    for i in range(count):
        verb = source.choice(VERBS)
        argument = 1 if verb == "add" else 1000 * (i + 1)
        asked = operation(verb, argument, 10 * i - source.randrange(25), 0, None)
        asked.outcome, state = register(state, asked)
        asked.returned = 10 * i + source.randrange(1, 25)
        if verb != "get" and source.random() < 0.01:
            asked.returned, asked.outcome = math.inf, None
        found.append(asked)
    return found


def test_thousands_of_operations_on_one_key_are_judged() -> None:
    history = long(5000, 1)
    assert linearizable(history, register)
    last = [o for o in history if o.verb == "get" and o.outcome is not None][-1]
    last.outcome = 17  # what nobody wrote
    with pytest.raises((AssertionError, TooHard)):  # it says no, or that it cannot tell: never yes
        assert linearizable(history, register)


def transfer(amount: int, read: tuple[int, int], begins: int, ends: float) -> Operation:
    outcome = None if ends == math.inf else "done"
    return Operation("p", "k", "transfer", (amount, read), begins, ends, outcome)


@pytest.mark.parametrize(
    ("seen", "explained"), [((-1, 1), True), ((-3, 3), True), ((-5, 5), True), ((-7, 7), False)]
)
def test_a_transfer_takes_effect_only_where_what_it_read_holds(
    seen: tuple[int, int], explained: bool
) -> None:
    """Of two that read the same at most one takes effect; which, the answers tell."""
    history = [
        transfer(1, (0, 0), 0, 1),
        transfer(2, (-1, 1), 2, math.inf),
        transfer(4, (-1, 1), 3, math.inf),
        Operation("p", "k", "both", None, 8, 9, seen),
    ]
    assert linearizable(history, pair, (0, 0)) == explained


def test_two_transfers_that_rely_on_one_state_are_not_both_done() -> None:
    one, other = transfer(1, (0, 0), 0, 9), transfer(2, (0, 0), 1, 9)
    assert not linearizable([one, other], pair, (0, 0))
    assert linearizable([one], pair, (0, 0))


def test_thousands_of_transfers_are_judged_though_many_are_not_answered() -> None:
    source, state, history = random.Random(4), (0, 0), []
    for i in range(10_000):
        moved = transfer(1 + i, state, 10 * i - source.randrange(40), 10 * i + source.randrange(40))
        lost = source.random() < 0.1
        if not lost or source.random() < 0.5:
            state = (state[0] - 1 - i, state[1] + 1 + i)
        if lost:
            moved.returned, moved.outcome = math.inf, None
        history.append(moved)
    assert linearizable(history, pair, (0, 0))
