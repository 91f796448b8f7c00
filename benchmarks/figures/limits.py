"""Figures about limits: what is measured is charged, what is refused leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.figures.figure import Figure, Outcome
from benchmarks.figures.main_job import DRIVERS, PAIRS, urls
from tests.store.refusals import tried

ROOT = Path(__file__).parents[2]


def limits() -> Iterator[Figure]:
    """One row a driver, and one a pair."""
    for driver in DRIVERS:
        yield Figure(
            f"measure against the engine, {driver}",
            "agrees at each limit and at the limit + 1; where there is none more passes",
            "CAP-9: tests/drivers/test_limits.py; core and engine, the core's check bypassed",
            partial(_measured, driver),
        )
    for source, target in PAIRS:
        yield Figure(
            f"writes that the target would refuse, {source} → {target}",
            "refused before the source is touched, 100 %; all that both sides hold is unchanged",
            "CAP-6: dual-write, real engines; one write for each promise that is less there",
            partial(_refused, source, target),
        )


def _measured(driver: str) -> Outcome:
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
        "tests/drivers/test_limits.py", "-k", driver,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    closing = done.stdout.strip().splitlines()[-1]
    passed = re.search(r"(\d+) passed", closing)
    value = f"{passed[1]} checks agree" if passed and done.returncode == 0 else closing
    return Outcome(value, done.returncode == 0 and passed is not None)


def _refused(source: str, target: str) -> Outcome:
    with urls(source, target) as found:
        expected, results = tried(found[source], found[target])
    good = [r for r in results if r.error is not None and r.unchanged]
    missing = sorted(expected - {r.code for r in results})
    value = f"{len(good)} of {len(results)} refused, nothing changed"
    if missing:
        value += f"; not tried: {', '.join(missing)}"
    return Outcome(value, len(good) == len(results) and not missing)
