"""``polystore migrate``: what an operator does to a running migration, from any machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import click

from polystore.cli.options import (
    C,
    group_options,
    page_option,
    parallel_option,
    who_and_maybe_why,
    who_and_why,
    within_option,
)
from polystore.cli.output import Output, reported
from polystore.cli.place import opened
from polystore.cli.status import setting_data, stage_picture
from polystore.cli.steps import dry, dry_option, landing, looks, once, starting
from polystore.effects import Procedure
from polystore.migration.backfill import PAGE, Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.progress import SegmentProgress, Summary
from polystore.migration.request import Request
from polystore.migration.stages import BUCKETS, Setting, Stage, next_stage
from polystore.runner import SyncRunner

FORTH = [s.value for s in Stage if s not in (Stage.SOURCE_ONLY, Stage.ARMED)]
BACK = [s.value for s in (Stage.SOURCE_ONLY, Stage.PREPARE, Stage.DUAL_WRITE)]


def _reasons(command: C) -> C:
    """The options of a change that gates may be in the way of."""
    override = click.option(
        "--override", multiple=True, metavar="GATE", help="Pass a gate that is shut."
    )
    return who_and_why(override(command))


@click.group()
def migrate() -> None:
    """Start, steer and watch the migration of a group of collections."""


def _changed(
    config: Path,
    group: str | None,
    change: Callable[[Coordinator], Procedure[Setting]],
    *,
    within: float | None,
    as_json: bool,
) -> None:
    """Run one command of the coordinator and print where things stand then."""
    output = Output(as_json=as_json)
    with opened(config, group) as ready:
        coordinator = Coordinator(
            ready.group, patience=within, told=lambda s: output.say(stage_picture(s))
        )
        setting = SyncRunner().run(change(coordinator))
    line = f"{setting.stage.value}: epoch {setting.epoch} is acknowledged by all"
    output.result(setting_data(setting), line)


@migrate.command()
@group_options
@_reasons
@within_option
@dry_option
@reported
def start(
    config: Path,
    group: str | None,
    *,
    who: str,
    why: str,
    override: tuple[str, ...],
    within: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Begin a run: all members confirm that they are there."""
    request = Request(who, why, override=frozenset(override))
    armed = Stage.ARMED.value

    def begun(coordinator: Coordinator) -> Procedure[Setting]:
        return once(coordinator, armed, lambda _: Stage.ARMED, lambda: coordinator.start(request))

    if dry_run:
        dry(config, group, request, looks(armed, starting, request), as_json=as_json)
    else:
        _changed(config, group, begun, within=within, as_json=as_json)


