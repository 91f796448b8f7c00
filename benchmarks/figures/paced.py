"""How well a copy keeps to the rate that it was given, by the clock of the target's calls."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import polystore
from benchmarks.figures.figure import Figure, Outcome
from polystore import Collection, Config, Group
from polystore.driver import Refused, Unprocessed, Write, Written
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.request import Request

RATES = (200, 2000)
SECONDS = 15
WINDOW = 5.0


def paced() -> list[Figure]:
    """A figure for each rate."""
    return [
        Figure(
            f"rate-limited backfill at {rate}/s",
            "≥ 90 % of the configured rate over the run, never more than 2 % over it in any 5 s",
            f"{rate * SECONDS} records from SQLite to SQLite in 8 segments, timed where the "
            "target's driver is called",
            partial(_measured, rate),
        )
        for rate in RATES
    ]


def _measured(rate: int) -> Outcome:
    with TemporaryDirectory() as folder:
        config = Config(
            collections={"notes": Collection("notes", ["id:int"])},
            groups={
                "g": Group(
                    name="g",
                    collections=("notes",),
                    source=f"sqlite:///{Path(folder) / 'source.db'}",
                    target=f"sqlite:///{Path(folder) / 'target.db'}",
                )
            },
        )
        with polystore.open(config) as store:
            store.create()
            return _copied(store, rate)


def _copied(store: polystore.Store, rate: int) -> Outcome:
    member, run = store._databases.member("g"), store._databases.runner.run
    group = member.group
    notes = group.collection("notes")
    count = rate * SECONDS
    for start in range(0, count, 5000):
        ids = range(start, min(start + 5000, count))
        writes = [Write(notes, (i,), {"id": i, "text": "x" * 100}) for i in ids]
        group.sides["source"].driver.write_many(writes)
    request = Request("figures", "a copy at a rate", sole=True)
    coordinator = Coordinator(group)
    run(coordinator.preflight(request))
    run(coordinator.start(request))
    for _ in ("prepare", "dual-write"):
        run(coordinator.advance(request))
    driver = group.sides["target"].driver
    write_many = driver.write_many
    sent: list[tuple[float, int]] = []

    def timed(writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        sent.append((time.monotonic(), len(writes)))
        return write_many(writes)

    driver.write_many = timed  # type: ignore[method-assign]  # the calls of this driver alone
    began = time.monotonic()
    copied = run(Copier(group, rate=rate, parallel=8).run())["notes"]
    seconds = time.monotonic() - began
    busiest = _busiest(sorted(sent)) / WINDOW
    kept = copied.scanned / seconds
    value = (
        f"{copied.scanned} records in {seconds:.1f} s: {kept:.0f}/s ({kept / rate:.1%}); "
        f"busiest 5 s: {busiest:.0f}/s ({busiest / rate:.1%})"
    )
    return Outcome(value, copied.done and kept >= 0.9 * rate and busiest <= 1.02 * rate)


def _busiest(sent: Sequence[tuple[float, int]]) -> int:
    """The most records that were sent within any window."""
    most = total = first = 0
    for moment, count in sent:
        total += count
        while sent[first][0] <= moment - WINDOW:
            total -= sent[first][1]
            first += 1
        most = max(most, total)
    return most
