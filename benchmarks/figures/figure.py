"""One figure: what it is, what it must be, and how it came out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import attrs


@attrs.frozen
class Outcome:
    """What was measured: a value for people, and whether it meets the goal."""

    value: str
    holds: bool


@attrs.frozen
class Figure:
    """A figure before it is measured.

    Attributes:
        name: of the figure, unique in its area.
        goal: what it must be, in words.
        how: how it is measured, in words.
        measure: measures it; what it raises means that it does not hold.
    """

    name: str
    goal: str
    how: str
    measure: Callable[[], Outcome]


@attrs.frozen
class Measured:
    """A figure after it was measured, as ``--json`` prints it."""

    figure: str
    value: str
    goal: str
    holds: bool
    how: str
    seconds: float


def measured(figures: Iterable[Figure], told: Callable[[Measured], None]) -> list[Measured]:
    """Measure all, one after another; one that fails stops none of the others."""
    results = []
    for figure in figures:
        began = time.monotonic()
        try:
            outcome = figure.measure()
        except Exception as error:  # noqa: BLE001  # the figure does not hold, and says why
            outcome = Outcome(f"{type(error).__name__}: {str(error)[-300:]}", holds=False)
        seconds = round(time.monotonic() - began, 1)
        result = Measured(
            figure.name, outcome.value, figure.goal, outcome.holds, figure.how, seconds
        )
        told(result)
        results.append(result)
    return results
