"""``polystore migrate force-home``: on with one database, for the day when the other is gone."""

from __future__ import annotations

from pathlib import Path

import click

from polystore.cli.options import group_options, who_and_why
from polystore.cli.output import Output, reported
from polystore.cli.place import opened
from polystore.cli.status import setting_data
from polystore.migration.coordinator import Coordinator
from polystore.migration.request import Request
from polystore.migration.stages import SOURCE, TARGET
from polystore.runner import SyncRunner


@click.command("force-home")
@click.argument("side", type=click.Choice([SOURCE, TARGET]))
@group_options
@who_and_why
@click.option("--confirm", default="", metavar="GROUP", help="Its name: once you know the price.")
@reported
def force_home(
    side: str,
    config: Path,
    group: str | None,
    *,
    who: str,
    why: str,
    confirm: str,
    as_json: bool,
) -> None:
    """Make SIDE the home of everything: the other database is gone for good.

    It prints what may be lost, and does nothing more without --confirm. Every operation waits while
    it works: for about one lease. A database that only does not answer just now comes back by
    itself: then nothing of this is needed, and it would lose what is there alone.
    """
    output = Output(as_json=as_json)
    runner = SyncRunner()
    with opened(config, group) as ready:
        coordinator = Coordinator(ready.group)
        setting = runner.run(ready.group.ledger.setting())
        if setting.lost is None:
            for line in runner.run(coordinator.price(side)).lines():
                output.say(line)
        setting = runner.run(coordinator.force_home(side, Request(who, why, confirm)))
    line = f"{setting.stage.value}: the {side} serves alone, epoch {setting.epoch}"
    output.result(setting_data(setting), line)
