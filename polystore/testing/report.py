"""What a run of the conformance suite found: an object for programs, and a page for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import attrs
import pytest

from polystore.capabilities.wire import to_json
from polystore.plugin.installed import installed
from polystore.testing import PROMISE, WEAKER
from polystore.testing.claims import Bench
from polystore.testing.pairs import Pair

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_OURS = {"attrs", "pluggy", "polystore-core"}
"""What every driver builds on."""

FOUND = ("passed", "failed", "skipped")


@attrs.define
class Case:
    """One test: the rules it checks, what came of it, and the first line of what a failure says."""

    driver: str
    rules: tuple[str, ...]
    outcome: str = "passed"
    says: str = ""
    seconds: float = 0.0
    weaker: str | None = None
    promise: str | None = None


@attrs.define(eq=False)
class Report:
    """A plugin that listens to a session.

    Args:
        path: where to write: ``path`` with the suffix .json, and with .md.
        profile: how many examples.
        seed: of what was drawn, where one was given.
    """

    path: Path
    profile: str
    seed: str | None = None
    cases: dict[str, Case] = attrs.field(factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Preparation, test and clearing up are one case; the worst counts."""
        told: dict[str, Any] = dict(report.user_properties)
        if "polystore" not in told:
            return
        driver, rules = told["polystore"]
        case = self.cases.setdefault(report.nodeid, Case(driver, tuple(rules)))
        case.seconds += report.duration
        case.weaker, case.promise = told.get(WEAKER, case.weaker), told.get(PROMISE)
        if report.failed or (report.skipped and case.outcome == "passed"):
            case.outcome = report.outcome
            case.says = _first_line(report)

    def write(
        self, benches: Mapping[str, Bench], pairs: Mapping[str, Pair], left_out: Mapping[str, str]
    ) -> None:
        """Write both files: a report for each driver that was tried alone, and for each pair."""
        alone = {case.driver for case in self.cases.values()} & benches.keys()
        found = [self.of(name, bench, left_out) for name, bench in benches.items() if name in alone]
        found += [self.of_pair(name, pair, left_out) for name, pair in pairs.items()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.with_suffix(".json").write_text(json.dumps({"reports": found}, indent=1) + "\n")
        self.path.with_suffix(".md").write_text("\n".join(map(page, found)))

    def of(self, driver: str, bench: Bench, left_out: Mapping[str, str]) -> dict[str, Any]:
        """What was found of one driver."""
        found = self._of(driver, left_out)
        return {"driver": driver, **_about(driver, bench), "calls": bench.calls, **found}

    def of_pair(self, named: str, pair: Pair, left_out: Mapping[str, str]) -> dict[str, Any]:
        """What was found of one pair."""
        benches = zip(pair.names, pair.benches, strict=True)
        source, target = ({"driver": name, **_about(name, bench)} for name, bench in benches)
        found = self._of(named, left_out)
        return {"source": source, "target": target, "calls": pair.calls, **found}

    def _of(self, named: str, left_out: Mapping[str, str]) -> dict[str, Any]:
        cases = {nodeid: case for nodeid, case in self.cases.items() if case.driver == named}
        rules = sorted({rule for case in cases.values() for rule in case.rules}, key=_by_number)
        return {
            "suite": _version(),
            "profile": self.profile,
            "seed": self.seed,
            "tests": {kind: _count(cases, kind) for kind in FOUND},
            "rules": {
                rule: {
                    kind: _count({n: c for n, c in cases.items() if rule in c.rules}, kind)
                    for kind in FOUND
                }
                for rule in rules
            },
            "failures": {n: c.says for n, c in cases.items() if c.outcome == "failed"},
            "untrue_claims": _untrue(cases.values()),
            "weaker_claims": sorted({c.weaker for c in cases.values() if c.weaker}),
            "does_not_apply": {
                n: why for n, why in left_out.items() if f"[{named}-" in n or f"[{named}]" in n
            },
            "seconds": round(sum(case.seconds for case in cases.values()), 1),
        }


def _untrue(cases: Iterable[Case]) -> dict[str, list[str]]:
    """Claims of which a test fails, with the rules of such tests."""
    failed = [case for case in cases if case.outcome == "failed"]
    return {
        promise: sorted(
            {r for c in failed if c.promise == promise for r in c.rules}, key=_by_number
        )
        for promise in sorted({case.promise for case in failed if case.promise})
    }


def _about(driver: str, bench: Bench) -> dict[str, Any]:
    there = bench.unavailable is None
    return {
        "packages": packages(driver.partition("?")[0]),
        "engine": bench.harness.engine.product if there else None,
        "real": bench.harness.engine.real if there else None,
        "unavailable": bench.unavailable,
        "claims": to_json(bench.claimed()) if there else None,
    }


def packages(driver: str) -> dict[str, str]:
    """The distribution that brings a driver, and what it builds on, each with its version."""
    found = {}
    for point in installed(driver):
        assert point.dist is not None
        found[point.dist.name] = point.dist.version
        for requirement in point.dist.requires or ():
            name = (_NAME.match(requirement) or [""])[0]
            if "extra ==" not in requirement and name not in _OURS:
                with suppress(PackageNotFoundError):
                    found[name] = version(name)
    return found


def page(found: Mapping[str, Any]) -> str:
    """A report as Markdown."""
    left_out, tests = found["does_not_apply"], found["tests"]
    sides = [found[side] for side in ("source", "target") if side in found] or [found]
    apply = f"{len(left_out)} do not apply; {found['calls']} calls, {found['seconds']} s"
    seed = f"seed {found['seed'] or 'not given'}"
    verdict = "fails" if found["failures"] else "conforms" if tests["passed"] else "was not tried"
    lines = [
        f"# {' → '.join(side['driver'] for side in sides)} {verdict}", "",
        *(f"- engine: {_told(side)}" for side in sides),
        *(f"- with: {name} {v}" for side in sides for name, v in side["packages"].items()),
        f"- suite: polystore-core {found['suite']}, profile {found['profile']}, {seed}",
        "- tests: " + ", ".join([*(f"{n} {kind}" for kind, n in tests.items()), apply]), "",
    ]  # fmt: skip
    if found["failures"]:
        lines += ["## What fails", ""]
        lines += [f"- `{nodeid}`: {says}" for nodeid, says in found["failures"].items()] + [""]
    if found["untrue_claims"]:
        lines += ["## Claims that are not true", ""]
        untrue = found["untrue_claims"].items()
        lines += [f"- {claim}: {', '.join(rules)}" for claim, rules in untrue] + [""]
    if found["weaker_claims"]:
        lines += ["## Claims that are weaker than the truth", ""]
        lines += [f"- {says}" for says in found["weaker_claims"]] + [""]
    lines += ["## Rules", "", "| rule | passed | failed |", "|---|---|---|"]
    lines += [f"| {rule} | {n['passed']} | {n['failed']} |" for rule, n in found["rules"].items()]
    if left_out:
        lines += ["", "## What does not apply", ""]
        lines += [f"- `{nodeid}`: {why}" for nodeid, why in left_out.items()]
    return "\n".join([*lines, ""])


def _told(side: Mapping[str, Any]) -> str:
    real = "the real one" if side["real"] else "an imitation"
    return f"{side['engine']} ({real})" if side["engine"] else side["unavailable"]


def _count(cases: Mapping[str, Case], outcome: str) -> int:
    return sum(case.outcome == outcome for case in cases.values())


def _first_line(report: pytest.TestReport) -> str:
    """The error itself: pytest's short message where it has one."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    return (text.strip().splitlines() or [""])[0]


def _by_number(rule: str) -> tuple[str, int]:
    group, _, number = rule.rpartition("-")
    return group, int(number)


def _version() -> str:
    try:
        return version("polystore-core")
    except PackageNotFoundError:
        return "from its source"
