"""Random walks: every fault, every stage, every direction; many seeds.

``POLYSTORE_SEEDS=2000`` runs more of them, ``POLYSTORE_SEEDS=7000:9000`` a range. A failure names
its seed; ``python -m polystore.testing.simulator SEED`` prints all events of it.
"""

from __future__ import annotations

import os

import pytest

from polystore.testing.simulator import Choices, Trial

DEFAULT = 96
BLOCK = 8


def seeds() -> list[range]:
    """The seeds to run, in blocks that are one test each."""
    first, _, last = os.environ.get("POLYSTORE_SEEDS", str(DEFAULT)).rpartition(":")
    lo, hi = int(first or 0), int(last)
    return [range(start, min(start + BLOCK, hi)) for start in range(lo, hi, BLOCK)]


@pytest.mark.rule(
    "STG-4", "WR-9", "WR-4", "MIR-3", "MIR-6", "TX-4", "VER-2", "SHD-2", "EPO-2", "DIA-5", "RCV-6"
)
@pytest.mark.parametrize("block", seeds(), ids=lambda r: f"{r.start}-{r.stop - 1}")
def test_random_walk_keeps_every_promise(block: range) -> None:
    for seed in block:
        try:
            Trial(Choices.seeded(seed)).run()
        except BaseException as error:
            error.add_note(f"seed {seed}: python -m polystore.testing.simulator {seed}")
            raise
