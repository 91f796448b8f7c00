"""Figures for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from benchmarks.figures.figure import Row, Value


def table(area: str, rows: Sequence[Row]) -> Table:
    """All figures of an area."""
    held = sum(row.holds for row in rows)
    found = Table(title=f"{area}: {held} of {len(rows)} figures hold", show_lines=True)
    for title in ("figure", "value", "goal", "holds", "how"):
        found.add_column(title)
    found.add_column("s", justify="right")
    for row in rows:
        holds = Text("yes", "green") if row.holds else Text("NO", "bold red")
        cells = (row.figure, text(row.value), row.goal)
        found.add_row(*map(Text, cells), holds, Text(row.how), f"{row.seconds:.1f}")
    return found


def line(row: Row) -> str:
    """One figure as soon as it is known."""
    mark = "holds" if row.holds else "DOES NOT HOLD"
    return f"{row.figure}: {text(row.value)} ({row.goal}): {mark}, {row.seconds:.1f} s"


def text(value: Value) -> str:
    """A value, numbers with as many places as one reads."""
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
