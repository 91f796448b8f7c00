"""The judge of histories: it agrees with trying every order, and copes with long ones."""

from __future__ import annotations

import math
import random
from itertools import combinations, permutations
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polystore.testing.history import Operation, TooHard, linearizable, register

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
