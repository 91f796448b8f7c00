"""What a figure is, and how one is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

import attrs

from benchmarks.figures.ground import Ground

Value: TypeAlias = float | int | str


@attrs.frozen
class Outcome:
    """What was measured, and whether it is what the goal says."""

    value: Value
    holds: bool


@attrs.frozen
class Figure:
    """One row: its name, its goal, how it is measured, and the function that does it."""

    name: str
    goal: str
    how: str
    measure: Callable[[Ground], Outcome]


@attrs.frozen
class Row:
    """One figure, measured. The fields are those of ``--json``."""

    figure: str
    value: Value
    goal: str
    holds: bool
    how: str
    seconds: float


def measured(figure: Figure, ground: Ground) -> Row:
    """Measure one figure. One that raises does not hold, and the error is its value."""
    began = time.monotonic()
    try:
        outcome = figure.measure(ground)
    except Exception as error:  # noqa: BLE001 - the other figures are still wanted
        outcome = Outcome(f"{type(error).__name__}: {error}", holds=False)
    seconds = round(time.monotonic() - began, 1)
    return Row(figure.name, outcome.value, figure.goal, outcome.holds, figure.how, seconds)
