"""Five hundred simulated members: how long an epoch takes, and whether anything fails meanwhile."""

from __future__ import annotations

from collections import defaultdict

import attrs

from benchmarks.figures.figure import Figure, Outcome
from polystore.migration.stages import Setting, Stage
from polystore.testing.simulator import (
    REQUEST,
    Choices,
    Fate,
    Load,
    Operator,
    Sent,
    SimulatedFleet,
    Times,
)

MEMBERS = 500
READS, WRITES = 3000, 1000
"""A second, of one item of the control store."""

CALL_SECONDS = 0.005
MOST_SECONDS = 5.0


def crowd() -> list[Figure]:
    """The figures of a large fleet."""
    return [
        Figure(
            f"epochs of {MEMBERS} simulated members under load",
            f"each acknowledged by all in ≤ {MOST_SECONDS:g} s simulated time; 0 failed operations",
            f"a control store of {1000 * CALL_SECONDS:g} ms a call, {READS:,} reads/s and "
            f"{WRITES:,} writes/s an item; prepare → dual-write and one dial step; a client in "
            "each; from the change of the control record to the last acknowledgement",
            _measured,
        )
    ]


def _measured() -> Outcome:
    found = measured(MEMBERS)
    longest = max(found.seconds.values())
    each = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in found.seconds.items())
    value = f"{each}; {found.failed} of {found.operations} operations failed"
    return Outcome(value, longest <= MOST_SECONDS and found.failed == 0)


@attrs.define
class Crowd:
    """What a large fleet showed.

    Attributes:
        seconds: until all had acknowledged, for each epoch.
        operations, failed: what its clients asked for while the epochs changed.
    """

    seconds: dict[str, float] = attrs.field(factory=dict)
    operations: int = 0
    failed: int = 0


class Items:
    """What one item of the control store can do: calls over its rate stand in line."""

    def __init__(self, fleet: SimulatedFleet) -> None:
        self.scheduler = fleet.scheduler
        self._free: dict[tuple[object, bool], float] = defaultdict(float)

    def __call__(self, sent: Sent) -> Fate | None:
        """A rule of the network."""
        if sent.call.side != "control":
            return None
        now = self.scheduler.now
        late = 0.0
        if sent.method in ("read", "write"):
            first = sent.call.arguments[0]
            item = (first.key if sent.writes else sent.call.arguments[1][0], sent.writes)
            begins = max(now, self._free[item])
            self._free[item] = begins + 1 / (WRITES if sent.writes else READS)
            late = begins - now
        return Fate(apply=late + CALL_SECONDS / 2, answer=CALL_SECONDS / 2)


def measured(count: int) -> Crowd:
    """A stage change and a dial step of a fleet of so many members."""
    found = Crowd()
    times = Times(lease=5.0, poll=1.0, fast_poll=0.1, quarantine=60.0)
    for stage, dial in ((Stage.PREPARE, 0.0), (Stage.DUAL_READ, 0.0)):
        fleet = SimulatedFleet(Choices.seeded(1), times=times, width=16)
        load = Load(fleet, owners=tuple(f"o{i}" for i in range(50)), think=2.0)
        load.preload()
        operator = Operator(fleet)
        operator.reach(stage, dial)
        if stage is Stage.DUAL_READ:
            operator.verify()
        fleet.network.rules.append(Items(fleet))
        members = [fleet.member(f"p{i}") for i in range(count)]
        fleet.run_until(lambda: all(m.session.incarnation for m in members), 60.0, "all to join")  # noqa: B023
        fleet.pass_time(3.0)
        for member in members:
            load.start(member)
        fleet.pass_time(1.0)
        _watched(fleet, found)
        before = len(load.history)
        coordinator = operator.coordinator
        turned = (
            coordinator.advance(REQUEST)
            if stage is Stage.PREPARE
            else coordinator.dial(6.25, REQUEST)
        )
        fleet.do(operator.member, turned)
        fleet.run_until(fleet.watch.all_acked, 60.0, "all to acknowledge")
        fleet.pass_time(1.0)
        found.operations += len(load.history) - before
        found.failed += len(load.failed)
        load.running = False
        fleet.close()
    return found


def _watched(fleet: SimulatedFleet, found: Crowd) -> None:
    """Note how long each epoch takes from now on."""

    def stepped(setting: Setting) -> None:
        began = fleet.scheduler.now
        what = "frozen" if setting.frozen else f"{setting.stage.value} {setting.moved} moved"

        def look() -> None:
            if fleet.watch.all_acked():
                found.seconds.setdefault(
                    f"{what} (epoch {setting.epoch})", fleet.scheduler.now - began
                )
            elif fleet.setting.epoch == setting.epoch:
                fleet.scheduler.later(0.01, look)

        fleet.scheduler.later(0.001, look)

    fleet.watch.stepped = stepped
