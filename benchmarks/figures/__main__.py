"""``python -m benchmarks.figures AREA [--json] [--only TEXT]``; exit code 1 if one fails."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

import attrs
from rich.console import Console
from rich.table import Table

from benchmarks.figures.conformance import conformance
from benchmarks.figures.differences import differences
from benchmarks.figures.figure import Figure, Measured, measured
from benchmarks.figures.main_job import main_job
from benchmarks.figures.protocol import protocol

AREAS: dict[str, Callable[[], list[Figure]]] = {
    "main-job": main_job,
    "differences": differences,
    "protocol": protocol,
    "conformance": conformance,
}
"""The areas, each a list of figures."""


def main() -> int:
    """Measure one area and print it; the exit code."""
    parser = argparse.ArgumentParser(prog="figures", description="Measure what is promised.")
    parser.add_argument("area", choices=sorted(AREAS))
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--only", default="", help="only figures whose name has this in it")
    arguments = parser.parse_args()
    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def told(result: Measured) -> None:
        mark = "holds" if result.holds else "DOES NOT HOLD"
        line = f"{mark:<13} {result.figure}: {result.value} ({result.seconds:.0f} s)"
        console.print(line, markup=False)

    wanted = [figure for figure in AREAS[arguments.area]() if arguments.only in figure.name]
    results = measured(wanted, told)
    if arguments.json:
        print(json.dumps([attrs.asdict(result) for result in results], indent=1))
    else:
        Console(width=160).print(_table(results))
    return 0 if results and all(result.holds for result in results) else 1


def _table(results: list[Measured]) -> Table:
    table = Table(show_lines=True)
    for title in ("figure", "value", "goal", "holds", "how", "s"):
        table.add_column(title)
    for r in results:
        holds = "yes" if r.holds else "NO"
        table.add_row(r.figure, r.value, r.goal, holds, r.how, f"{r.seconds:.0f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
