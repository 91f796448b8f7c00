"""``python -m benchmarks.figures AREA``: measure the figures of an area."""

from __future__ import annotations

import json
import sys

import attrs
import click
from rich.console import Console

from benchmarks.figures.areas import AREAS
from benchmarks.figures.figure import Row, measured
from benchmarks.figures.ground import Ground
from benchmarks.figures.report import line, table


@click.command()
@click.argument("area", type=click.Choice(list(AREAS)))
@click.option("--json", "as_json", is_flag=True, help="Print a list of JSON objects.")
@click.option("--only", multiple=True, metavar="NAME", help="Figures whose name has this in it.")
def main(area: str, *, as_json: bool, only: tuple[str, ...]) -> None:
    """Measure the figures of AREA. Exit code 1 when one does not hold; errors are values."""
    figures = [f for f in AREAS[area] if not only or any(part in f.name for part in only)]
    if not figures:
        names = "\n  ".join(f.name for f in AREAS[area])
        raise click.BadParameter(f"no figure has that name; there are:\n  {names}")
    told = Console(stderr=True, highlight=False, soft_wrap=True)
    rows: list[Row] = []
    with Ground() as ground:
        for figure in figures:
            with told.status(f"{len(rows) + 1} of {len(figures)}: {figure.name}"):
                rows.append(measured(figure, ground))
            told.print(line(rows[-1]), markup=False)
    if as_json:
        click.echo(json.dumps([attrs.asdict(row) for row in rows], indent=1))
    else:
        Console().print(table(area, rows))
    sys.exit(not all(row.holds for row in rows))


if __name__ == "__main__":
    main()
