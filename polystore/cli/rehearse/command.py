"""The command ``polystore rehearse``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from polystore.cli.crew.phases import table
from polystore.cli.options import group_options
from polystore.cli.output import Output, reported


@click.command()
@group_options
@click.option(
    "--records", default=1000, show_default=True, type=click.IntRange(1),
    help="Records of each collection to take.",
)  # fmt: skip
@click.option(
    "--rate", default=200.0, show_default=True, type=click.FloatRange(0, min_open=True),
    help="Records a second that are read of the real source.",
)  # fmt: skip
@click.option(
    "--operations", default=200, show_default=True, type=click.IntRange(1),
    help="Operations that are waited for in each stage.",
)  # fmt: skip
@click.option("--processes", default=3, show_default=True, type=click.IntRange(1, 64))
@click.option(
    "--local-source", default=None, metavar="DRIVER|URL",
    help="Where to play the source; by default an engine of its driver.",
)  # fmt: skip
@click.option(
    "--local-target", default=None, metavar="DRIVER|URL",
    help="Where to play the target; by default an engine of its driver.",
)  # fmt: skip
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False),
              help="Also write the report to this file, in Markdown.")  # fmt: skip
@reported
def rehearse(
    config: Path,
    group: str | None,
    *,
    records: int,
    rate: float,
    operations: int,
    processes: int,
    local_source: str | None,
    local_target: str | None,
    report: Path | None,
    as_json: bool,
) -> None:
    """Rehearse the migration: every stage, forwards and backwards, on a sample of the real source.

    Reads the sample (nothing is written to the real databases), starts local engines, and keeps
    processes working on them with load of the shape that members in observe have seen. Exit code 1:
    something was lost, failed or differed.
    """
    from polystore.cli.rehearse.rehearsal import Rehearsal
    from polystore.cli.rehearse.walk import Plan
    from polystore.config import load
    from polystore.plugin.registry import default_registry

    output = Output(as_json=as_json)
    plan = Plan(
        config=config.resolve(), group=group, records=records, rate=rate, operations=operations,
        processes=processes, source=local_source, target=local_target,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="polystore-rehearsal-") as folder:
        declared = load(config, default_registry().names())
        result = Rehearsal(plan, declared, Path(folder), output).run()
    if not as_json:
        for leg in result["legs"]:
            output.console.print(table(leg["leg"], leg["stages"]))
    if report is not None:
        report.write_text("\n".join(markdown(result)) + "\n", encoding="utf-8")
    output.result(result, *result["problems"], verdict(result))
    if result["verdict"] != "ready":
        output.no("the rehearsal found something: see above")


def verdict(result: Mapping[str, Any]) -> str:
    """One line for people."""
    operations = sum(row["operations"] for leg in result["legs"] for row in leg["stages"])
    stages = sum(len(leg["stages"]) for leg in result["legs"])
    return (
        f"verdict: {result['verdict']}. {sum(result['sample'].values())} records, {operations} "
        f"operations in {stages} stages and dial steps, {len(result['problems'])} problems, "
        f"in {result['seconds']} s"
    )


def markdown(result: Mapping[str, Any]) -> list[str]:
    """The report, for a file that goes with the decision to migrate."""
    shape = "as members have observed" if result["shape"]["observed"] else "unknown: all kinds"
    lines = [
        f"# Rehearsal of the group {result['group']}",
        "",
        verdict(result),
        "",
        f"Source: {result['source']}. Target: {result['target']}. Load: {shape}.",
        "",
        "| collection | records |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in result["sample"].items()),
        "",
    ]
    if result["preflight"]:
        lines += ["## Preflight", "", "| finding | kind | cases |", "|---|---|---|"]
        lines += [f"| {f['finding']} | {f['kind']} | {f['cases']} |" for f in result["preflight"]]
        lines += [""]
    if result["problems"]:
        lines += ["## Problems", "", *(f"- {problem}" for problem in result["problems"]), ""]
    for leg in result["legs"]:
        lines += [
            f"## {leg['leg'].capitalize()}",
            "",
            "| stage | operations | errors | p50 ms | p99 ms | differences | seconds |",
            "|---|---|---|---|---|---|---|",
            *(
                f"| {r['stage']} | {r['operations']} | {r['errors']} | {r['p50_ms']} | "
                f"{r['p99_ms']} | {r['found']} | {r['seconds']} |"
                for r in leg["stages"]
            ),
            "",
        ]
    return lines
