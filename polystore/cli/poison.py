"""``polystore migrate poison``: the records that the copy has set aside, and who answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from polystore.cli.options import group_options, who_and_maybe_why
from polystore.cli.output import Output, reported
from polystore.cli.place import opened
from polystore.effects import Procedure
from polystore.errors import InvalidRequest
from polystore.migration.group import OpenGroup
from polystore.migration.poison import Aside, asides, sign_aside, unsigned
from polystore.migration.request import Request
from polystore.runner import SyncRunner

MOST_SHOWN = 20
"""Keys of one finding that are shown to people; ``--json`` has all."""


@click.command()
@group_options
@click.option(
    "--sign-off",
    multiple=True,
    metavar="FINDING",
    help="Answer for these records: they stay behind. Needs --why.",
)
@who_and_maybe_why
@reported
def poison(
    config: Path,
    group: str | None,
    *,
    sign_off: tuple[str, ...],
    why: str,
    who: str,
    as_json: bool,
) -> None:
    """List the records that the copy could not bring to the target, by key and reason.

    Exit code 1: nobody has signed off some of them.
    """
    if sign_off and not why:
        raise InvalidRequest("say --why: it is kept in the history")
    output, request = Output(as_json=as_json), Request(who, why)
    with opened(config, group) as ready:
        found = SyncRunner().run(_answered(ready.group, sign_off, request))
    data = [_data(aside) for aside in found]
    lines = [line for aside in found for line in _lines(aside)]
    output.result({"poison": data}, *(lines or ["the copy has set nothing aside"]))
    left = unsigned(found)
    if left:
        output.no(f"{len(left)} records are set aside, and not signed off")


def _answered(group: OpenGroup, names: Sequence[str], request: Request) -> Procedure[list[Aside]]:
    async def procedure() -> list[Aside]:
        setting = await group.ledger.setting()
        found = await asides(group.ledger, setting, group.collections)
        for name in names:
            await sign_aside(group.ledger, setting, found, name, request.who, request.why)
        return await asides(group.ledger, setting, group.collections) if names else found

    return procedure()


def _data(aside: Aside) -> dict[str, Any]:
    return {
        "finding": aside.finding,
        "records": [{"key": list(one.key), "says": one.says} for one in aside.records],
        "settled": aside.settled,
        "signed": None if aside.signed is None else attrs.asdict(aside.signed),
    }


def _lines(aside: Aside) -> Iterator[str]:
    records, signed = aside.records, aside.signed
    yield f"{aside.finding}: {len(records):,} records: {records[0].says}"
    keys = ", ".join(str(one.key) for one in records[:MOST_SHOWN])
    yield f"  keys: {keys}{', …' if len(records) > MOST_SHOWN else ''}"
    if aside.settled and signed is not None:
        yield f"  signed off by {signed.who}: {signed.why}"
