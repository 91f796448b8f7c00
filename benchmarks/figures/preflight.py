"""Figures about the preflight: it finds all that the target would refuse, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.figures.figure import Figure, Outcome
from benchmarks.figures.main_job import PAIRS, urls
from benchmarks.violations import alarms, seeded
from polystore.cli.demo.dataset import CITIES


def preflight() -> Iterator[Figure]:
    """Two rows a pair."""
    for source, target in PAIRS:
        yield Figure(
            f"preflight of seeded violations, {source} → {target}",
            "every limit and rule that the source lacks: found by code and key, and no more",
            "PRE-8: real engines; a record for each, planted past the library, beside a harmless "
            "one; transactions observed",
            partial(_seeded, source, target),
        )
        yield Figure(
            f"preflight of clean data, {source} → {target}",
            "0 false alarms",
            f"PRE-8: real engines; the demo's {CITIES:,} cities, and its countries",
            partial(_clean, source, target),
        )


def _seeded(source: str, target: str) -> Outcome:
    with urls(source, target) as found:
        outcome = seeded(found[source], found[target])
    right = outcome.wanted & outcome.found
    false = outcome.found - outcome.wanted
    value = f"{len(right)} of {len(outcome.wanted)} found, {len(false)} others"
    if outcome.unseeded:
        value += f"; not seeded: {', '.join(sorted(outcome.unseeded))}"
    return Outcome(value, outcome.wanted == outcome.found and not outcome.unseeded)


def _clean(source: str, target: str) -> Outcome:
    with urls(source, target) as found:
        outcome = alarms(found[source], found[target], CITIES)
    value = f"{outcome.looked:,} records, {len(outcome.refused)} false alarms"
    return Outcome(value, outcome.looked > CITIES and not outcome.refused)
