"""The command ``polystore demo``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from polystore.cli.crew.phases import table
from polystore.cli.demo.dataset import CITIES
from polystore.cli.output import FAILED, Output, json_option, reported


def _shares(_context: object, _option: object, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part)
    except ValueError:
        raise click.BadParameter("give shares in %, such as 30,70") from None


@click.command()
@click.option("--source", default="datastore", show_default=True, help="A driver's name, or a URL.")
@click.option("--target", default="dynamodb", show_default=True, help="A driver's name, or a URL.")
@click.option("--cities", default=CITIES, show_default=True, type=click.IntRange(3000, CITIES),
              help="The largest cities that are moved; fewer are faster.")  # fmt: skip
@click.option("--processes", default=4, show_default=True, type=click.IntRange(1, 64))
@click.option(
    "--rate",
    default=5.0,
    show_default=True,
    help="Operations a second of each process while a stage is being entered; then it hurries.",
)
@click.option("--kill-backfill", "kills", default="", callback=_shares, metavar="30,70",
              help="Kill the copy at these shares, in %, and resume it.")  # fmt: skip
@json_option
@reported
def demo(
    source: str,
    target: str,
    cities: int,
    processes: int,
    rate: float,
    kills: tuple[float, ...],
    *,
    as_json: bool,
) -> None:
    """Move a live application from SOURCE to TARGET, and check that nothing was lost.

    Starts real engines, loads real cities, keeps application processes reading and writing, and
    takes them through every stage. Exit code 1 if an acknowledged write is lost, an operation
    failed, or the sides differ.
    """
    from polystore.cli.demo.run import Demo, Plan

    output = Output(as_json=as_json)
    with tempfile.TemporaryDirectory(prefix="polystore-demo-") as folder:
        plan = Plan(source, target, cities, processes, rate, kills)
        result = Demo(plan, Path(folder), output).run()
    if not as_json:
        title = f"{result['source']} → {result['target']}"
        output.console.print(table(title, result["stages"]))
    output.result(result, *result["findings"], _verdict(result))
    if result["verdict"] != "clean":
        sys.exit(FAILED)


def _verdict(result: Mapping[str, Any]) -> str:
    return (
        f"verdict: {result['verdict']}. {result['acknowledged']} writes were acknowledged, "
        f"{result['lost']} lost, {result['returned']} came back, {result['doubled']} overwritten "
        f"unseen, {result['stale']} stale reads, {result['errors']} errors, "
        f"{result['different']} different, {result['repaired']} repaired, "
        f"in {result['seconds']} s"
    )
