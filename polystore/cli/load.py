"""``polystore migrate rate`` and ``policy``: what may be asked of a side, while it is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from polystore.capacity import OVERLOAD
from polystore.cli.options import group_options, who_and_why
from polystore.cli.output import Output, reported
from polystore.cli.place import opened
from polystore.cli.status import load_lines, setting_data
from polystore.migration.coordinator import Coordinator
from polystore.migration.group import OpenGroup
from polystore.migration.load import BACKFILL, Load
from polystore.migration.request import Request
from polystore.migration.stages import SOURCE, TARGET
from polystore.runner import SyncRunner

CONFIGURED, OFF = "configured", "off"
"""In place of a number or a policy: as each process is configured; no limit."""

KINDS = {"operations": "rate", "bytes": "bytes", "calls": "concurrency"}
"""What of a side can be limited, and the name of that limit."""


class LimitValue(click.ParamType[float | None]):
    """A number above 0, ``off`` (0) or ``configured`` (none)."""

    name = "number|off|configured"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        """The number; 0 for ``off``, ``None`` for ``configured``."""
        if value == CONFIGURED:
            return None
        if value == OFF:
            return 0.0
        try:
            number = float(str(value))
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            self.fail(f"{value!r} is no number above 0, {OFF} or {CONFIGURED}", param, ctx)
        return number


@click.command()
@click.argument("what", type=click.Choice([SOURCE, TARGET, BACKFILL]))
@click.argument("value", type=LimitValue())
@click.option(
    "--of",
    type=click.Choice(list(KINDS)),
    default="operations",
    show_default=True,
    help="What is limited: operations or bytes a second, calls at a time.",
)
@group_options
@who_and_why
@reported
def rate(
    what: str,
    value: float | None,
    *,
    of: str,
    config: Path,
    group: str | None,
    who: str,
    why: str,
    as_json: bool,
) -> None:
    """Limit what each process may ask of a side, or how many records a second a copy brings.

    VALUE is a number, `off` for no limit, or `configured` for what the configuration says. It
    counts from each member's next look on, within seconds.
    """
    name = BACKFILL if what == BACKFILL else f"{what}.{KINDS[of]}"
    told = {None: CONFIGURED, 0.0: OFF}.get(value, f"{value:g}" if value is not None else "")
    _set(
        config, group, lambda _: lambda load: load.limited(name, value), f"rate {name} {told}",
        Request(who, why), as_json=as_json,
    )  # fmt: skip


@click.command()
@click.argument("collection")
@click.argument("value", metavar="POLICY", type=click.Choice([*OVERLOAD, CONFIGURED]))
@group_options
@who_and_why
@reported
def policy(
    collection: str,
    value: str,
    *,
    config: Path,
    group: str | None,
    who: str,
    why: str,
    as_json: bool,
) -> None:
    """Say what becomes of an operation on COLLECTION when a side has no room for it.

    `wait` up to its deadline, `decline` it at once with nothing sent, or `queue`: wait for the
    home alone, and bring the mirror up later.
    """
    wanted = None if value == CONFIGURED else value

    def change(opened_group: OpenGroup) -> Callable[[Load], Load]:
        opened_group.collection(collection)  # is it one of this group?
        return lambda load: load.overloaded(collection, wanted)

    _set(config, group, change, f"policy {collection} {value}", Request(who, why), as_json=as_json)


def _set(
    config: Path,
    group: str | None,
    change: Callable[[OpenGroup], Callable[[Load], Load]],
    what: str,
    request: Request,
    *,
    as_json: bool,
) -> None:
    with opened(config, group) as ready:
        coordinator = Coordinator(ready.group)
        setting = SyncRunner().run(coordinator.set_load(change(ready.group), what, request))
    lines = load_lines(setting.load) or ["everything as configured"]
    Output(as_json=as_json).result(setting_data(setting), *lines)
