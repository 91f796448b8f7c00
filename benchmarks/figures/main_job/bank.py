"""Bank transfers on each driver, and across a whole migration (benchmarks/bank.py)."""

from __future__ import annotations

from functools import partial

from benchmarks.bank import Tally, bank, moving_bank
from benchmarks.figures.figure import Figure, Outcome
from benchmarks.figures.ground import Ground

DRIVERS = ("memory", "sqlite", "datastore", "dynamodb")
MOVES = (("sqlite", "sqlite"), ("datastore", "dynamodb"))
WORKERS = 4
SECONDS = 5.0


def _outcome(done: Tally) -> Outcome:
    text = (
        f"{done.wrong} wrong sums in {done.readings} readings beside {done.transfers} transfers, "
        f"{done.gave_up} gave up"
    )
    return Outcome(text, done.wrong == 0 and done.readings > 0 and done.transfers >= 50)


def _still(ground: Ground, driver: str) -> Outcome:
    return _outcome(bank(ground.url(driver), SECONDS, WORKERS))


def _moving(ground: Ground, source: str, target: str) -> Outcome:
    return _outcome(moving_bank(ground.url(source), ground.url(target), WORKERS))


def _who(driver: str) -> str:
    return f"{WORKERS} {'threads' if driver == 'memory' else 'processes'}"


FIGURES = (
    *(
        Figure(f"bank on {driver}", "0 wrong sums",
               f"{_who(driver)} transfer and read for {SECONDS:g} s, all in transactions",
               partial(_still, driver=driver))
        for driver in DRIVERS
    ),
    *(
        Figure(f"bank while it moves, {s} → {t}", "0 wrong sums",
               f"{_who(s)} work on while the bank goes through every stage and dial step",
               partial(_moving, source=s, target=t))
        for s, t in MOVES
    ),
)  # fmt: skip
