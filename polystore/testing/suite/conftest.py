"""The driver under test, opened twice, and collections of each test's own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from polystore.driver import Driver
from polystore.schema import Collection
from polystore.testing.harness import Address, Harness
from polystore.testing.plugin import ALLOW_UNAVAILABLE, PROFILE, bench_of, drivers_of, pairs_of
from polystore.testing.suite.calls import Make

# A deadline an example would measure the machine; a failure prints the blob that repeats it.
settings.register_profile(
    "polystore-default",
    deadline=None,
    print_blob=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "polystore-smoke", parent=settings.get_profile("polystore-default"), max_examples=10
)

settings.register_profile(
    "polystore-remote", parent=settings.get_profile("polystore-default"), max_examples=5
)
settings.register_profile(
    "polystore-nightly", parent=settings.get_profile("polystore-default"), max_examples=5000
)

_PAIRS = Path(__file__).parent / "pairs"

_run = uuid4().hex[:8]
_numbers = count(1)


def pytest_configure(config: pytest.Config) -> None:
    """The profile that was asked for; by default that of a session which has set one itself."""
    profile = config.getoption(PROFILE)
    if profile is None and settings.get_current_profile_name() == "default":
        profile = "default"
    if profile is not None:
        settings.load_profile(f"polystore-{profile}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Drivers are tried where some are named, and pairs where some are."""
    drivers, pairs = drivers_of(config), pairs_of(config)
    if collection_path == _PAIRS:
        return None if pairs else True
    of_drivers = collection_path.parent == _PAIRS.parent and collection_path.suffix == ".py"
    return True if of_drivers and pairs and not drivers else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test runs on each driver that ``--polystore`` names."""
    if "harness" in metafunc.fixturenames:
        names = drivers_of(metafunc.config)
        if not names:
            raise pytest.UsageError(
                "say which driver to test: --polystore=NAME, such as --polystore=memory"
            )
        metafunc.parametrize("harness", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def harness(request: pytest.FixtureRequest) -> Harness:
    """The harness of the driver under test; its database can be reached."""
    bench = bench_of(request.config, request.param)
    reason = bench.unavailable
    if reason is None:
        bench.count()
        return bench.harness
    if request.config.getoption(ALLOW_UNAVAILABLE):
        pytest.skip(f"{request.param} is unavailable: {reason}")
    pytest.fail(
        f"{request.param} is unavailable: {reason}. (--allow-unavailable leaves it out)",
        pytrace=False,
    )


@pytest.fixture(scope="session")
def address(harness: Harness) -> Address:
    """Where the database is, for tests that need it: a mark ``needs`` leaves them out elsewhere."""
    address = harness.address
    assert address is not None
    return address


@pytest.fixture(scope="session")
def driver(harness: Harness) -> Iterator[Driver]:
    """The driver under test."""
    opened = harness.open()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def another(harness: Harness) -> Iterator[Driver]:
    """Another driver on the same database, as another process has it."""
    opened = harness.open()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def declare(harness: Harness) -> Make:
    """Declares a collection that no other test has; it is not created."""

    def declared(key: Any = ("id",), **declaration: Any) -> Collection:
        return harness.placed(Collection(f"t{_run}n{next(_numbers)}", key, **declaration))

    return declared


@pytest.fixture(scope="session")
def make(harness: Harness, driver: Driver, declare: Make) -> Iterator[Make]:
    """Declares a collection that no other test has, and creates it."""
    made: list[Collection] = []

    def create(key: Any = ("id",), **declaration: Any) -> Collection:
        made.append(declare(key, **declaration))
        driver.create(made[-1])
        return made[-1]

    yield create
    if harness.engine.real:  # an imitation goes with its process
        for collection in made:
            driver.drop(collection)
