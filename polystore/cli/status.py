"""``polystore migrate status``: where a migration stands, from any process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from polystore.cli.options import group_options
from polystore.cli.output import Output, reported
from polystore.cli.place import opened
from polystore.migration.checks import Gate
from polystore.migration.fleet import place
from polystore.migration.load import Load
from polystore.migration.member import Member
from polystore.migration.progress import SegmentProgress
from polystore.migration.reckoning import Reckoning
from polystore.migration.stages import Setting, Stage
from polystore.migration.status import Status, status_of
from polystore.observe.counters import BACKLOG_MS
from polystore.runner import SyncRunner


@click.command()
@group_options
@click.option("--segments", is_flag=True, help="Each segment of the copy, too.")
@reported
def status(config: Path, group: str | None, *, segments: bool, as_json: bool) -> None:
    """Show where the migration stands: stage, dial, members, copy, next gates.

    What members tell is as of their last heartbeat. For each the writes that it acknowledged while
    there was a mirror are added up: mirrored, caught up later, open, under way.
    """
    output = Output(as_json=as_json)
    with opened(config, group) as ready:
        now = SyncRunner().run(status_of(ready.group, parts=segments))
    output.result(now.data(), *status_lines(now))


def status_lines(now: Status) -> list[str]:
    """A status for people."""
    setting = now.setting
    lines = [
        stage_picture(setting),
        f"group {now.group}: run {setting.run}, epoch {setting.epoch}, dial {setting.dial():g} %",
    ]
    if setting.lost is not None:
        lines.append(f"  the {setting.lost} was given up for good: nobody calls it")
    lines += [f"  {now.handover.text()}"] if now.handover else []
    for member in now.members:
        lines += _member_lines(member)
    lines.append(f"  all writes: {now.reckoning.text()}")
    for name, summary in now.copied.items():
        lines.append(f"  copy of {name}: {summary.text()}")
        lines += [f"    {_segment_line(part)}" for part in now.parts if part.collection == name]
    lines += [f"  {line}" for line in load_lines(setting.load)]
    if now.counts:
        lines.append("  counted: " + ", ".join(f"{k} {v}" for k, v in now.counts.items()))
    lines += _gate_lines("gate", now.gates)
    lines += _gate_lines("gate of the dial", now.dial_gates)
    return lines


def _member_lines(member: Member) -> list[str]:
    late = member.told(BACKLOG_MS) / 1000
    waits = f", lacking {member.lacks} for {late:g} s" if member.lacks else ""
    stands = f"{member.state}, epoch {member.acked}, barrier {member.barrier}{waits}"
    return [
        f"  member {member.id} on {place(member)}: {stands}",
        f"    {Reckoning.of(member).text()}",
    ]


def _segment_line(part: SegmentProgress) -> str:
    stands = "at its end" if part.done else "begun" if part.pages else "not begun"
    name = f"segment {part.index + 1} of {part.count}{part.path and f', part {part.path}'}"
    if part.split:
        return f"{name}: split in two"
    return (
        f"{name}: {stands}, {part.pages} pages, {part.scanned} "
        f"read, {part.written} written, {part.newer} newer, {part.rejected} rejected"
    )


def _gate_lines(label: str, gates: list[Gate]) -> list[str]:
    return [f"  {label}: {gate.text()}" for gate in gates]


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


def setting_data(setting: Setting) -> dict[str, Any]:
    """A setting for programs."""
    return {**setting.to_fields(), "dial": setting.dial()}
