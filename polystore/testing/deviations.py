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
the day is over, the run fails: the file says what is so, and no more. What fails only where the
driver is one of a pair is told by an entry with ``level = "pair"``.
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
from polystore.testing.pairs.pair import named_pair

KINDS = ("bug", "driver-gap", "upstream", "by-design")
"""Ours, what the driver has not, what its database or SDK does wrong, and what is meant."""

ALONE, PAIR = "alone", "pair"


@attrs.frozen
class Deviation:
    """One rule that a driver breaks.

    Attributes:
        rule: its id.
        kind: one of :data:`KINDS`.
        raises: name of the exception that a test of the rule ends with.
        reason, link: why, and where more is said.
        until: the last day on which it may be so.
        level: whether tests of the driver alone fail, or of pairs that it is in.
    """

    rule: str
    kind: str
    raises: str
    reason: str
    link: str
    until: date
    level: str = ALONE

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
    if entry.keys() | {"level"} != names:
        differ = ", ".join(sorted((entry.keys() | {"level"}) ^ names))
        raise ConfigError(f"{path}: a deviation has {', '.join(sorted(names))}; look at {differ}")
    if entry["kind"] not in KINDS or not entry["reason"] or not entry["link"]:
        kinds = ", ".join(KINDS)
        raise ConfigError(f"{path}: {entry['rule']}: a kind of {kinds}, a reason and a link")
    if entry.get("level", ALONE) not in (ALONE, PAIR):
        raise ConfigError(f"{path}: {entry['rule']}: the level is {ALONE} or {PAIR}")
    made, until = Deviation(**entry), entry["until"]
    if not isinstance(until, date) or until < (today or datetime.now(UTC).date()):
        raise ConfigError(f"{path}: {made.rule}: its day is over: mend it, or say why not yet")
    return made


@attrs.define(eq=False)
class Deviating:
    """A plugin that expects what drivers say, and keeps account.

    Attributes:
        told: the deviations of each driver that is tried.
        tried: the rules of which a test ran, by level and driver.
        met: those that were broken as told.
    """

    told: dict[str, list[Deviation]] = attrs.field(factory=dict)
    tried: defaultdict[tuple[str, str], set[str]] = attrs.field(factory=lambda: defaultdict(set))
    met: defaultdict[tuple[str, str], set[str]] = attrs.field(factory=lambda: defaultdict(set))

    def of(self, driver: str, level: str) -> list[Deviation]:
        """What a driver says of a level. Raises UsageError where its file is wrong."""
        if driver not in self.told:
            try:
                self.told[driver] = deviations_of(harness_of(driver))
            except ConfigError as error:
                raise pytest.UsageError(str(error)) from error
        return [told for told in self.told[driver] if told.level == level]

    def expect(self, item: pytest.Item, report: pytest.TestReport, error: BaseException) -> None:
        """Turn a failure that was told of into an expected one."""
        told: dict[str, Any] = dict(report.user_properties)
        tested, rules = told["polystore"]
        level, names = _drivers(tested)
        for driver in names:
            for deviation in self.of(driver, level):
                if deviation.explains(set(rules), type(error)):
                    report.outcome = "skipped"
                    report.wasxfail = f"{deviation.kind}: {deviation.reason}"
                    report.user_properties.append((DEVIATES, f"{driver} {deviation.rule}"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep account, also of what workers of xdist ran: the controller hears of all."""
        found: dict[str, Any] = dict(report.user_properties)
        if report.when == "call" and "polystore" in found:
            tested, rules = found["polystore"]
            level, names = _drivers(tested)
            for driver in names:
                self.tried[level, driver] |= set(rules)
            for name, told in report.user_properties:
                if name == DEVIATES:
                    driver, _, rule = str(told).rpartition(" ")
                    self.met[level, driver].add(rule)

    def needless(self) -> list[str]:
        """Deviations of which nothing is left, though their rules were tried."""
        return [
            f"{driver}: {deviation.rule} holds now: take it out of deviations.toml"
            for level, driver in sorted(self.tried)
            for deviation in self.of(driver, level)
            if deviation.rule in self.tried[level, driver] - self.met[level, driver]
        ]


def _drivers(tested: str) -> tuple[str, tuple[str, ...]]:
    """The level of what a test runs on, and the drivers of it."""
    try:
        return PAIR, tuple(dict.fromkeys(named_pair(tested)))
    except ConfigError:
        return ALONE, (tested,)