@migrate.command()
@click.argument("stage", required=False, type=click.Choice(FORTH))
@group_options
@_reasons
@click.option(
    "--confirm", default="", metavar="GROUP", help="Its name: for the point of no return."
)
@click.option("--sole-access", is_flag=True, help="Nobody reads or writes past the library.")
@within_option
@dry_option
@reported
def advance(
    stage: str | None,
    config: Path,
    group: str | None,
    *,
    who: str,
    why: str,
    override: tuple[str, ...],
    confirm: str,
    sole_access: bool,
    within: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Go to the next stage, if its gates are open.

    With STAGE, go there if it is the next one, and do nothing if the group is there already: so the
    same command can be given again after it was interrupted.
    """
    request = Request(who, why, confirm, sole_access, frozenset(override))

    def advanced(coordinator: Coordinator) -> Procedure[Setting]:
        return once(coordinator, stage, next_stage, lambda: coordinator.advance(request))

    if dry_run:
        dry(config, group, request, looks(stage, next_stage, request), as_json=as_json)
    else:
        _changed(config, group, advanced, within=within, as_json=as_json)


@migrate.command()
@group_options
@who_and_why
@click.option("--copies", is_flag=True, help="Also delete what it wrote to the target.")
@click.option("--confirm", default="", metavar="GROUP", help="Its name: where copies are deleted.")
@reported
def clean(
    config: Path,
    group: str | None,
    *,
    who: str,
    why: str,
    copies: bool,
    confirm: str,
    as_json: bool,
) -> None:
    """Remove tombstones and slots that a run has left behind: in clean, or where it was given up.

    After going back to source-only it waits for the quarantine first. With --copies the target is
    empty again, but for records that polystore did not write: so another run can begin.
    """
    with opened(config, group) as ready:
        request = Request(who, why, confirm)
        found = SyncRunner().run(Coordinator(ready.group).swept(request, copies=copies))
    Output(as_json=as_json).result(attrs.asdict(found), f"removed: {found.text()}")


@migrate.command()
@click.argument("stage", required=False, type=click.Choice(BACK))
@group_options
@_reasons
@within_option
@dry_option
@reported
def back(
    stage: str | None,
    config: Path,
    group: str | None,
    *,
    who: str,
    why: str,
    override: tuple[str, ...],
    within: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Go back to the previous stage; nothing is lost.

    With STAGE, go there if it is the previous one, and do nothing if the group is there already.
    """
    request = Request(who, why, override=frozenset(override))

    def gone_back(coordinator: Coordinator) -> Procedure[Setting]:
        return once(coordinator, stage, landing, lambda: coordinator.back(request))

    if dry_run:
        dry(config, group, request, looks(stage, landing, request), as_json=as_json)
    else:
        _changed(config, group, gone_back, within=within, as_json=as_json)


@migrate.command()
@group_options
@who_and_why
@reported
def abort(config: Path, group: str | None, *, who: str, why: str, as_json: bool) -> None:
    """Give up the step that is under way: back to where it came from, at once.

    For a stage change or a freeze that not everybody has acknowledged. Nothing is lost. The next
    step waits until everybody has acknowledged that it went back.
    """
    with opened(config, group) as ready:
        setting = SyncRunner().run(Coordinator(ready.group).abort(Request(who, why)))
    line = f"back in {setting.stage.value}, dial {setting.dial():g} %: epoch {setting.epoch}"
    Output(as_json=as_json).result(setting_data(setting), line)


@migrate.command()
@click.argument("percent", required=False, type=click.FloatRange(0, 100))
@click.option(
    "--buckets",
    type=click.IntRange(0, BUCKETS),
    help=f"How many of the {BUCKETS} buckets, instead of PERCENT.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, BUCKETS),
    help="Most buckets that wait at a time while their home moves; 16 by default.",
)
@group_options
@_reasons
@within_option
@dry_option
@reported
def dial(
    percent: float | None,
    buckets: int | None,
    batch: int | None,
    config: Path,
    group: str | None,
    *,
    who: str,
    why: str,
    override: tuple[str, ...],
    within: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Give PERCENT of the keys their home on the target; up or down.

    A batch of buckets waits for 3 seconds at most, or for --within where that is less.
    """
    if (percent is None) == (buckets is None):
        raise click.UsageError("say either PERCENT or --buckets")
    goal = 100 * buckets / BUCKETS if buckets is not None else percent or 0.0
    request = Request(who, why, override=frozenset(override))
    if dry_run:
        dry(config, group, request, lambda c: c.gates(request, dial=goal), as_json=as_json)
    else:
        _changed(
            config, group, lambda c: c.dial(goal, request, batch), within=within, as_json=as_json
        )


@migrate.command()
@group_options
@parallel_option(4, "copied")
@page_option(PAGE)
@click.option(
    "--rate",
    default=None,
    type=click.FloatRange(0, min_open=True),
    help="Records a second, of all segments together; by default what `migrate rate` says.",
)
@click.option("--log", type=click.Path(path_type=Path), help="Append a line for each page begun.")
@who_and_maybe_why
@reported
def backfill(
    config: Path,
    group: str | None,
    *,
    who: str,
    why: str,
    parallel: int,
    page: int,
    rate: float | None,
    log: Path | None,
    as_json: bool,
) -> None:
    """Copy the source to the target, beside live traffic; goes on where it was stopped."""
    output = Output(as_json=as_json)
    with opened(config, group) as ready, output.progress("copied", None) as advance_by:
        pages: dict[str, int] = {}

        def told(part: SegmentProgress) -> None:
            before = pages.get(part.item(0), 0)
            pages[part.item(0)] = part.scanned
            advance_by(part.scanned - before)

        def begun(part: SegmentProgress) -> None:
            if log is not None:
                with log.open("a") as lines:
                    lines.write(f"{part.collection} {part.index} {part.pages}\n")

        copier = Copier(
            ready.group,
            parallel=parallel,
            page=page,
            progress=told,
            begun=begun,
            rate=rate,
            request=Request(who, why),
        )
        found: dict[str, Summary] = SyncRunner().run(copier.run())
    data = {name: {**attrs.asdict(s), "done": s.done} for name, s in found.items()}
    output.result({"copied": data}, *(f"{name}: {s.text()}" for name, s in found.items()))
    if not all(summary.done for summary in found.values()):
        output.no("the copy is not complete: run it again")
