"""``polystore migrate history``: who changed what, when and why, and how it ended."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from polystore.cli.options import group_options
from polystore.cli.output import Output, reported
from polystore.cli.place import opened
from polystore.runner import SyncRunner


@click.command()
@group_options
@reported
def history(config: Path, group: str | None, *, as_json: bool) -> None:
    """Show who changed what, when, why, and how it ended; oldest first.

    What stays `begun` is of a command that died on the way: the epoch of the next entry tells how
    far it came.
    """
    output = Output(as_json=as_json)
    with opened(config, group) as ready:
        events = SyncRunner().run(ready.group.ledger.history())
    shown: list[dict[str, Any]] = [{**event, "at": _clock(event["at"])} for event in events]
    lines = [
        f"{e['at']} epoch {e['epoch']}: {e['what']} ({e['who']}: {e['why']}): {e['outcome']}"
        for e in shown
    ]
    output.result({"history": shown}, *lines)


def _clock(seconds: Any) -> str:
    """The time of day of an entry, in UTC, as the machine told it that made the entry."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
