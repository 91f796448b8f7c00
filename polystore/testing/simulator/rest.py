"""When everything has come to its end: what must be so then (PROTOCOL.md 12)."""

from __future__ import annotations

from polystore.migration.stages import Stage
from polystore.testing.simulator.faults import CALM
from polystore.testing.simulator.fleet import SimulatedFleet
from polystore.testing.simulator.load import Load
from polystore.testing.simulator.operator import Operator
from polystore.testing.simulator.watch import Violation

PATIENCE = 120.0
"""Seconds for everything to come to rest."""


def come_to_rest(fleet: SimulatedFleet, load: Load, *, alarms: bool = False) -> None:
    """Let all work end and look: sides, late calls, sides again, history.

    Args:
        alarms: whether shadow reads may have found discrepancies: where some were planted.

    Raises:
        Violation, NotLinearizable: a promise was broken.
    """
    fleet.network.faults = CALM
    fleet.network.rules.clear()
    fleet.network.down.clear()
    load.end()
    operator = Operator(fleet, fleet.member("observer"), patience=PATIENCE)
    fleet.do(operator.member, operator.coordinator.finish(), 2 * PATIENCE)
    fleet.run_until(fleet.settled, PATIENCE, "everybody to owe nothing")
    if fleet.setting.stage is Stage.DUAL_WRITE:
        operator.copy()
    compare(fleet)
    fleet.network.release()
    fleet.run_until(lambda: not fleet.network.waiting, 2 * PATIENCE, "late calls")
    compare(fleet)
    load.read_all(operator.member)
    load.check()
    for member in () if alarms else fleet.members:
        for discrepancy in member.keeper.discrepancies:
            raise Violation(f"SHD-2: a shadow read alarmed: {discrepancy}")


def compare(fleet: SimulatedFleet) -> None:
    """P7: where a mirror is kept, both sides are equal. Raises Violation."""
    found = fleet.differences() if fleet.setting.stage.mirrored else []
    if found:
        raise Violation(f"P7: at rest in {fleet.setting.stage.value}: {found}")
