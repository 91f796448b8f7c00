"""The figures of issue 5: no acknowledged write lost, whatever dies and whenever."""

from __future__ import annotations

from benchmarks.figures.figure import Figure
from benchmarks.figures.protocol.crowd import crowd
from benchmarks.figures.protocol.guards import guards
from benchmarks.figures.protocol.kills import kills
from benchmarks.figures.protocol.mirror_down import mirror_down
from benchmarks.figures.protocol.model import model
from benchmarks.figures.protocol.scopes import scopes
from benchmarks.figures.protocol.simulations import simulations
from benchmarks.figures.protocol.verification import verification
from benchmarks.figures.protocol.write_units import write_units


def protocol() -> list[Figure]:
    """The figures of this area, in the order of the table in the issue."""
    return [
        *simulations(),
        *guards(),
        *scopes(),
        *kills(),
        *crowd(),
        *mirror_down(),
        *verification(),
        *write_units(),
        *model(),
    ]
