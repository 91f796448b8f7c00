"""Real processes: killed, paused and cut off; and how long operations are held without faults."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks.figures.figure import Figure, Outcome
from benchmarks.real_kills import engines, real_kills
from polystore.testing.kills import Settings
from polystore.testing.kills.holds import holds, p99
from polystore.testing.kills.paused import woken

SECONDS = os.environ.get("POLYSTORE_KILL_SECONDS")
"""Seconds of each run; by default what the issue says."""

LONG, SHORT = 600.0, 60.0

SEED = int(os.environ.get("POLYSTORE_KILL_SEED", "1"))

LEAST_HELD = 200
"""So many held operations make a 99th percentile that two of them do not decide."""

MAIN = (("datastore", "dynamodb"), ("sqlite", "sqlite"))
LASTING = ("sqlite", "datastore", "dynamodb")
OTHERS = [pair for pair in product(LASTING, LASTING) if pair not in MAIN]
"""Memory lives in one process: the simulator is what kills there."""


def kills() -> list[Figure]:
    """The figures with real processes."""
    return [*_killed(MAIN, LONG), *_killed(OTHERS, SHORT), *_held(), *_paused()]


def _killed(pairs: Iterable[tuple[str, str]], seconds: float) -> Iterator[Figure]:
    chosen = float(SECONDS) if SECONDS else seconds
    for pair in pairs:
        yield Figure(
            f"real kills, {pair[0]} → {pair[1]}",
            "0 lost, 0 different, 0 resurrected",
            f"4 processes for {chosen:g} s; SIGKILL and SIGSTOP of them, operator, copier and "
            "verifier; connections cut, delayed, answers swallowed; engines stopped, DynamoDB "
            "restarted; the history of each key by WGL, both sides scanned",
            partial(_kill, pair, chosen),
        )


def _kill(pair: tuple[str, str], seconds: float) -> Outcome:
    found = real_kills(pair, Settings(seconds=seconds, seed=SEED))
    if not found.clean:
        return Outcome(found.told(), holds=False)
    value = (
        f"{found.summary()}; {found.operations} operations, {found.unknown} unknown, "
        f"{sum(found.faults.values())} faults, {found.steps} settings"
    )
    return Outcome(value, found.operations > 0 and found.steps > 2)


def _held() -> Iterator[Figure]:
    for pair in MAIN:
        yield Figure(
            f"stage changes and dial steps under load, {pair[0]} → {pair[1]}",
            "0 failed operations; p99 hold of a frozen key ≤ 0.5 s",
            "4 processes, 2 clients each, prepare to dual-read, then dial steps of 16 buckets, 0 "
            f"to 100 % and back, until {LEAST_HELD} operations were held by them; the wait of "
            "each admission as its process measured it",
            partial(_hold, pair),
        )


def _hold(pair: tuple[str, str]) -> Outcome:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with engines(pair, folder, lasting=False) as (urls, _):
            settings = Settings(seed=SEED, think=0.01, fast_polls=(0.05, 0.05))
            held = holds(folder, urls, settings, least=LEAST_HELD)
    found = held.found
    failed = sum(found.errors.values()) + found.unknown
    longest = p99(held.frozen)
    value = (
        f"{failed} of {found.operations} failed; {len(held.frozen)} held by dial steps, p99 "
        f"{longest:.3f} s; {len(held.stages)} by stage changes, p99 {p99(held.stages):.3f} s"
    )
    enough = len(held.frozen) >= LEAST_HELD
    return Outcome(value, failed == 0 and enough and longest <= 0.5 and found.clean)


def _paused() -> Iterator[Figure]:
    for pair in MAIN:
        yield Figure(
            f"processes that wake after the hand-over, {pair[0]} → {pair[1]}",
            "0 writes land, reads withheld",
            "2 processes SIGSTOPped before their commit is sent, 2 after their read was answered; "
            "dial 0 → 100, the keys changed at the new home, SIGCONT",
            partial(_pause, pair),
        )


def _pause(pair: tuple[str, str]) -> Outcome:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with engines(pair, folder, lasting=False) as (urls, _):
            found = woken(folder, urls)
    value = (
        f"{found.landed} of {found.writers} writes landed at the old home, {found.stale} of "
        f"{found.readers} reads returned what it had said, {found.different} different"
    )
    return Outcome(value, found.landed + found.stale + found.different == 0)
