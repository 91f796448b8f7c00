"""Seeded simulations of every ordered pair of the four drivers' descriptors, over memory."""

from __future__ import annotations

from collections import Counter

from benchmarks.figures.figure import Figure, Outcome
from polystore.testing.simulator.batch import EVERY_PAIR, Batch, run_batch
from tests.migration.seeds import seeds

SEEDS = seeds(100, 1000)
"""Of each pair; ``POLYSTORE_SEEDS`` says otherwise, and ``POLYSTORE_NIGHTLY=1`` takes 1,000."""


def simulations() -> list[Figure]:
    """The figures of simulated fleets."""
    return [
        Figure(
            f"simulations, {len(EVERY_PAIR)} ordered pairs",
            "0 violations; ≥ 200 operations a seed; each kind of fault fires in each pair",
            f"{len(SEEDS)} seeds a pair; ≥ 3 processes, ≥ 1 crash, ≥ 1 late call and ≥ 1 way back "
            "in each seed, or it fails; the real procedures, all stages both ways",
            _simulated,
        )
    ]


def _simulated() -> Outcome:
    batches = [run_batch(pair, SEEDS) for pair in EVERY_PAIR]
    happened: Counter[str] = sum((b.happened for b in batches), Counter())
    violations = sum(len(b.violations) for b in batches)
    seeds, operations = sum(b.seeds for b in batches), sum(b.operations for b in batches)
    missing = {"-".join(b.pair): b.missing() for b in batches if b.missing()}
    fired = ", ".join(f"{what} {count}" for what, count in sorted(happened.items()))
    value = (
        f"{violations} violations in {seeds} seeds of {len(batches)} pairs, {operations} "
        f"operations{_told(batches)}; fired: {fired}"
    )
    if missing:
        value += f"; NOT seen: {missing}"
    return Outcome(value, violations == 0 and not missing and operations >= 200 * seeds)


def _told(batches: list[Batch]) -> str:
    found = [f"seed {s} of {b.pair}: {text}" for b in batches for s, text in b.violations.items()]
    return f" ({'; '.join(found)[:300]})" if found else ""
