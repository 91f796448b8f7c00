"""Each guard of the protocol taken away from the real code: the seed that misses it."""

from __future__ import annotations

import os
from statistics import median

from benchmarks.figures.figure import Figure, Outcome
from tests.migration.guards import GUARDS, broken

MOST = int(os.environ.get("POLYSTORE_GUARD_SEEDS", "500"))
"""Seeds that are tried for each guard."""


def guards() -> list[Figure]:
    """The figures of removed guards."""
    return [
        Figure(
            f"{len(GUARDS)} guards removed, one at a time",
            "each one caught within 500 seeds",
            f"seeds from 0 on, at most {MOST}, of a trial that is likely to need the guard; caught "
            "is a broken promise. tests/migration/test_guards.py removes others in scenes of "
            "their own",
            _removed,
        )
    ]


def _removed() -> Outcome:
    caught: dict[str, int | None] = {}
    for name, guard in GUARDS.items():
        found = broken(guard, range(MOST))
        caught[name] = None if found is None else 1 + found[0]
    tried = [seeds for seeds in caught.values() if seeds is not None]
    missed = [name for name, seeds in caught.items() if seeds is None]
    each = ", ".join(f"{name} {seeds or 'NEVER'}" for name, seeds in caught.items())
    value = (
        f"{len(tried)} of {len(caught)} caught, after {median(tried):g} seeds in the median, "
        f"{max(tried)} at most: {each}"
    )
    return Outcome(value, not missed)
