"""Steps of a migration as commands: taken once, or only looked at (CLI-4, GATE-9)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import click

from polystore.cli.output import Output
from polystore.cli.place import opened
from polystore.effects import Procedure
from polystore.errors import GateClosed, IllegalEdge
from polystore.migration.checks import Gate
from polystore.migration.coordinator import Coordinator
from polystore.migration.gates import passed
from polystore.migration.request import Request
from polystore.migration.stages import Setting, Stage, after, previous_stage
from polystore.runner import SyncRunner

dry_option = click.option("--dry-run", is_flag=True, help="Only look at the gates.")
"""The option of every step that only looks."""


async def once(
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
    return await step() if _leads(setting.stage, wanted, lands) else setting


def _leads(here: Stage, wanted: str | None, lands: Callable[[Stage], Stage]) -> bool:
    """Whether there is a step to take; raises IllegalEdge where it leads to another stage."""
    if here.value == wanted:
        return False
    if wanted is not None and lands(here).value != wanted:
        raise IllegalEdge(f"{here.value} leads to {lands(here).value}, not to {wanted}")
    return True


async def _gates_of_step(
    coordinator: Coordinator, wanted: str | None, lands: Callable[[Stage], Stage], request: Request
) -> list[Gate]:
    """The gates of the step that would be taken; Raises IllegalEdge."""
    setting = await coordinator.group.ledger.setting()
    here = setting.stage
    there = lands(here)
    if not _leads(here, wanted, lands):
        return []
    if list(Stage).index(there) < list(Stage).index(here):
        after(attrs.evolve(setting, frozen=None), previous_stage(here))  # at this dial, too?
        return await coordinator.gates(request, back=True)
    return await coordinator.gates(request)


def starting(stage: Stage) -> Stage:
    """Where a start leads to. Raises IllegalEdge where a run has been started."""
    if stage not in (Stage.SOURCE_ONLY, Stage.ARMED):
        raise IllegalEdge(f"a run has been started: the stage is {stage.value}")
    return Stage.ARMED


def landing(stage: Stage) -> Stage:
    """Where going back leads to: never to a run that has only been started."""
    previous = previous_stage(stage)
    return Stage.SOURCE_ONLY if previous is Stage.ARMED else previous


Look = Callable[[Coordinator], Procedure[list[Gate]]]
"""Looks at the gates of one step."""


def looks(wanted: str | None, lands: Callable[[Stage], Stage], request: Request) -> Look:
    """A look at the step that a command would take; ``lands`` as in :func:`once`."""
    return lambda coordinator: _gates_of_step(coordinator, wanted, lands, request)


def dry(config: Path, group: str | None, request: Request, look: Look, *, as_json: bool) -> None:
    """Print the gates of a step; exit code 1 where one is shut that is not overridden.

    Raises:
        InvalidRequest: an override that the step itself would refuse.
    """
    with opened(config, group) as ready:
        gates = SyncRunner().run(look(Coordinator(ready.group)))
    lines = [gate.text() for gate in gates]
    lines = lines or ["open  no gate is on this way"]
    shut: tuple[str, ...] = ()
    try:
        passed(gates, request)
    except GateClosed as error:
        shut = error.gates
    output = Output(as_json=as_json)
    output.result({"gates": [attrs.asdict(gate) for gate in gates]}, *lines)
    if shut:
        output.no(f"shut: {', '.join(shut)}")
