"""What a driver is known not to do: rules that it breaks, told by its author in a file.

The file ``deviations.toml`` lies beside the module of the driver's harness:

    [[deviation]]
    rule = "QRY-3"
    kind = "upstream"
    raises = "AssertionError"
    reason = "the index leaves out empty texts before version 5"
    link = "https://example.org/issues/1"
    until = 2027-06-30

A failure of that rule by that exception is expected. Where nothing of the rule fails any more, or
the day is over, the run fails: the file says what is so, and no more. (Under xdist no process has
seen all: there the day is looked at, and the failures.)
"""

from __future__ import annotations

import inspect
import tomllib
from collections import defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from polystore.errors import ConfigError
from polystore.testing import DEVIATES
from polystore.testing.harness import Harness, harness_of

KINDS = ("bug", "driver-gap", "upstream", "by-design")
"""Ours, what the driver has not, what its database or SDK does wrong, and what is meant."""


@attrs.frozen
class Deviation:
    """One rule that a driver breaks.

    Attributes:
        rule: its id.
        kind: one of :data:`KINDS`.
        raises: name of the exception that a test of the rule ends with.
        reason, link: why, and where more is said.
        until: the last day on which it may be so.
    """

    rule: str
    kind: str
    raises: str
    reason: str
    link: str
    until: date

    def explains(self, rules: set[str], error: type[BaseException]) -> bool:
        """Whether a failure of a test of these rules was to be expected."""
        return self.rule in rules and self.raises in {one.__name__ for one in error.__mro__}


def deviations_of(harness: Harness, today: date | None = None) -> list[Deviation]:
    """The deviations of a driver; none where it has no file.

    Raises:
        ConfigError: the file is wrong, or a day is over.
    """
    path = Path(inspect.getfile(type(harness))).with_name("deviations.toml")
    if not path.exists():
        return []
    found = tomllib.loads(path.read_text())
    return [_one(path, entry, today) for entry in found.get("deviation", [])]


def _one(path: Path, entry: dict[str, Any], today: date | None) -> Deviation:
    names = {field.name for field in attrs.fields(Deviation)}
    if entry.keys() != names:
        differ = ", ".join(sorted(entry.keys() ^ names))
        raise ConfigError(f"{path}: a deviation has {', '.join(sorted(names))}; look at {differ}")
    if entry["kind"] not in KINDS or not entry["reason"] or not entry["link"]:
        kinds = ", ".join(KINDS)
        raise ConfigError(f"{path}: {entry['rule']}: a kind of {kinds}, a reason and a link")
    made, until = Deviation(**entry), entry["until"]
    if not isinstance(until, date) or until < (today or datetime.now(UTC).date()):
        raise ConfigError(f"{path}: {made.rule}: its day is over: mend it, or say why not yet")
    return made


@attrs.define(eq=False)
class Deviating:
    """A plugin that expects what drivers say, and keeps account.

    Attributes:
        told: the deviations of each driver that is tried.
        tried: the rules of each driver of which a test ran.
        met: those that were broken as told.
    """

    told: dict[str, list[Deviation]] = attrs.field(factory=dict)
    tried: defaultdict[str, set[str]] = attrs.field(factory=lambda: defaultdict(set))
    met: defaultdict[str, set[str]] = attrs.field(factory=lambda: defaultdict(set))

    def of(self, driver: str) -> list[Deviation]:
        """What a driver says. Raises UsageError where its file is wrong."""
        if driver not in self.told:
            try:
                self.told[driver] = deviations_of(harness_of(driver))
            except ConfigError as error:
                raise pytest.UsageError(str(error)) from error
        return self.told[driver]

    def expect(self, item: pytest.Item, report: pytest.TestReport, error: BaseException) -> None:
        """Turn a failure that was told of into an expected one."""
        told: dict[str, Any] = dict(report.user_properties)
        driver, rules = told["polystore"]
        for deviation in self.of(driver):
            if deviation.explains(set(rules), type(error)):
                report.outcome = "skipped"
                report.wasxfail = f"{deviation.kind}: {deviation.reason}"
                report.user_properties.append((DEVIATES, deviation.rule))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep account, also of what workers ran."""
        found: dict[str, Any] = dict(report.user_properties)
        if report.when == "call" and "polystore" in found:
            driver, rules = found["polystore"]
            self.tried[driver] |= set(rules)
            self.met[driver] |= {found[DEVIATES]} if DEVIATES in found else set()

    def needless(self) -> list[str]:
        """Deviations of which nothing is left, though their rules were tried."""
        return [
            f"{driver}: {deviation.rule} holds now: take it out of deviations.toml"
            for driver in sorted(self.tried)
            if ":" not in driver
            for deviation in self.of(driver)
            if deviation.rule in self.tried[driver] - self.met[driver]
        ]
