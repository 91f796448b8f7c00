"""The example on four URLs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.figures.figure import Figure, Outcome
from benchmarks.figures.ground import Ground

ROOT = Path(__file__).parents[3]
DRIVERS = ("memory", "sqlite", "datastore", "dynamodb")


def _printed(url: str) -> str:
    command = [sys.executable, str(ROOT / "examples" / "shop.py"), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode or done.stderr:
        raise RuntimeError(f"{url.partition(':')[0]}: {done.stderr[-300:]}")
    return done.stdout


def _same(ground: Ground) -> Outcome:
    printed = {driver: _printed(ground.url(driver)) for driver in DRIVERS}
    lines = len(printed[DRIVERS[0]].splitlines())
    other = [driver for driver in DRIVERS if printed[driver] != printed[DRIVERS[0]]]
    text = f"{len(DRIVERS) - len(other)} of {len(DRIVERS)} print the same {lines} lines"
    return Outcome(text + (f"; not {', '.join(other)}" if other else ""), not other and lines > 30)


FIGURES = (
    Figure("one application, four URLs", "the same output",
           f"examples/shop.py on {', '.join(DRIVERS)}; what it prints, line by line", _same),
)  # fmt: skip
