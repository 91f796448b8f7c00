"""``polystore simulate``: one run of the simulator again, and its story."""

from __future__ import annotations

from functools import partial

import click

from polystore.cli.output import Output, json_option, reported


@click.command()
@click.option("--seed", type=int, required=True, help="Of the run.")
@click.option(
    "--pair",
    "names",
    default="memory,memory",
    show_default=True,
    help="Drivers whose databases source and target imitate.",
)
@click.option("--walk", is_flag=True, help="The longer runs of tests/migration/test_random.py.")
@click.option("--story", is_flag=True, help="Tell a run too that keeps every promise.")
@click.option("--all", "everything", is_flag=True, help="Tell all events, not those of the keys.")
@click.option(
    "--tries", default=400, show_default=True, help="Runs with which to shorten one that fails."
)
@json_option
@reported
def simulate(
    seed: int,
    names: str,
    tries: int,
    *,
    walk: bool,
    story: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """Run one seed of the simulator again; one that fails is shortened and told.

    A whole fleet in memory, with crashes, lost and late calls and moving stages: the real
    procedures. The story is a diagram with a column for each process and database.

    Exit code 1: a promise was broken, and the story shows how.
    """
    from polystore.testing.simulator import Choices, Trial  # loads what nobody else needs
    from polystore.testing.simulator.batch import HOMES, PLAYED, played
    from polystore.testing.simulator.shrink import shown
    from polystore.testing.simulator.story import told_run

    pair = next((p for p in PLAYED if ",".join(p) == names), None)
    if pair is None:
        known = ", ".join(HOMES)
        raise click.UsageError(f"--pair wants two of {known}, with a comma, not {names!r}")
    play = Trial if walk else partial(played, pair)
    run = shown(play, Choices.seeded(seed) if walk else Choices.seeded(seed, *pair), tries)
    lines = [run.text or f"seed {seed}: every promise held, {len(run.trace)} events"]
    if run.text:
        lines += [f"seed {seed}: {run.choices} choices of {run.whole} are enough for this", ""]
    if run.text or story:
        lines += told_run(run.text, run.trace, everything=everything)
    body = {
        "seed": seed,
        "pair": list(pair),
        "broken": run.text,
        "events": [str(event) for event in run.trace] if run.text or story else [],
    }
    output = Output(as_json=as_json)
    output.result(body, *lines)
    if run.text:
        output.no("a promise was broken")
