"""The pair under test, and a stand that goes its way."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from polystore.testing.pairs import PLACES, Pair, Stand
from polystore.testing.pairs.stand import standing
from polystore.testing.pairs.way import Walk
from polystore.testing.plugin import ALLOW_UNAVAILABLE, pair_of, pairs_of, profile_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test runs on each pair that ``--polystore-pair`` names, and at each place."""
    if "pair" in metafunc.fixturenames:
        metafunc.parametrize("pair", pairs_of(metafunc.config), indirect=True, scope="session")
    if "place" in metafunc.fixturenames:
        metafunc.parametrize("place", PLACES, indirect=True, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After a failure nothing is known of the stand: the next test has another one."""
    report = yield
    walk = getattr(item, "funcargs", {}).get("walk")
    if report.failed and walk is not None:
        walk.leave()
    return report


@pytest.fixture(scope="session")
def pair(request: pytest.FixtureRequest) -> Pair:
    """The pair under test; both databases can be reached."""
    pair = pair_of(request.config, request.param)
    reason = pair.unavailable
    if reason is None:
        return pair
    if request.config.getoption(ALLOW_UNAVAILABLE):
        pytest.skip(reason)
    pytest.fail(f"{reason}. (--allow-unavailable leaves it out)", pytrace=False)


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> str:
    """Where on the way a test is."""
    place: str = request.param
    return place


@pytest.fixture(scope="session")
def walk(pair: Pair) -> Iterator[Walk]:
    """One walk; tests come in the order of its places."""
    walk = Walk(pair)
    yield walk
    walk.leave()


@pytest.fixture
def stand(walk: Walk, place: str) -> Stand:
    """The stand at the place."""
    return walk.to(place)


@pytest.fixture
def begin(pair: Pair) -> Iterator[Callable[..., Stand]]:
    """Makes stands of this test's own."""
    with ExitStack() as stack:

        def begun(**how: Any) -> Stand:
            return stack.enter_context(standing(pair, **how))

        yield begun


@pytest.fixture(scope="session")
def profile(pytestconfig: pytest.Config) -> str:
    """How much is tried."""
    return profile_of(pytestconfig)
