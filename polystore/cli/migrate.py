"""``polystore migrate``: what an operator does to a running migration, from any machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import click

from polystore.cli.options import C, group_options, page_option, parallel_option, who_and_why
from polystore.cli.output import Output, reported
from polystore.cli.place import joined, opened
from polystore.effects import Procedure
from polystore.errors import IllegalEdge
from polystore.migration.backfill import PAGE, Copier
from polystore.migration.coordinator import Coordinator, Request
from polystore.migration.fleet import Fleet
from polystore.migration.gates import Gate
from polystore.migration.load import Load
from polystore.migration.progress import SegmentProgress, Summary
from polystore.migration.stages import Setting, Stage, next_stage, previous_stage
from polystore.migration.status import Status, status_of
from polystore.migration.verify import Verified, Verifier
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


@migrate.command()
@group_options
@reported
def status(config: Path, group: str | None, *, as_json: bool) -> None:
    """Show where the migration stands: stage, dial, members, copy, next gates."""
    output = Output(as_json=as_json)
    with opened(config, group) as ready:
        now = SyncRunner().run(status_of(ready.group))
    output.result(now.data(), *status_lines(now))


def status_lines(now: Status) -> list[str]:
    """A status for people."""
    setting = now.setting
    lines = [
        stage_picture(setting),
        f"group {now.group}: run {setting.run}, epoch {setting.epoch}, dial {setting.dial():g} %",
    ]
    lines += [
        f"  member {member['id']} on {member['where']}: {member['state']}, epoch {member['acked']}"
        for member in now.members
    ]
    lines += [f"  copy of {name}: {summary.text()}" for name, summary in now.copied.items()]
    lines += [f"  {line}" for line in load_lines(setting.load)]
    if now.counts:
        lines.append("  counted: " + ", ".join(f"{k} {v}" for k, v in now.counts.items()))
    lines += [
        f"  gate {gate.name}: {'open' if gate.open else 'shut: ' + gate.says}" for gate in now.gates
    ]
    return lines


def load_lines(load: Load) -> list[str]:
    """What an operator has set of rates and policies, for people."""
    return [
        *(f"limit {name}: {f'{value:g}' if value else 'off'}" for name, value in load.limits),
        *(f"policy {collection}: {value}" for collection, value in load.overload),
    ]


def stage_picture(setting: Setting) -> str:
    """The stages in a row, the present one marked; in dual-read with the dial."""
    names = []
    for stage in Stage:
        if stage is Stage.ARMED:
            continue
        here = stage is setting.stage or (
            stage is Stage.SOURCE_ONLY and setting.stage is Stage.ARMED
        )
        dial = f" {setting.dial():.0f} %" if here and stage is Stage.DUAL_READ else ""
        names.append(f"[{stage.value}{dial}]" if here else stage.value)
    return " → ".join(names)


@migrate.command()
@group_options
@reported
def history(config: Path, group: str | None, *, as_json: bool) -> None:
    """Show who changed what, and why, oldest first."""
    output = Output(as_json=as_json)
    with opened(config, group) as ready:
        events = SyncRunner().run(ready.group.ledger.history())
    lines = [f"epoch {e['epoch']}: {e['what']} ({e['who']}: {e['why']})" for e in events]
    output.result({"history": events}, *lines)


def _changed(
    config: Path,
    group: str | None,
    change: Callable[[Coordinator], Procedure[Setting]],
    *,
    as_json: bool,
) -> None:
    """Run one command of the coordinator and print where things stand then."""
    output = Output(as_json=as_json)
    with opened(config, group) as ready:
        coordinator = Coordinator(ready.group, told=lambda s: output.say(stage_picture(s)))
        setting = SyncRunner().run(change(coordinator))
    line = f"{setting.stage.value}: epoch {setting.epoch} is acknowledged by all"
    output.result(setting_data(setting), line)


async def _once(
    coordinator: Coordinator,
    wanted: str | None,
    lands: Callable[[Stage], Stage],
    step: Callable[[], Procedure[Setting]],
) -> Setting:
    """Take a step; where a stage is wanted, only if the group is not there yet (CLI-4).

    Args:
        lands: the stage that the step leads to, from the one that the group is in.
    """
    setting = await coordinator.finish()
    here = setting.stage
    if here.value == wanted:
        return setting
    if wanted is not None and lands(here).value != wanted:
        raise IllegalEdge(f"{here.value} leads to {lands(here).value}, not to {wanted}")
    return await step()


def _landing(stage: Stage) -> Stage:
    """Where going back leads to: never to a run that has only been started."""
    previous = previous_stage(stage)
    return Stage.SOURCE_ONLY if previous is Stage.ARMED else previous


def setting_data(setting: Setting) -> dict[str, Any]:
    """A setting for programs."""
    return {**setting.to_fields(), "dial": setting.dial()}


@migrate.command()
@group_options
@_reasons
@reported
def start(
    config: Path, group: str | None, *, who: str, why: str, override: tuple[str, ...], as_json: bool
) -> None:
    """Begin a run: all members confirm that they are there."""
    request = Request(who, why, override=frozenset(override))
    armed = Stage.ARMED.value

    def begun(coordinator: Coordinator) -> Procedure[Setting]:
        return _once(coordinator, armed, lambda _: Stage.ARMED, lambda: coordinator.start(request))

    _changed(config, group, begun, as_json=as_json)


@migrate.command()
@click.argument("stage", required=False, type=click.Choice(FORTH))
@group_options
@_reasons
@click.option(
    "--confirm", default="", metavar="GROUP", help="Its name: for the point of no return."
)
@click.option("--sole-access", is_flag=True, help="Nobody reads or writes past the library.")
@click.option("--dry-run", is_flag=True, help="Only look at the gates.")
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
    dry_run: bool,
    as_json: bool,
) -> None:
    """Go to the next stage, if its gates are open.

    With STAGE, go there if it is the next one, and do nothing if the group is there already: so the
    same command can be given again after it was interrupted.
    """
    request = Request(who, why, confirm, sole_access, frozenset(override))

    def advanced(coordinator: Coordinator) -> Procedure[Setting]:
        return _once(coordinator, stage, next_stage, lambda: coordinator.advance(request))

    if dry_run:
        _dry(config, group, request, as_json=as_json)
    else:
        _changed(config, group, advanced, as_json=as_json)


def _dry(config: Path, group: str | None, request: Request, *, as_json: bool) -> None:
    with opened(config, group) as ready:
        gates: list[Gate] = SyncRunner().run(Coordinator(ready.group).gates(request))
    lines = [f"{'open' if gate.open else 'shut'}  {gate.name}: {gate.says}" for gate in gates]
    output = Output(as_json=as_json)
    output.result({"gates": [attrs.asdict(gate) for gate in gates]}, *lines)
    shut = [gate.name for gate in gates if not gate.open and gate.name not in request.override]
    if shut:
        output.no(f"shut: {', '.join(shut)}")


@migrate.command()
@click.argument("stage", required=False, type=click.Choice(BACK))
@group_options
@_reasons
@reported
def back(
    stage: str | None,
    config: Path,
    group: str | None,
    *,
    who: str,
    why: str,
    override: tuple[str, ...],
    as_json: bool,
) -> None:
    """Go back to the previous stage; nothing is lost.

    With STAGE, go there if it is the previous one, and do nothing if the group is there already.
    """
    request = Request(who, why, override=frozenset(override))

    def gone_back(coordinator: Coordinator) -> Procedure[Setting]:
        return _once(coordinator, stage, _landing, lambda: coordinator.back(request))

    _changed(config, group, gone_back, as_json=as_json)


@migrate.command()
@click.argument("percent", type=click.FloatRange(0, 100))
@group_options
@_reasons
@reported
def dial(
    percent: float,
    config: Path,
    group: str | None,
    *,
    who: str,
    why: str,
    override: tuple[str, ...],
    as_json: bool,
) -> None:
    """Give PERCENT of the keys their home on the target; up or down."""
    request = Request(who, why, override=frozenset(override))
    _changed(config, group, lambda c: c.dial(percent, request), as_json=as_json)


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
@reported
def backfill(
    config: Path,
    group: str | None,
    *,
    parallel: int,
    page: int,
    rate: float | None,
    log: Path | None,
    as_json: bool,
) -> None:
    """Copy the source to the target, beside live traffic; goes on where it was stopped."""
    output = Output(as_json=as_json)
    with opened(config, group) as ready, output.progress("copied", None) as advance_by:
        pages: dict[tuple[str, int], int] = {}

        def told(part: SegmentProgress) -> None:
            before = pages.get((part.collection, part.index), 0)
            pages[part.collection, part.index] = part.scanned
            advance_by(part.scanned - before)

        def begun(part: SegmentProgress) -> None:
            if log is not None:
                with log.open("a") as lines:
                    lines.write(f"{part.collection} {part.index} {part.pages}\n")

        copier = Copier(
            ready.group, parallel=parallel, page=page, progress=told, begun=begun, rate=rate
        )
        found: dict[str, Summary] = SyncRunner().run(copier.run())
    data = {name: {**attrs.asdict(s), "done": s.done} for name, s in found.items()}
    output.result({"copied": data}, *(f"{name}: {s.text()}" for name, s in found.items()))
    if not all(summary.done for summary in found.values()):
        output.no("the copy is not complete: run it again")


@migrate.command()
@group_options
@click.option("--repair/--no-repair", default=True, help="Repair what differs.")
@parallel_option(2, "walked")
@reported
def verify(config: Path, group: str | None, *, repair: bool, parallel: int, as_json: bool) -> None:
    """Compare both sides in full, beside live traffic."""
    output = Output(as_json=as_json)
    with (
        opened(config, group) as ready,
        output.progress("walked", None) as advance_by,
        joined(ready) as session,
    ):
        verifier = Verifier(
            session,
            Fleet(ready.group),
            repair=repair,
            parallel=parallel,
            progress=lambda _collection, _side, count: advance_by(count),
        )
        found: dict[str, Verified] = SyncRunner().run(verifier.run())
    output.result({"verified": verified_data(found)}, *map(verified_line, found.values()))
    if any(v.open for v in found.values()):
        output.no("the sides differ: run it again, with --repair")


def verified_data(found: dict[str, Verified]) -> dict[str, Any]:
    """A verification for programs."""
    return {
        name: {
            "walked": v.walked,
            "equal": v.equal,
            "suspects": v.suspects,
            "repaired": v.repaired,
            "open": v.open,
            "kinds": v.kinds(),
            "keys": [list(map(str, d.key)) for d in v.discrepancies[:10]],
        }
        for name, v in found.items()
    }


def verified_line(v: Verified) -> str:
    """A verification of one collection for people."""
    return (
        f"{v.collection}: {v.walked['source']} on the source, {v.walked['target']} on the target, "
        f"{v.suspects} looked at twice, {v.repaired} repaired, {v.open} open"
    )
