"""A pytest plugin: every broken driver in one session, each on the tests of its rule alone.

    pytest -p tests.mutants.hunt --pyargs polystore.testing.suite --hunted=FILE

A driver that a test has caught is not tried any further. FILE gets what happened, as JSON. With
--hunt-part=I/N it is only every N-th driver, from the I-th on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import Phase, settings

from polystore.plugin.registry import default_registry
from polystore.testing.plugin import rules_of
from tests.mutants import named
from tests.mutants.kills import KILLS, NAMED


@attrs.define(eq=False)
class Hunt:
    """What became of each, by its class: the tests that ran, their seconds, who caught it."""

    chosen: frozenset[str]
    ran: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(NAMED, 0))
    took: dict[str, float] = attrs.field(factory=lambda: dict.fromkeys(NAMED, 0.0))
    caught: dict[str, str] = attrs.field(factory=dict)

    @pytest.hookimpl(wrapper=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> Iterator[None]:
        """A test is made for the drivers whose rule it checks; all of each took 20 seconds."""
        rules = rules_of(metafunc.definition)
        names = [name for name in NAMED if KILLS[NAMED[name]] in rules] or [*NAMED][:1]
        metafunc.config.option.polystore_drivers = ",".join(f"mutant?{name}" for name in names)
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Each driver meets the tests of its own rule. A failure is not shortened."""
        settings.register_profile("hunt", settings(), phases=[Phase.explicit, Phase.generate])
        settings.load_profile("hunt")
        items[:] = [
            item
            for item in items
            if (name := mutant_of(item)) in self.chosen and KILLS[NAMED[name]] in rules_of(item)
        ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """One failure is enough."""
        if mutant_of(item) in self.caught:
            pytest.skip("caught already")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A failed test has caught its driver; so has a failed preparation."""
        name = report.nodeid.rpartition("mutant?")[2].partition("-")[0].rstrip("]")
        self.ran[name] += report.when == "call" and not report.skipped
        self.took[name] += report.duration
        if report.failed:
            self.caught.setdefault(name, report.nodeid)


def mutant_of(item: pytest.Item) -> str:
    """The broken driver that a test runs on; a test of no driver belongs to none."""
    call = getattr(item, "callspec", None)
    named: str = call.params.get("harness", "") if call else ""
    return named.partition("?")[2] or next(iter(NAMED))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the outcome goes, and which drivers are tried."""
    parser.addoption("--hunted", type=Path)
    parser.addoption("--hunt-part", default="0/1")


def pytest_configure(config: pytest.Config) -> None:
    """The hunt begins with all of them, or all of a part."""
    part, parts = map(int, config.getoption("--hunt-part").split("/"))
    hunt = Hunt(frozenset([*NAMED][part::parts]))
    default_registry().register(named, "mutants")
    config.pluginmanager.register(hunt, "hunt")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell what happened."""
    hunt = session.config.pluginmanager.get_plugin("hunt")
    assert isinstance(hunt, Hunt)
    told = {"ran": hunt.ran, "took": hunt.took, "caught": hunt.caught}
    session.config.getoption("hunted").write_text(json.dumps(told))
