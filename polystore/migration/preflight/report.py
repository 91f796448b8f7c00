"""The report: what the scan found and what live writes showed, joined; what is settled; the costs.

It is read from the control store alone, so that any process, the gate too, sees the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from polystore.errors import InvalidRequest
from polystore.migration.group import OpenGroup
from polystore.migration.preflight.checkpoints import (
    Begun,
    Part,
    basis_of,
    begun,
    parts,
    run_of,
)
from polystore.migration.preflight.costs import Billed, StageCost, Totals, stage_costs, totals
from polystore.migration.preflight.findings import Cases, Cause, Findings, Kind
from polystore.migration.preflight.looking import Tally
from polystore.migration.preflight.observed import observed
from polystore.migration.preflight.settling import settles
from polystore.migration.preflight.signing import Signed, sign, signed
from polystore.migration.stages import SOURCE, TARGET, Setting


@attrs.frozen(kw_only=True)
class Finding:
    """One finding of one collection, from the scan and from live writes.

    Attributes:
        collection: its name.
        cause: what it is about.
        cases: all of it.
        live: how many of the cases live writes showed.
        signed: who answers for it, or ``None``.
    """

    collection: str
    cause: Cause
    cases: Cases
    live: int = 0
    signed: Signed | None = None

    @property
    def name(self) -> str:
        """Names it in its group: what ``--sign-off`` takes."""
        return f"{self.collection}/{self.cause.name}"

    @property
    def settled(self) -> bool:
        """Whether nothing need be done: a note, or signed off with no case more since."""
        if self.cause.kind is not Kind.REFUSE:
            return True
        return self.signed is not None and self.signed.count >= self.cases.count

    @property
    def settles(self) -> str:
        """What settles it."""
        return settles(self.collection, self.cause)


@attrs.frozen(kw_only=True)
class Looked:
    """One collection, as far as it was looked at.

    Attributes:
        segments, ended: of the scan.
        scanned: records read, tombstones included.
        current: whether what was found rests on what is declared and promised now.
        findings: refusals first, the most cases first.
        source, target: what its records take there, and how that is counted.
    """

    collection: str
    segments: int
    ended: int
    scanned: int
    current: bool
    findings: tuple[Finding, ...]
    source: Billed
    target: Billed

    @property
    def done(self) -> bool:
        """Whether every record was looked at, on the basis of now."""
        return self.current and 0 < self.segments == self.ended

    def stages(self) -> list[StageCost]:
        """What one operation uses in each stage."""
        return stage_costs(self.source, self.target)

    def totals(self) -> Totals:
        """What the copy and a verification use, and what the target will hold."""
        return totals(self.source, self.target)


@attrs.frozen(kw_only=True)
class Report:
    """A group's preflight for one run, as it stands.

    Attributes:
        group: its name.
        run: the run that it is for.
        begun: the newest scan, or ``None``.
        looked: by collection.
    """

    group: str
    run: int
    begun: Begun | None
    looked: tuple[Looked, ...]

    @property
    def unsettled(self) -> list[Finding]:
        """The findings that somebody has to settle."""
        return [f for looked in self.looked for f in looked.findings if not f.settled]

    @property
    def done(self) -> bool:
        """Whether the scan is at its end."""
        return all(looked.done for looked in self.looked)

    @property
    def clean(self) -> bool:
        """Whether the scan is at its end and nothing is left to settle."""
        return self.done and not self.unsettled

    def verdict(self) -> str:
        """One line for people: what is to be done, or that nothing is."""
        if self.begun is None:
            return "nobody has looked at the source for this run: run `polystore preflight`"
        stale = [looked.collection for looked in self.looked if not looked.current]
        if stale:
            return (
                f"{', '.join(stale)}: what is declared or promised has changed since the scan: "
                "run `polystore preflight` again"
            )
        if not self.done:
            ended = sum(looked.ended for looked in self.looked)
            segments = sum(looked.segments for looked in self.looked)
            return (
                f"{ended} of {segments} segments were scanned: run `polystore preflight` again, it "
                "goes on where it was"
            )
        if self.unsettled:
            told = "; ".join(f"{f.name}: {f.cases.count} cases" for f in self.unsettled)
            return f"settle these, and run `polystore preflight` again, or sign them off: {told}"
        return "the target holds everything that the source has"


async def report_of(group: OpenGroup, setting: Setting) -> Report:
    """Read everything that is known for the run of now; changes nothing."""
    ledger, run = group.ledger, run_of(setting)
    scan = await begun(ledger, run)
    found = [] if scan is None else await parts(ledger, run, scan.number)
    live, answered = await observed(group, run), await signed(ledger, run)
    looked = tuple(
        _looked(group, name, scan, [p for p in found if p.collection == name], live[name], answered)
        for name in group.collections
    )
    return Report(group=group.config.name, run=run, begun=scan, looked=looked)


def _looked(
    group: OpenGroup,
    name: str,
    scan: Begun | None,
    found: list[Part],
    live: Findings,
    answered: Mapping[str, Signed],
) -> Looked:
    collection, tally = group.collection(name), Tally()
    for part in found:
        tally.join(part.tally)
    joined = tally.all()
    joined.join(live)
    showed = {cause: cases.count for cause, cases in live}
    findings = [
        Finding(
            collection=name,
            cause=cause,
            cases=cases,
            live=showed.get(cause, 0),
            signed=answered.get(f"{name}/{cause.name}"),
        )
        for cause, cases in joined
    ]
    findings.sort(key=lambda f: (list(Kind).index(f.cause.kind), -f.cases.count, f.name))
    billed = {
        side.name: Billed(tally.usage[side.name], side.driver.tariff(collection))
        for side in group.sides.values()
    }
    return Looked(
        collection=name,
        segments=found[0].count if found else 0,
        ended=sum(part.done for part in found),
        scanned=sum(part.scanned for part in found),
        current=scan is not None and scan.basis.get(name) == basis_of(group, collection),
        findings=tuple(findings),
        source=billed[SOURCE],
        target=billed[TARGET],
    )


async def sign_off(group: OpenGroup, setting: Setting, name: str, who: str, why: str) -> None:
    """Answer for the cases that a finding has now; one more and it is open again.

    Raises:
        InvalidRequest: there is no open finding of this name; the message lists those that are.
    """
    report = await report_of(group, setting)
    finding = next((f for f in report.unsettled if f.name == name), None)
    if finding is None:
        names = ", ".join(f.name for f in report.unsettled) or "none"
        raise InvalidRequest(f"no open finding is called {name!r}; open: {names}")
    cases = finding.cases
    await sign(group.ledger, setting, name, cases.count, cases.says, who, why)
