"""``polystore migrate verify``: both sides compared, in full or a sample of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from polystore.cli.options import group_options, parallel_option, who_and_maybe_why
from polystore.cli.output import Output, reported
from polystore.cli.place import joined, opened
from polystore.migration.compare import FOREIGN
from polystore.migration.fleet import Fleet
from polystore.migration.request import Request
from polystore.migration.verify import Verifier
from polystore.migration.walk import Sample, Verified
from polystore.runner import SyncRunner


@click.command()
@group_options
@click.option("--repair/--no-repair", default=True, help="Repair what differs.")
@parallel_option(2, "walked")
@click.option(
    "--sample",
    type=click.FloatRange(0, 100, min_open=True),
    help="Percent of each side to compare; such a run opens no gate.",
)
@click.option("--touched", is_flag=True, help="Compare only what this run has written; no gate.")
@click.option("--fresh", is_flag=True, help="Begin anew, also where one that died could go on.")
@who_and_maybe_why
@click.option("--seed", default=0, help="Which part a sample is: the same seed, the same part.")
@reported
def verify(
    config: Path,
    group: str | None,
    *,
    repair: bool,
    parallel: int,
    sample: float | None,
    touched: bool,
    fresh: bool,
    seed: int,
    who: str,
    why: str,
    as_json: bool,
) -> None:
    """Compare both sides, in full or in part, beside live traffic.

    A full one that died goes on where it was at its last checkpoint, some minutes before.
    """
    output = Output(as_json=as_json)
    request = Request(who, why)
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
            sample=None if sample is None else Sample(share=sample, seed=seed),
            touched=touched,
            fresh=fresh,
            request=request,
            progress=lambda _collection, _side, count: advance_by(count),
        )
        found: dict[str, Verified] = SyncRunner().run(verifier.run())
    output.result({"verified": verified_data(found)}, *map(verified_line, found.values()))
    halts = ready.group.halts
    halting = [v for name, v in found.items() if halts(ready.group.collection(name))]
    if foreign := sum(v.kinds()[FOREIGN] for v in halting):
        output.no(
            f"{foreign} records were written past polystore, and are left as they are: find who "
            "writes and stop it, write them again through the library, and verify again"
        )
    if any(v.open for v in found.values()):
        output.no("the sides differ: run it again, with --repair")
    shut = [f"{v.collection}: {v.way_back}" for v in found.values() if v.way_back]
    if shut:
        output.no(f"the way back is not proven: {'; '.join(shut)}")


def verified_data(found: dict[str, Verified]) -> dict[str, Any]:
    """A verification for programs."""
    return {
        name: {
            "walked": v.walked,
            "equal": v.equal,
            "suspects": v.suspects,
            "repaired": v.repaired,
            "way_back": v.way_back,
            "open": v.open,
            "kinds": v.kinds(),
            "paths": v.paths(),
            "rules": list(v.rules),
            "keys": [list(map(str, d.key)) for d in v.discrepancies[:10]],
        }
        for name, v in found.items()
    }


def verified_line(v: Verified) -> str:
    """A verification of one collection for people."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in v.kinds().items() if count)
    paths = ", ".join(f"{path} ({count})" for path, count in v.paths().items())
    return (
        f"{v.collection}: {v.walked['source']} on the source, {v.walked['target']} on the target, "
        f"{v.suspects} looked at twice, {v.repaired} repaired, {v.open} open"
        + (f"\n  differences: {kinds}" if kinds else "")
        + (f"\n  at the fields: {paths}" if paths else "")
        + (f"\n  compared with: {'; '.join(v.rules)}" if v.rules else "")
    )
