"""The simulator and the checker themselves: the same seed is the same run, and wrong is seen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from polystore.testing.history import NotLinearizable, Operation, check, pair, register
from polystore.testing.simulator import Choices, Plan, Trial
from polystore.testing.simulator.trace import Event

SHORT = Plan(seconds=8.0)


def traced(choices: Choices) -> list[Event]:
    trial = Trial(choices, SHORT, tracing=True)
    trial.run()
    assert trial.fleet.scheduler.trace is not None
    return trial.fleet.scheduler.trace


@pytest.mark.rule("RUN-2", "RUN-3")
def test_a_seed_and_its_list_of_choices_repeat_a_run() -> None:
    choices = Choices.seeded(5)
    first = traced(choices)
    assert traced(Choices.seeded(5)) == first
    assert traced(Choices.replayed(choices.made)) == first
    assert traced(Choices.seeded(6)) != first


@pytest.mark.rule("RUN-3")
def test_a_seed_repeats_a_run_in_another_process() -> None:
    script = (
        "from polystore.testing.simulator import *; from hashlib import sha256;"
        "t = Trial(Choices.seeded(5), Plan(seconds=8.0), tracing=True); t.run();"
        "print(sha256('\\n'.join(map(str, t.fleet.scheduler.trace)).encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, check=True, text=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1


def op(verb: str, argument: object, start: int, end: float, outcome: object = "done") -> Operation:
    return Operation("p", "k", verb, argument, start, end, outcome)


OPEN = float("inf")


@pytest.mark.rule("STG-4")
@pytest.mark.parametrize(
    "history",
    [
        [],
        [op("put", 1, 1, 2), op("get", None, 3, 4, 1)],
        [op("put", 1, 1, 4), op("get", None, 2, 3, None), op("get", None, 5, 6, 1)],
        [op("put", 1, 1, OPEN), op("get", None, 2, 3, None), op("get", None, 4, 5, 1)],
        [op("put", 1, 1, OPEN), op("get", None, 2, 3, None)],
        [op("insert", 1, 1, 4), op("insert", 2, 2, 3, "refused"), op("get", None, 5, 6, 1)],
        [op("put", 1, 1, 2), op("add", 1, 3, OPEN), op("get", None, 4, 5, 1)],
        [op("put", 1, 1, 2), op("replace", (1, 5), 3, 4), op("remove", 5, 5, 6)],
    ],
)
def test_histories_that_could_have_been(history: list[Operation]) -> None:
    assert check(history) == len(history)


@pytest.mark.rule("STG-4")
@pytest.mark.parametrize(
    "history",
    [
        [op("put", 1, 1, 2), op("get", None, 3, 4, None)],  # lost
        [op("put", 1, 1, 2), op("put", 2, 3, 4), op("get", None, 5, 6, 1)],  # stale
        [op("get", None, 1, 2, 9)],  # invented
        [
            op("put", 1, 1, OPEN),
            op("get", None, 2, 3, 1),
            op("get", None, 4, 5, None),
        ],  # taken back
        [op("insert", 1, 1, 2), op("insert", 2, 3, 4)],  # two winners
        [op("put", 1, 1, 2), op("add", 1, 3, 4), op("get", None, 5, 6, 3)],  # twice
        [op("put", 1, 1, 2), op("delete", None, 3, 4), op("get", None, 5, 6, 1)],  # resurrected
        [op("put", 1, 1, 2), op("replace", (1, 5), 3, 4, "refused")],  # wrongly refused
    ],
)
def test_histories_that_could_not_have_been(history: list[Operation]) -> None:
    with pytest.raises(NotLinearizable):
        check(history)


def test_pairs_are_changed_as_one() -> None:
    def both(start: int, one: int | None, other: int | None) -> Operation:
        return op("both", None, start, start + 1, (one, other))

    moved = [op("move", 5, 1, 2), both(3, -5, 5), op("clear", None, 5, 6), both(7, None, None)]
    assert check(moved, lambda _: pair) == 4
    with pytest.raises(NotLinearizable):
        check([op("move", 5, 1, 2), both(3, -5, None)], lambda _: pair)
    assert register(None, op("get", None, 1, 2)) == (None, None)
