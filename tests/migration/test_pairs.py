"""Ordered pairs of databases, imitated in memory: dense runs, and each kind of fault fires.

100 seeds a pair, 1,000 in the environment nightly. A failure prints the story of its seed.
"""

from __future__ import annotations

from functools import partial

import pytest

from polystore.drivers.memory.driver import Space
from polystore.testing.simulator import Choices
from polystore.testing.simulator.batch import EVERY_PAIR, HOMES, Batch, played, run_batch
from polystore.testing.simulator.imitation import Imitation
from polystore.testing.simulator.shrink import shown
from polystore.testing.simulator.story import told_run
from tests.migration.seeds import seeds

LONG = 100
"""From so many seeds on everything has to have happened."""

CHOSEN = seeds(LONG, 1000)


@pytest.mark.slow
@pytest.mark.rule(
    "STG-4", "WR-9", "WR-4", "MIR-3", "MIR-6", "TX-4", "VER-2", "SHD-2", "EPO-2", "DIA-5", "RCV-6"
)
@pytest.mark.timeout(max(300, 3 * len(CHOSEN)))
@pytest.mark.parametrize("pair", EVERY_PAIR, ids="-".join)
def test_every_promise_holds_between_any_two_databases(pair: tuple[str, str]) -> None:
    batch = run_batch(pair, CHOSEN)
    assert not batch.violations, told_failures(batch)
    assert batch.operations >= 200 * batch.seeds
    if len(CHOSEN) >= LONG:
        assert batch.missing() == []
    print(batch.told())  # noqa: T201  # what fired, for who asks with -s


@pytest.mark.rule("STG-4", "WR-9", "MIR-3", "TX-4", "VER-2", "DIA-5", "RCV-6")
def test_every_promise_holds_between_redis_and_postgresql() -> None:
    """Few seeds: what is new in them is two descriptors, and batches that are one transaction."""
    batch = run_batch(("redis", "postgresql"), CHOSEN[::5])
    assert not batch.violations, told_failures(batch)


@pytest.mark.rule("DRV-4")
def test_only_a_database_that_may_do_a_part_of_many_writes_does() -> None:
    parts = {name: Imitation(Space(), name).parts("write_many") for name in HOMES}
    assert [name for name in HOMES if not parts[name]] == ["postgresql"]
    assert not any(Imitation(Space(), name).parts("read") for name in ("postgresql", "redis"))


def told_failures(batch: Batch) -> str:
    """All that failed, and the story of the first, as short as it can be had."""
    source, target = batch.pair
    seed = min(batch.violations)
    again = f"polystore simulate --seed {seed} --pair {source},{target}"
    run = shown(partial(played, batch.pair), Choices.seeded(seed, *batch.pair))
    return "\n".join([str(batch.violations), again, *told_run(run.text, run.trace)])
