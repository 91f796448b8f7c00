"""A pytest plugin: the driver that refuses everything can be named.

A test of rules that have all failed already shows no more, and is left out.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from polystore.plugin.registry import default_registry
from polystore.testing.plugin import rules_of
from tests.mutants import refusing

BROKEN = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """It is registered as an installed one would be."""
    default_registry().register(refusing, "refusing")
    config.stash[BROKEN] = set()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """One failure of a rule is enough."""
    if rules_of(item) <= item.config.stash[BROKEN]:
        pytest.skip("its rules have failed already")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep account of the rules that fail."""
    report = yield
    if report.failed:
        item.config.stash[BROKEN] |= rules_of(item)
    return report
