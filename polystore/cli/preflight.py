"""``polystore preflight``: what the target would refuse, translate or reorder; and the costs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import click

from polystore.cli.options import group_options, page_option, parallel_option, who_and_maybe_why
from polystore.cli.output import Output, reported
from polystore.cli.place import opened
from polystore.errors import InvalidRequest
from polystore.migration.coordinator import Coordinator
from polystore.migration.preflight.costs import Units
from polystore.migration.preflight.report import Finding, Looked, Report, report_of
from polystore.migration.preflight.scan import PAGE, Scan
from polystore.migration.request import Request
from polystore.runner import SyncRunner

_BECOMES = {"refuse": "refused", "reorder": "reordered", "translate": "translated"}


@click.command()
@group_options
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Records a second at most; no limit."
)
@parallel_option(4, "scanned")
@page_option(PAGE)
@click.option("--fresh", is_flag=True, help="Begin anew, where an earlier scan was stopped.")
@click.option("--no-scan", is_flag=True, help="Only show what is known.")
@click.option(
    "--sign-off",
    multiple=True,
    metavar="FINDING",
    help="Answer for a finding; needs --why.",
)
@click.option(
    "--forget-observed", is_flag=True, help="Forget what live writes showed so far; needs --why."
)
@who_and_maybe_why
@reported
def preflight(
    config: Path,
    group: str | None,
    *,
    rate: float | None,
    parallel: int,
    page: int,
    fresh: bool,
    no_scan: bool,
    sign_off: tuple[str, ...],
    forget_observed: bool,
    why: str,
    who: str,
    as_json: bool,
) -> None:
    """Look at every record of the source before a migration: nothing is written to it.

    Shows per collection what the target would refuse, translate or reorder, which live writes in
    the setting observe it would, and what each stage will cost. Goes on where it was stopped. Exit
    code 1: something is left to settle.
    """
    if (sign_off or forget_observed) and not why:
        raise InvalidRequest("say --why: it is kept in the history")
    output = Output(as_json=as_json)
    request = Request(who, why or "preflight")
    with opened(config, group) as ready, output.progress("looked at", None) as advance_by:
        coordinator, run = Coordinator(ready.group), SyncRunner().run
        if forget_observed:
            run(coordinator.forget_observed(request))
        if sign_off:
            report = run(coordinator.sign_off(sign_off, request))
        elif no_scan:
            report = run(report_of(ready.group, run(ready.group.ledger.setting())))
        else:
            scan = Scan(
                ready.group,
                parallel=parallel,
                page=page,
                rate=rate,
                fresh=fresh,
                progress=lambda _, records: advance_by(records),
            )
            now = datetime.now(UTC).isoformat(timespec="seconds")
            report = run(coordinator.preflight(request, scan, now))
    output.result(report_data(report), *report_lines(report))
    if not report.clean:
        output.no(report.verdict())


def report_data(report: Report) -> dict[str, Any]:
    """A report for programs."""
    begun = report.begun
    return {
        "group": report.group,
        "run": report.run,
        "begun": None if begun is None else {"who": begun.who, "when": begun.when},
        "done": report.done,
        "clean": report.clean,
        "verdict": report.verdict(),
        "collections": {looked.collection: _looked_data(looked) for looked in report.looked},
    }


def _looked_data(looked: Looked) -> dict[str, Any]:
    source, target = looked.source, looked.target
    return {
        "records": target.usage.records,
        "scanned": looked.scanned,
        "segments": {"planned": looked.segments, "ended": looked.ended},
        "current": looked.current,
        "largest": {"source": source.usage.largest, "target": target.usage.largest},
        "findings": [_finding_data(finding) for finding in looked.findings],
        "units": {"source": attrs.asdict(source.tariff), "target": attrs.asdict(target.tariff)},
        "stages": [attrs.asdict(stage) for stage in looked.stages()],
        "totals": attrs.asdict(looked.totals()),
    }


def _finding_data(finding: Finding) -> dict[str, Any]:
    cause, cases = finding.cause, finding.cases
    return {
        "finding": finding.name,
        "kind": cause.kind.value,
        "code": cause.code,
        "driver": cause.driver,
        "path": cause.path,
        "cases": cases.count,
        "live": finding.live,
        "worst": cases.worst,
        "limit": cases.limit,
        "unit": cases.unit,
        "says": cases.says,
        "examples": [{"size": size, "key": list(key)} for size, key in cases.examples],
        "settled": finding.settled,
        "signed": None if finding.signed is None else attrs.asdict(finding.signed),
        "settles": finding.settles,
    }


def report_lines(report: Report) -> Iterator[str]:
    """A report for people."""
    for looked in report.looked:
        yield from _looked_lines(looked)
    yield f"group {report.group}, run {report.run}: {report.verdict()}"


def _looked_lines(looked: Looked) -> Iterator[str]:
    usage = looked.target.usage
    yield (
        f"{looked.collection}: {usage.records:,} records, {looked.ended} of {looked.segments} "
        f"segments, largest {usage.largest:,} bytes on the target"
    )
    for finding in looked.findings:
        yield from _finding_lines(finding)
    if usage.records:
        yield from _cost_lines(looked)


def _finding_lines(finding: Finding) -> Iterator[str]:
    cases, becomes = finding.cases, _BECOMES[finding.cause.kind.value]
    live = f", {finding.live} of them live writes" if finding.live else ""
    yield f"  {becomes}: {finding.name}: {cases.count:,} cases{live}: {cases.says}"
    yield f"    keys: {', '.join(str(key) for _, key in cases.examples)}"
    if finding.settled and finding.signed is not None:
        yield f"    signed off by {finding.signed.who}: {finding.signed.why}"
    elif not finding.settled:
        yield f"    to settle it: {finding.settles}"


def _cost_lines(looked: Looked) -> Iterator[str]:
    source, target = looked.source.tariff, looked.target.tariff
    yield f"  a put and a get a second use ({source.writes}, {source.reads} on the source;"
    yield f"  {target.writes}, {target.reads} on the target):"
    for cost in looked.stages():
        put = f"{_units(cost.put_source)} | {_units(cost.put_target)}"
        get = f"{cost.get_source.reads:g} | {cost.get_target.reads:g}"
        yield f"    {cost.stage:<22} put {put:<28} get {get}"
    once = looked.totals()
    yield f"  the copy: {once.copy_reads:,} {source.reads}, {once.copy_writes:,} {target.writes}"
    yield (
        f"  one verification: {once.verify_source:,} {source.reads}, "
        f"{once.verify_target:,} {target.reads}"
    )
    yield f"  on the target afterwards: {once.stored:,} bytes"


def _units(units: Units) -> str:
    return f"{units.writes:.2f} w {units.reads:.2f} r"
