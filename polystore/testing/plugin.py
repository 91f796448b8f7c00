"""The pytest plugin of the conformance suite: its options, and what is left out and why.

It comes with the distribution, so that ``pytest --pyargs polystore.testing.suite`` needs no file.
Every pytest session of an environment loads it: it imports nothing that is large.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

from polystore.testing import PROMISE, WEAKER

if TYPE_CHECKING:
    from polystore.testing.claims import Bench
    from polystore.testing.pairs import Pair

DRIVERS = "polystore_drivers"
PAIRS = "polystore_pairs"
ALLOW_UNAVAILABLE = "polystore_allow_unavailable"
PROFILE = "polystore_profile"
PROFILES = ("smoke", "default", "remote", "nightly")
SHARES = {"smoke": 1, "remote": 2.5}
"""Profiles that leave out cases which differ little: so many times the share that is marked."""
RULE = "polystore_rule"
REPORT = "polystore_report"
TRACES = "polystore_traces"
DEVIATIONS = "polystore_deviations"
STORED = "about_what_is_stored"
"""Marks tests of what no option of a URL has a part in."""
NOT_APPLICABLE = pytest.StashKey[dict[str, str]]()
BENCHES = pytest.StashKey["dict[str, Bench]"]()
TRIED = pytest.StashKey["dict[str, Pair]"]()

pytest.register_assert_rewrite("polystore.testing.suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that say what to test."""
    group = parser.getgroup("polystore", "conformance of polystore drivers")
    group.addoption(
        "--polystore",
        dest=DRIVERS,
        metavar="DRIVER,…",
        default="",
        help="drivers to test, separated by commas; options of the URL follow a ?",
    )
    group.addoption(
        "--polystore-pair",
        dest=PAIRS,
        action="append",
        metavar="SOURCE:TARGET,…",
        default=[],
        help="pairs of drivers to migrate between, in that order",
    )
    group.addoption(
        "--allow-unavailable",
        dest=ALLOW_UNAVAILABLE,
        action="store_true",
        help="skip a driver whose database cannot be reached, instead of failing",
    )
    group.addoption(
        "--polystore-profile",
        dest=PROFILE,
        choices=PROFILES,
        default=None,
        help="how much: smoke in seconds, default in minutes, remote so many calls, nightly hours",
    )
    group.addoption(
        "--polystore-rule",
        dest=RULE,
        metavar="ID",
        default=None,
        help="only tests of this rule of spec/",
    )
    group.addoption(
        "--polystore-report",
        dest=REPORT,
        metavar="PATH",
        default=None,
        help="write what was found to PATH.json, and as a page to PATH.md",
    )
    group.addoption(
        "--polystore-traces",
        dest=TRACES,
        metavar="FOLDER",
        default=None,
        help="where the traces of failures go, for polystore replay (default: temporary files)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The suite's marks."""
    config.addinivalue_line("markers", "rule(*ids): the rules of spec/ that this test checks")
    config.addinivalue_line(
        "markers", f"{STORED}: a variant of a driver that is tested too is spared this"
    )
    config.addinivalue_line("markers", "claims(*names): runs where a driver claims all of these")
    config.addinivalue_line("markers", "needs(*names): runs where a harness has all of these")
    config.addinivalue_line(
        "markers", "promise(path): tries what a driver claims there, a path of its capabilities"
    )
    config.addinivalue_line(
        "markers",
        "share(n): smoke runs one of n of these, remote some 2.5 of n, other ones for each pair",
    )
    if drivers_of(config) or pairs_of(config):
        from polystore.testing.deviations import Deviating  # harnesses are loaded from here on

        config.pluginmanager.register(Deviating(), DEVIATIONS)
    if config.getoption(REPORT) and not hasattr(config, "workerinput"):
        from polystore.testing.report import Report

        report = Report(
            Path(config.getoption(REPORT)),
            config.getoption(PROFILE) or "default",
            config.getoption("--hypothesis-seed", None),
        )
        config.pluginmanager.register(report, REPORT)


def drivers_of(config: pytest.Config) -> list[str]:
    """What ``--polystore`` names, in its order."""
    given: str = config.getoption(DRIVERS)
    return [name.strip() for name in given.split(",") if name.strip()]


def pairs_of(config: pytest.Config) -> list[str]:
    """What ``--polystore-pair`` names, in its order."""
    given: list[str] = config.getoption(PAIRS)
    return [pair.strip() for text in given for pair in text.split(",") if pair.strip()]


def profile_of(config: pytest.Config) -> str:
    """How much a pair is tried. A session of a project's own, with no profile, is brief."""
    given: str | None = config.getoption(PROFILE)
    return given or "smoke"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not asked for, what a variant need not show, and what does not apply."""
    for item in items:
        if (named := _driver_of(item)) is not None:
            item.user_properties.append(("polystore", (named, sorted(rules_of(item)))))
            if (promise := item.get_closest_marker("promise")) is not None:
                item.user_properties.append((PROMISE, promise.args[0]))
    reasons = {item: reason for item in items if (reason := _left_out(config, item)) is not None}
    if reasons:
        config.hook.pytest_deselected(items=list(reasons))
        items[:] = [item for item in items if item not in reasons]
        told = config.stash.setdefault(NOT_APPLICABLE, {})
        told |= {item.nodeid: reason for item, reason in reasons.items() if reason}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a worker of xdist could not leave out at collection is skipped, with its reason."""
    tested = _driver_of(item) if hasattr(item.config, "workerinput") else None
    if tested is not None and (reason := _unclaimed(item, tested)) is not None:
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure that its driver's author has told of is expected."""
    report = yield
    tested = _driver_of(item) if report.when == "call" and call.excinfo is not None else None
    if report.failed and tested is not None:
        assert call.excinfo is not None
        deviating = item.config.pluginmanager.get_plugin(DEVIATIONS)
        if deviating is not None:  # drivers were named when the session began
            deviating.expect(item, report, call.excinfo.value)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report that was asked for; a deviation that is none any more fails the run."""
    deviating = session.config.pluginmanager.get_plugin(DEVIATIONS)
    whole = not hasattr(session.config, "workerinput")  # a worker of xdist has seen a part
    if whole and deviating is not None and deviating.needless() and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    report, stash = session.config.pluginmanager.get_plugin(REPORT), session.config.stash
    if report is not None:
        left_out = stash.get(NOT_APPLICABLE, {})
        report.write(stash.get(BENCHES, {}), stash.get(TRIED, {}), left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which claims are weaker than the truth; which tests did not apply, and why."""
    told = terminalreporter.config.stash.get(NOT_APPLICABLE, {})
    passed = terminalreporter.stats.get("passed", ())
    weaker = {
        f"{report.nodeid.rpartition('[')[2].partition('-')[0].rstrip(']')}: {says}"
        for report in passed
        for name, says in report.user_properties
        if name == WEAKER
    }
    untrue = defaultdict[str, set[str]](set)
    for report in terminalreporter.stats.get("failed", ()):
        found = dict(report.user_properties)
        if PROMISE in found:
            driver, rules = found["polystore"]
            untrue[f"{driver}: {found[PROMISE]}"] |= set(rules)
    deviating = terminalreporter.config.pluginmanager.get_plugin(DEVIATIONS)
    if untrue:
        terminalreporter.section("claims that are not true")
        for claim, rules in sorted(untrue.items()):
            terminalreporter.line(f"{claim}: {', '.join(sorted(rules))}")
    if deviating is not None and (needless := deviating.needless()):
        terminalreporter.section("deviations that are none")
        for line in needless:
            terminalreporter.line(line)
    if weaker:
        terminalreporter.section("claims that are weaker than the truth")
        for line in sorted(weaker):
            terminalreporter.line(line)
    if told:
        terminalreporter.section("does not apply")
        for reason in sorted(set(told.values())):
            nodeids = sorted(nodeid for nodeid, why in told.items() if why == reason)
            more = f" and {len(nodeids) - 1} more" * (len(nodeids) > 1)
            terminalreporter.line(f"{reason}: {nodeids[0]}{more}")


def rules_of(item: pytest.Item) -> set[str]:
    """The rules that a test checks."""
    return {rule for mark in item.iter_markers("rule") for rule in mark.args}


def _driver_of(item: pytest.Item) -> str | None:
    """The driver that a test runs on, as ``--polystore`` names it; or the pair."""
    call = getattr(item, "callspec", None)
    if call is None:
        return None
    pair: str | None = call.params.get("pair")
    driver: str | None = call.params.get("harness")
    return pair if pair in pairs_of(item.config) else driver


def _left_out(config: pytest.Config, item: pytest.Item) -> str | None:
    """Why a test is left out; an empty text where nobody asked for it; ``None`` if it is not."""
    rule = config.getoption(RULE)
    if rule and rule not in rules_of(item):
        return ""
    tested = _driver_of(item)
    if tested is None:
        return None
    share, profile = item.get_closest_marker("share"), profile_of(config)
    if share is not None and profile in SHARES:
        drawn = _drawn(item, ceil(share.args[0] / SHARES[profile]))
        return None if drawn else f"{profile} runs a share of them: {tested}"
    names, base = drivers_of(config), tested.partition("?")[0]
    if base != tested and base in names and item.get_closest_marker(STORED) is not None:
        return f"{base} shows it"
    # A worker of xdist asks when the test is due: all must collect the same, with no engine yet.
    if config.getoption("collectonly") or hasattr(config, "workerinput"):
        return None
    return _unclaimed(item, tested)


def _drawn(item: pytest.Item, share: int) -> bool:
    """Whether an item is among those that smoke runs: the same ones each time."""
    return crc32(item.name.encode()) % share == 0


def _unclaimed(item: pytest.Item, tested: str) -> str | None:
    """Why a driver's claims or its harness leave a test out; ``None`` where they do not."""
    claims, needs = (
        [name for mark in item.iter_markers(marks) for name in mark.args]
        for marks in ("claims", "needs")
    )
    if not claims and not needs:
        return None
    from polystore.testing.claims import unclaimed, unmet  # a session of others needs none

    if needs and (reason := unmet(bench_of(item.config, tested), needs)) is not None:
        return reason
    if tested in pairs_of(item.config):
        found = (unclaimed(bench, claims) for bench in pair_of(item.config, tested).benches)
        return next((reason for reason in found if reason is not None), None)
    return unclaimed(bench_of(item.config, tested), claims)


def bench_of(config: pytest.Config, named: str) -> Bench:
    """The bench of a driver that ``--polystore`` names; one a session."""
    from polystore.testing.claims import Bench

    benches = config.stash.setdefault(BENCHES, {})
    if named not in benches:
        benches[named] = Bench.of(named)
    return benches[named]


def pair_of(config: pytest.Config, named: str) -> Pair:
    """The pair that ``--polystore-pair`` names; one a session."""
    from polystore.testing.pairs import Pair
    from polystore.testing.pairs.pair import named_pair

    tried = config.stash.setdefault(TRIED, {})
    if named not in tried:
        source, target = named_pair(named)
        tried[named] = Pair((source, target), (bench_of(config, source), bench_of(config, target)))
    return tried[named]
