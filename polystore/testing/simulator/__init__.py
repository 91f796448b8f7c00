"""A deterministic simulator of a fleet that migrates: the real procedures under every fault.

A seed decides the order of all events, what is lost, late, repeated or refused, and who stops or
dies; the same seed gives the same run. See :class:`SimulatedFleet` and :class:`Load`.
"""

from polystore.testing.simulator.choices import Choices
from polystore.testing.simulator.faults import CALM, ROUGH, Fate, Faults, Sent
from polystore.testing.simulator.fleet import (
    ITEMS,
    TOTALS,
    SimulatedFleet,
    SimulatedMember,
    Times,
)
from polystore.testing.simulator.load import Load
from polystore.testing.simulator.operator import REQUEST, Operator
from polystore.testing.simulator.plan import PAIRS, Plan
from polystore.testing.simulator.rest import come_to_rest, compare
from polystore.testing.simulator.trial import Trial
from polystore.testing.simulator.watch import Violation

__all__ = [
    "CALM",
    "ITEMS",
    "PAIRS",
    "REQUEST",
    "ROUGH",
    "TOTALS",
    "Choices",
    "Fate",
    "Faults",
    "Load",
    "Operator",
    "Plan",
    "Sent",
    "SimulatedFleet",
    "SimulatedMember",
    "Times",
    "Trial",
    "Violation",
    "come_to_rest",
    "compare",
]
