"""The person at the command line of a simulated fleet: stages, dial, copy, verification."""

from __future__ import annotations

import attrs

from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.fleet import Fleet
from polystore.migration.preflight.report import Report
from polystore.migration.preflight.scan import Scan
from polystore.migration.progress import Summary
from polystore.migration.request import Request
from polystore.migration.stages import Setting, Stage
from polystore.migration.verify import Verifier
from polystore.migration.walk import Verified
from polystore.testing.simulator.fleet import SimulatedFleet, SimulatedMember

REQUEST = Request("operator", "simulated", confirm="shop", sole=True)
"""Everything that a gate may want from a person."""

START = attrs.evolve(REQUEST, override=frozenset({"target-able"}))
"""The same for a start: a target that can only be a mirror will do."""

_WAY = list(Stage)


class Operator:
    """Runs commands in a process of its own, each to its end, while everything else goes on.

    Args:
        fleet: what they are about.
        member: the process; a new one by default.
        patience: seconds to wait for acknowledgements.
    """

    def __init__(
        self,
        fleet: SimulatedFleet,
        member: SimulatedMember | None = None,
        *,
        patience: float = 30.0,
    ) -> None:
        self.fleet = fleet
        self.member = member or fleet.member("operator")
        self.coordinator = Coordinator(self.member.group, patience=patience)

    def preflight(self, page: int = 3) -> Report:
        """Look at the source."""
        scan = Scan(self.member.group, page=page, parallel=2)
        return self.fleet.do(self.member, self.coordinator.preflight(REQUEST, scan))

    def start(self) -> Setting:
        """Begin a run, after a look at the source."""
        self.preflight()
        return self.fleet.do(self.member, self.coordinator.start(START))

    def advance(self) -> Setting:
        """Go to the next stage."""
        return self.fleet.do(self.member, self.coordinator.advance(REQUEST))

    def back(self) -> Setting:
        """Go to the stage before."""
        return self.fleet.do(self.member, self.coordinator.back(REQUEST))

    def dial(self, percent: float) -> Setting:
        """Turn the dial."""
        return self.fleet.do(self.member, self.coordinator.dial(percent, REQUEST))

    def copier(self, page: int = 3, parallel: int = 2) -> Copier:
        """A copier, of small pages."""
        return Copier(self.member.group, page=page, parallel=parallel)

    def copy(self) -> dict[str, Summary]:
        """Copy what is not copied yet."""
        return self.fleet.do(self.member, self.copier().run())

    def verifier(self, *, repair: bool = True) -> Verifier:
        """A verifier in this process."""
        return Verifier(self.member.session, Fleet(self.member.group), repair=repair)

    def verify(self, *, repair: bool = True) -> dict[str, Verified]:
        """Compare both sides."""
        return self.fleet.do(self.member, self.verifier(repair=repair).run())

    def reach(self, stage: Stage, dial: float = 0.0) -> Setting:
        """Go forward to a stage, and in dual-read to a dial, doing all that the gates ask for."""
        while (here := self.fleet.setting.stage) is not stage:
            assert _WAY.index(here) < _WAY.index(stage), f"{here} is beyond {stage}"
            if here is Stage.SOURCE_ONLY:
                self.start()
                continue
            if here is Stage.DUAL_WRITE:
                self.copy()
            if here is Stage.DUAL_READ:
                self._turned(100.0)
                self.verify()
            self.advance()
        if stage is Stage.DUAL_READ:
            self._turned(dial)
        return self.fleet.setting

    def _turned(self, percent: float) -> None:
        if self.fleet.setting.moved == 0 and percent > 0:
            self.verify()
        self.dial(percent)

    def go_back(self) -> Setting:
        """Go all the way back to source-only."""
        if self.fleet.setting.stage is Stage.DUAL_READ:
            self.dial(0.0)
        while self.fleet.setting.stage is not Stage.SOURCE_ONLY:
            self.back()
        return self.fleet.setting
