"""Random walks: every fault, every stage, every direction; many seeds.

``POLYSTORE_SEEDS=2000`` runs more of them, ``POLYSTORE_SEEDS=7000:9000`` a range. A failure names
its seed; ``polystore simulate --walk --seed SEED`` shortens it and tells its story.
"""

from __future__ import annotations

import pytest

from polystore.testing.simulator import Choices, Trial
from tests.migration.seeds import seeds

BLOCK = 8


def blocks() -> list[range]:
    """The seeds to run, in blocks that are one test each."""
    chosen = seeds(24, 1000)
    return [chosen[start : start + BLOCK] for start in range(0, len(chosen), BLOCK)]


@pytest.mark.rule(
    "STG-4", "WR-9", "WR-4", "MIR-3", "MIR-6", "TX-4", "VER-2", "SHD-2", "EPO-2", "DIA-5", "RCV-6"
)
@pytest.mark.parametrize("block", blocks(), ids=lambda r: f"{r.start}-{r.stop - 1}")
def test_random_walk_keeps_every_promise(block: range) -> None:
    for seed in block:
        try:
            Trial(Choices.seeded(seed)).run()
        except BaseException as error:
            error.add_note(f"seed {seed}: polystore simulate --walk --seed {seed}")
            raise
