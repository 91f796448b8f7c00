"""What has to happen in a batch of trials, so that their silence says something.

A fault that never fired, or a way that nobody went, was not tested. :func:`missing` names those.
"""

from __future__ import annotations

from collections.abc import Mapping

from polystore.testing.simulator.imitation import MANNERS

GONE_ON = "applied when its caller had gone on"
"""A late call."""

LEFT = "left unprocessed"
"""A part of a batch, as its answer says."""

PART = "applied in part, answer lost"
"""A part of a batch, as nothing says."""

CALLS = (
    "lost", "applied, answer lost", "held", "slow", "refused: Unavailable", "refused: Throttled",
    "refused: Contention", "sent twice by the wire", "short page", "page repeated",
    LEFT, PART, GONE_ON, "applied after its process died",
    "applied after a lease", "applied after an epoch", "applied after a home moved",
)  # fmt: skip
"""What became of calls."""

LATE = "answered with an earlier state"
"""Only where a database may."""

PROCESSES = (
    "crash", "restart", "pause", "outage of the source", "outage of the target", "shut out",
    "shut out alive", "recovered", "several operators", "several copiers", "several verifiers",
    "outcome unknown to the caller",
)  # fmt: skip
"""What became of processes."""

WAYS = (
    "source-only → armed", "armed → prepare", "prepare → dual-write", "dual-write → dual-read",
    "dual-read → target-only", "target-only → clean",
    "dual-read → dual-write", "dual-write → prepare", "prepare → armed", "armed → source-only",
    "dial up", "dial down", "freeze", "freeze given up",
)  # fmt: skip
"""Stages and dial, both ways."""


def missing(happened: Mapping[str, int], pair: tuple[str, str] = ("memory", "memory")) -> list[str]:
    """What a batch of trials of a pair should have seen and has not."""
    late = (LATE,) if any(MANNERS[name].lags for name in pair) else ()
    return [what for what in (*CALLS, *late, *PROCESSES, *WAYS) if not happened.get(what)]
