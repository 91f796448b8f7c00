"""The rehearsal itself: the sample, the places, two walks, and the account of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

import polystore
from polystore.cli.crew.contents import contents, emptied, filled
from polystore.cli.crew.phases import EXPECTED
from polystore.cli.crew.places import places
from polystore.cli.output import Output
from polystore.cli.place import opened
from polystore.cli.rehearse.declared import rehearsed
from polystore.cli.rehearse.load import Difference, Place, Task, compared, shape_of
from polystore.cli.rehearse.sample import sampled
from polystore.cli.rehearse.walk import ALL_THE_WAY, Leg, Plan, there_and_back
from polystore.config import Config
from polystore.membership import Membership
from polystore.migration.coordinator import Coordinator
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import CONTROL
from polystore.migration.preflight.report import Report
from polystore.migration.preflight.shape import shape
from polystore.migration.request import Request
from polystore.migration.stages import SOURCE, TARGET, Setting
from polystore.runner import SyncRunner
from polystore.values import Fields, Key


class Rehearsal:
    """One rehearsal.

    Args:
        plan: what to rehearse.
        declared: the configuration for the real databases.
        folder: an empty folder for its files.
        output: where to print.
    """

    def __init__(self, plan: Plan, declared: Config, folder: Path, output: Output) -> None:
        self.plan = plan
        self.folder = folder
        self.output = output
        self._declared = declared
        self._run = SyncRunner().run

    def run(self) -> dict[str, Any]:
        """Take the sample, and rehearse on it; what ``--json`` prints.

        Raises:
            PolystoreError: it could not be run to its end.
        """
        began = time.monotonic()
        with opened(self._declared, self.plan.group) as real:
            name, colocate = real.group.config.name, real.group.config.colocate
            records, observed = self._sample(real.group)
            drivers = [url.partition("://")[0] for url in (real.group.config.source,
                                                           real.group.config.target)]  # fmt: skip
        wanted = (self.plan.source or drivers[0], self.plan.target or drivers[1])
        with places(wanted, self.folder) as (source, target):
            task = Task(
                config=str(self.plan.config), group=name, source=source.url, target=target.url,
                records=records, shape=shape_of(observed, records),
                processes=self.plan.processes, colocate=colocate,
            )  # fmt: skip
            config = rehearsed(self._declared, name, source.url, target.url)
            for side, place in (("source", source), ("target", target)):
                self.output.say(f"{side}: {place.product}")
            with polystore.open(config) as store:
                store.create()
            with opened(config, name) as member:
                for _ in filled(member.group, records):
                    pass
                report = self._run(Coordinator(member.group).preflight(_REQUEST))
                legs: list[dict[str, Any]] = []
                problems = [] if report.clean else [f"preflight: {report.verdict()}"]
                if report.clean:
                    legs, problems = self._legs(config, member, task)
        return {
            "verdict": "not ready" if problems else "ready",
            "problems": problems,
            "group": name,
            "source": source.product,
            "target": target.product,
            "sample": {collection: len(found) for collection, found in records.items()},
            "shape": {"observed": bool(observed), "operations": task.shape},
            "preflight": _findings(report),
            "legs": legs,
            "seconds": round(time.monotonic() - began, 1),
        }

    def _sample(
        self, group: OpenGroup
    ) -> tuple[dict[str, dict[Key, Fields]], dict[str, dict[str, int]]]:
        most = self.plan.records * len(group.collections)
        with self.output.progress("taking a sample", most) as advance:
            setting, observed = self._run(_known(group))
            records = self._run(sampled(group, setting, self.plan.records, self.plan.rate, advance))
        if not any(records.values()):
            raise polystore.InvalidRequest("the source has no records: there is nothing to sample")
        counted = ", ".join(f"{len(found)} of {name}" for name, found in records.items())
        self.output.say(f"a sample of the source: {counted}")
        return records, observed

    def _legs(
        self, config: Config, member: Membership, task: Task
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """There and back, judged on the source; then all the way, judged on the target."""
        told, problems = [], []
        parts = member.group.config.colocate is not None
        walks = (
            ("there and back", there_and_back(parts=parts), SOURCE),
            ("all the way", ALL_THE_WAY, TARGET),
        )
        for number, (name, steps, side) in enumerate(walks):
            folder = self.folder / f"leg{number}"
            leg = Leg(config, member, task, folder, self.output, self.plan)
            expected = leg.walk(steps)
            after, leftovers = contents(member.group.sides[side].driver, member.group)
            difference = compared(expected, after)
            problems += [f"{name}: {p}" for p in _problems(leg, difference)]
            if side == TARGET and leftovers:
                problems.append(f"{name}: {leftovers} tombstones or slots are left")
            told.append(
                {
                    "leg": name,
                    "stages": leg.rows,
                    "lost": len(difference.lost),
                    "different": len(difference.different),
                    "returned": len(difference.returned),
                    "printed": leg.printed[:2000],
                }
            )
            task = attrs.evolve(task, records=after)
            if side == SOURCE:  # as an operator does who gave a run up: a run begins on nothing
                emptied(member.group.sides[TARGET], member.group)
        return told, problems


_REQUEST = Request("rehearsal", "polystore rehearse")


async def _known(group: OpenGroup) -> tuple[Setting, dict[str, dict[str, int]]]:
    """What the control store says; it need not be there before anything is prepared."""
    if not (await group.ledger.side.describe(CONTROL)).exists:
        return Setting(), {}
    return await group.ledger.setting(), await shape(group.ledger)


def _problems(leg: Leg, difference: Difference) -> list[str]:
    errors = Counter(e.error for e in leg.operations if e.error and e.error not in EXPECTED)
    wrong = [e.wrong for e in leg.operations if e.wrong]
    told = [
        *(f"{number} operations failed with {code}" for code, number in errors.items()),
        *wrong[:_MOST_TOLD],
        *leg.discrepancies[:_MOST_TOLD],
    ]
    for what in ("lost", "different", "returned"):
        keys: Sequence[Place] = getattr(difference, what)
        told += [f"{what}: {name} {key!r}" for name, key in keys[:_MOST_TOLD]]
    return told


_MOST_TOLD = 10


def _findings(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "finding": f.name,
            "kind": f.cause.kind.value,
            "cases": f.cases.count,
            "says": f.cases.says,
        }
        for looked in report.looked
        for f in looked.findings
    ]
