"""How long operations wait while stages change and the dial turns, with nothing going wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import attrs

import polystore
from polystore.testing.kills.crew import Crew
from polystore.testing.kills.found import Found
from polystore.testing.kills.harness import judged, prepared
from polystore.testing.kills.roles import Log, Operator
from polystore.testing.kills.settings import Settings

STEPS = 16
"""Dial steps from one end to the other, of 16 buckets each."""

STEP = 100 / STEPS
"""Per cent of one of them."""


@attrs.define
class Holds:
    """What operations waited for.

    Attributes:
        stages: seconds that each held operation waited for a change of the stage.
        frozen: the same for dial steps.
        found: what the journals tell.
    """

    stages: list[float]
    frozen: list[float]
    found: Found


def holds(
    folder: Path, urls: Mapping[str, str], settings: Settings, *, least: int, turns: int = 24
) -> Holds:
    """Go from prepare to dual-read under load, then turn the dial step by step, there and back.

    Args:
        folder, urls: as for a run with kills.
        settings: of the load.
        least: so many operations must have been held by dial steps before it ends...
        turns: ...or the dial has been turned so many times from one end to the other.
    """
    config = settings.write(folder, urls)
    with polystore.open(config[0], check=False) as store:
        prepared(store, settings, folder)
        crew = Crew(folder, config, settings)
        try:
            for _ in range(settings.workers):
                crew.start("worker")
            time.sleep(2.0)  # all of them are at work
            with closing(Log(folder / "operator1.log")) as log:
                operator = Operator(store, log)
                operator.forward()
                turning = time.monotonic_ns()
                for turn in range(turns):
                    for step in range(1, STEPS + 1):
                        operator.turn(STEP * (step if turn % 2 == 0 else STEPS - step))
                        crew.check()
                    if len(_held(folder, turning, time.monotonic_ns())) >= least:
                        break
                turned = time.monotonic_ns()
        finally:
            crew.end()
    with polystore.open(config[0], check=False) as store:
        found = judged(store, settings, folder)
    return Holds(_held(folder, 0, turning), _held(folder, turning, turned), found)


def _held(folder: Path, after: int, before: int) -> list[float]:
    """Seconds of each wait that ended between two moments."""
    return [
        more["seconds"]
        for path in folder.glob("worker*.log")
        for moment, what, more in Log.lines(path)
        if what == "held" and after < moment < before
    ]


def p99(values: list[float]) -> float:
    """The 99th percentile, rounded up to one that was measured; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]
