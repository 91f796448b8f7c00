"""The demo itself: the walk through every stage under load, and the verdict at its end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from polystore.cli.crew.contents import contents, filled
from polystore.cli.crew.journal import Entry
from polystore.cli.crew.phases import Phases
from polystore.cli.crew.places import Place, places
from polystore.cli.crew.processes import Crew
from polystore.cli.demo.dataset import CITIES, Dataset, load
from polystore.cli.demo.declared import GROUP, write_config
from polystore.cli.demo.judge import Findings, judge
from polystore.cli.demo.worker import KINDS
from polystore.cli.output import Output
from polystore.cli.place import joined, opened
from polystore.errors import MigrationError
from polystore.membership import Membership
from polystore.migration.coordinator import Coordinator
from polystore.migration.fleet import Fleet
from polystore.migration.group import OpenGroup
from polystore.migration.progress import copy_summary
from polystore.migration.request import Request
from polystore.migration.stages import TARGET, Setting
from polystore.migration.verify import Verifier
from polystore.migration.walk import Verified
from polystore.runner import SyncRunner
from polystore.values import Fields, Key

OPERATIONS = 520
"""Operations that are waited for in each stage and dial step: 500 and some (DEMO-3)."""

OF_EACH_KIND = dict.fromkeys(KINDS, 52)
"""And of each kind: 50, and some that may have ended just before the stage began."""

STAGES = 11
"""Stages and dial steps of the walk."""

LOOK_SECONDS = 0.8
"""How often the progress of the copy is looked up."""

KILLED_COPY_SECONDS = 10.0
"""A copy that is to be killed takes at least so long, so that several looks fall into it."""

WAIT_LEASE = 2.0
"""Lease of the demo in seconds: shorter than the default 5, so that a death is noticed sooner."""


@attrs.frozen
class Plan:
    """What to run.

    Attributes:
        source, target: names of drivers, or URLs.
        cities: how many of the largest cities are moved.
        processes: application processes.
        rate: operations a second of each while a stage is being entered; then they hurry.
        kills: shares of the copy, in %, at which the backfill is killed and started again.
    """

    source: str = "datastore"
    target: str = "dynamodb"
    cities: int = CITIES
    processes: int = 4
    rate: float = 5.0
    kills: Sequence[float] = ()


class Demo:
    """One run of the demo.

    Args:
        plan: what to run.
        folder: an empty folder for its files.
        output: where to print.
    """

    def __init__(self, plan: Plan, folder: Path, output: Output) -> None:
        self.plan = plan
        self.folder = folder
        self.output = output
        self.phases = Phases(output, STAGES, OPERATIONS, OF_EACH_KIND)
        self.copies: list[str] = []
        self._runner = SyncRunner()
        self._records = 0

    def run(self) -> dict[str, Any]:
        """Run it all; what ``--json`` prints.

        Raises:
            PolystoreError: it could not be run to its end.
        """
        began = time.monotonic()
        loader = ThreadPoolExecutor(1)
        loading = loader.submit(load, self.plan.cities)  # while the engines start
        loader.shutdown(wait=False)
        with places((self.plan.source, self.plan.target), self.folder) as sides:
            data = loading.result()
            self._records = sum(len(found) for found in data.records().values())
            config = self._configured(sides)
            for side, place in zip(("source", "target"), sides, strict=True):
                self.output.say(f"{side}: {place.product}")
            self._create(config)
            with opened(config, GROUP) as member:
                operations, after, leftovers = self._moved(config, member, data)
            findings = judge(operations, data.records(), after)
            if leftovers:
                findings.different.append(f"{leftovers} tombstones or slots are left")
        return self._result(findings, operations, sides, time.monotonic() - began)

    # -- before -------------------------------------------------------------------------------

    def _configured(self, sides: tuple[Place, Place]) -> Path:
        """The configuration file that the application processes open."""
        times = {"lease": WAIT_LEASE, "poll": 0.5, "call_timeout": 3.0, "quarantine": 6.0}
        return write_config(self.folder / "polystore.toml", sides[0].url, sides[1].url, times)

    def _create(self, config: Path) -> None:
        import polystore

        with polystore.open(config) as store:
            store.create()

    def _fill(self, group: OpenGroup, data: Dataset) -> None:
        """Put the data into the source as its own users would: without any mark of polystore."""
        with self.output.progress("loading the source", self._records) as advance:
            for count in filled(group, data.records()):
                advance(count)
        self.output.say(f"loaded {len(data.cities)} cities and {len(data.countries)} countries")

    # -- the walk -----------------------------------------------------------------------------

    def _moved(
        self, config: Path, member: Membership, data: Dataset
    ) -> tuple[list[Entry], dict[str, dict[Key, Fields]], int]:
        worker = ("polystore.cli.demo.worker", str(config))
        crew = Crew(worker, self.folder, data, self.plan.processes, self.plan.rate)
        try:
            self._fill(member.group, data)
            crew.go()
            self._walk(config, member, crew)
        finally:
            crew.stop()
        printed = crew.printed()
        if printed:
            self.output.say(printed[:2000])
        group = member.group
        after, leftovers = contents(group.sides[TARGET].driver, group)
        return crew.operations(), after, leftovers

    def _walk(self, config: Path, member: Membership, crew: Crew) -> None:
        group = member.group
        coordinator = Coordinator(group)
        request = Request("demo", "polystore demo", confirm=GROUP, sole=True)

        def to(
            name: str,
            *enter: Callable[[], object],
            inside: Callable[[], dict[str, Verified] | None] | None = None,
        ) -> None:
            with self.phases.stage(name, crew) as phase:
                for step in enter:
                    step()
                if inside is not None:
                    verified = self.phases.beside(phase, crew, inside) or {}
                    phase.found += sum(len(v.discrepancies) for v in verified.values())
                    phase.repaired += sum(v.repaired for v in verified.values())

        def go(step: Callable[[Request], Any]) -> Callable[[], Setting]:
            return lambda: self._runner.run(step(request))

        def dial(percent: float) -> Callable[[], Setting]:
            return lambda: self._runner.run(coordinator.dial(percent, request))

        def verify() -> dict[str, Verified]:
            return self._verify(config)

        to("source-only", inside=lambda: self._preflight(coordinator, request))
        to("prepare", go(coordinator.start), go(coordinator.advance))
        to("dual-write", go(coordinator.advance), lambda: self._backfill(config, group))
        to("dual-read", go(coordinator.advance), inside=verify)
        for percent in (10, 50, 0):
            to(f"dial {percent} %", dial(percent))
        to("dial 100 %", dial(100), inside=verify)
        to("target-only", go(coordinator.advance))
        to("clean", go(coordinator.advance))
        to("detached", go(coordinator.advance))

    def _preflight(self, coordinator: Coordinator, request: Request) -> None:
        self._runner.run(coordinator.preflight(request))

    def _backfill(self, config: Path, group: OpenGroup) -> None:
        """Copy in a process of its own; kill it where the plan says, and start it again."""
        total = self._records
        kills = sorted(self.plan.kills)
        with self.output.progress("copying", total) as advance:
            while True:
                kill_at = kills.pop(0) / 100 * total if kills else float("inf")
                if self._copied(config, group, kill_at, advance):
                    return

    def _copied(
        self, config: Path, group: OpenGroup, kill_at: float, advance: Callable[[int], None]
    ) -> bool:
        """One process of the copy; whether it came to its end. ``False``: it was killed."""
        pages = self.folder / "pages.log"
        command = [
            sys.executable, "-m", "polystore.cli", "migrate", "backfill", "--config", str(config),
            "--json", "--log", str(pages), "--page", "300",
        ]  # fmt: skip
        if kill_at < self._records:
            command += ["--rate", str(self._records / KILLED_COPY_SECONDS)]
        seen = self._scanned(group)
        log = self.folder / "backfill.log"
        with log.open("ab") as printed:
            process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_SECONDS)
            now = self._scanned(group)
            advance(now - seen)
            seen = now
            if seen >= kill_at and process.poll() is None:
                process.kill()
                if process.wait() == -signal.SIGKILL:
                    self.copies.append(f"killed at {seen} records")
                    return False
        if process.returncode != 0:
            raise MigrationError(f"the backfill failed:\n{log.read_text()[-2000:]}")
        return True

    def _scanned(self, group: OpenGroup) -> int:
        async def sums() -> int:
            setting = await group.ledger.setting()
            found = [await copy_summary(group.ledger, setting, name) for name in group.collections]
            return sum(summary.scanned for summary in found)

        return self._runner.run(sums())

    def _verify(self, config: Path) -> dict[str, Verified]:
        """Compare both sides in full, as a member of its own."""
        total = 2 * self._records
        with (
            self.output.progress("verifying", total) as advance,
            opened(config, GROUP) as member,
            joined(member) as session,
        ):
            verifier = Verifier(
                session, Fleet(member.group), progress=lambda _name, _side, count: advance(count)
            )
            return self._runner.run(verifier.run())

    # -- after --------------------------------------------------------------------------------

    def _result(
        self,
        findings: Findings,
        operations: Sequence[Entry],
        sides: tuple[Place, Place],
        seconds: float,
    ) -> dict[str, Any]:
        stages = self.phases.rows(operations)
        open_ = sum(s["found"] for s in stages) - sum(s["repaired"] for s in stages)
        repaired = sum(s["repaired"] for s in stages)
        clean = findings.clean and not open_ and not repaired
        return {
            "verdict": "clean" if clean else "not clean",
            "acknowledged": findings.acknowledged,
            "lost": len(findings.lost),
            "errors": sum(findings.errors.values()),
            "different": len(findings.different) + open_,
            "repaired": repaired,
            "doubled": len(findings.doubled),
            "returned": len(findings.returned),
            "stale": len(findings.stale),
            "wrong": len(findings.wrong),
            "seconds": round(seconds, 1),
            "source": sides[0].product,
            "target": sides[1].product,
            "backfill": self.copies,
            "pages_twice": _twice(self.folder / "pages.log"),
            "findings": findings.told(),
            "stages": stages,
        }


def _twice(log: Path) -> int:
    """How many pages of the copy were sent more than once."""
    if not log.exists():
        return 0
    pages = Counter(log.read_text().splitlines())
    return sum(count - 1 for count in pages.values())
