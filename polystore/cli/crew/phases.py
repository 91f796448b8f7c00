"""A walk through stages while application processes work: what each stage saw of them."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs
from rich.table import Table

from polystore.cli.crew.journal import Entry
from polystore.cli.crew.processes import Crew
from polystore.cli.output import Output
from polystore.errors import AlreadyExists, Conflict, Contention, NotFound

T = TypeVar("T")

EXPECTED = frozenset(error.code for error in (Conflict, Contention, AlreadyExists, NotFound))
"""Codes of errors that an application which shares records has to expect."""


@attrs.define
class Phase:
    """One stage or dial step: its name, and when it began and ended (monotonic seconds)."""

    name: str
    began: float
    ended: float = 0.0
    counts: Counter[str] = attrs.field(factory=Counter)
    found: int = 0
    repaired: int = 0


class Phases:
    """The stages of one walk, in order.

    Args:
        output: where each stage is told when it is over.
        planned: how many there will be.
        total: operations that are waited for in each.
        of_each: and of each kind.
    """

    def __init__(
        self, output: Output, planned: int, total: int, of_each: Mapping[str, int] | None = None
    ) -> None:
        self.walked: list[Phase] = []
        self._output = output
        self._planned = planned
        self._total = total
        self._of_each = of_each or {}

    @contextmanager
    def stage(self, name: str, crew: Crew) -> Iterator[Phase]:
        """One stage: what it takes to get there, and enough operations in it."""
        crew.check()
        phase = Phase(name, time.monotonic())
        self.walked.append(phase)
        crew.counted()  # what came before is not of this stage
        yield phase
        crew.work_until(phase.counts, self._of_each, self._total)
        phase.ended = time.monotonic()
        done = len(self.walked)
        picture = "━" * done + "╸" + "─" * (self._planned - done)
        seconds = phase.ended - phase.began
        self._output.say(
            f"{picture} {name:<12} {phase.counts.total():>6} operations {seconds:5.1f} s"
        )

    def beside(self, phase: Phase, crew: Crew, inside: Callable[[], T]) -> T:
        """Do something while the processes make the operations of the stage; what it returns."""
        return crew.working(phase.counts, self._of_each, self._total, inside)

    def rows(self, operations: Sequence[Entry]) -> list[dict[str, Any]]:
        """What each stage saw, for programs."""
        return [_row(phase, operations) for phase in self.walked]


def _row(phase: Phase, operations: Sequence[Entry]) -> dict[str, Any]:
    mine = [e for e in operations if e.ended is not None and phase.began <= e.ended < phase.ended]
    times = sorted(1000 * (e.ended - e.began) for e in mine if e.ended is not None)
    kinds = Counter(e.kind for e in mine)
    return {
        "stage": phase.name,
        "operations": len(mine),
        "transactions": kinds["transaction"],
        "kinds": dict(kinds),
        "conflicts": sum(e.error in EXPECTED for e in mine),
        "errors": sum(e.error is not None and e.error not in EXPECTED for e in mine),
        "p50_ms": round(statistics.median(times), 2) if times else 0.0,
        "p99_ms": round(times[int(len(times) * 0.99)], 2) if times else 0.0,
        "found": phase.found,
        "repaired": phase.repaired,
        "seconds": round(phase.ended - phase.began, 1),
    }


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """What each stage saw, for people."""
    made = Table(title=title)
    made.add_column("stage", no_wrap=True)
    columns = {
        "operations": "ops", "transactions": "tx", "conflicts": "conflicts", "errors": "errors",
        "p50_ms": "p50 ms", "p99_ms": "p99 ms", "found": "diff", "repaired": "repaired",
        "seconds": "s",
    }  # fmt: skip
    for name in columns.values():
        made.add_column(name, justify="right")
    for row in rows:
        made.add_row(row["stage"], *(str(row[name]) for name in columns))
    return made
