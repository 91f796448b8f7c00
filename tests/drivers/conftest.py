"""Every driver on a real database, opened once a session; each test has collections of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, TypeAlias

import attrs
import pytest

from polystore.driver import Driver
from polystore.driver.side import Side, declared
from polystore.plugin.registry import default_registry
from polystore.schema import Collection
from polystore_engines import Engine
from tests.drivers.strangers import STRANGERS, Stranger

Make: TypeAlias = Callable[..., Collection]

DRIVERS = (
    "memory",
    "sqlite",
    pytest.param("dynamodb", marks=pytest.mark.engine),
    pytest.param("dynamodb&wire=lean", marks=pytest.mark.engine),
    pytest.param("datastore", marks=pytest.mark.engine),
    pytest.param("postgresql", marks=pytest.mark.engine),
    pytest.param("redis", marks=pytest.mark.engine),
)

QUICK = "dynamodb&wire=lean&bulk=transaction&timeout=60"

_numbers = count(1)

ABOUT_WHAT_IS_STORED = (
    "test_limits.py",
    "test_policies.py",
    "test_round_trips.py",
    "test_orders.py",
)
"""Long tests of what no wire has a part in; the plugin's own tests send each value over both."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a driver with two wires, the second takes the tests that a wire can fail."""
    spared = {i for i in items if "wire=lean" in i.name and i.path.name in ABOUT_WHAT_IS_STORED}
    if spared:
        config.hook.pytest_deselected(items=list(spared))
        items[:] = [item for item in items if item not in spared]


@attrs.frozen
class Place:
    """One database: where it is, and what its SDK wants in the environment."""

    url: str
    env: Mapping[str, str]

    def open(self) -> Driver:
        """A driver on it. Its SDK looks for credentials now, so they need not stay around."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.env.items():
                patch.setenv(name, value)
            driver = default_registry().open(self.url)
            if driver.name == "dynamodb":
                driver.native()
            return driver


@pytest.fixture(scope="session", params=DRIVERS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A database of each kind."""
    return place_of(request.param, request, tmp_path_factory)


def place_of(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Place:
    """A database of one kind: the name of its driver, and options after ``&``."""
    name, separator, options = kind.partition("&")
    if name == "memory":
        return Place("memory://tests-drivers", {})
    if name == "sqlite":
        return Place(f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/tests.db", {})
    engine: Engine = request.getfixturevalue(f"{name}_engine")
    return Place(engine.url + separator + options, engine.env)


@pytest.fixture(scope="session")
def sides(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Side]]:
    """A side on a database of each kind; Datastore's in a namespace, DynamoDB's the quick way."""
    opened = {
        kind.partition("&")[0]: place_of(kind, request, tmp_path_factory).open()
        for kind in (
            "memory", "sqlite", "datastore&namespace=sides&timeout=60", QUICK, "postgresql", "redis"
        )
    }  # fmt: skip
    yield {name: Side(name, driver, declared) for name, driver in opened.items()}
    for driver in opened.values():
        driver.close()


@pytest.fixture(scope="session")
def driver(place: Place) -> Iterator[Driver]:
    """A driver on the database."""
    opened = place.open()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def another(place: Place) -> Iterator[Driver]:
    """Another driver on the same database, as another process has it."""
    opened = place.open()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def declare() -> Make:
    """Declares a collection that no other test has; it is not created."""

    def declared_(key: Any = ("id",), **declaration: Any) -> Collection:
        return Collection(f"t{next(_numbers)}", key, **declaration)

    return declared_


@pytest.fixture(scope="session")
def make(driver: Driver, declare: Make) -> Make:
    """Declares a collection that no other test has, and creates it."""

    def made(key: Any = ("id",), **declaration: Any) -> Collection:
        collection = declare(key, **declaration)
        driver.create(collection)
        return collection

    return made


@pytest.fixture(scope="session")
def stranger(place: Place, driver: Driver) -> Stranger:
    """Another program in the same database, which knows nothing of polystore."""
    return STRANGERS[driver.name](place.url, driver)


@pytest.fixture(scope="session")
def theirs(stranger: Stranger, driver: Driver) -> Callable[[], Collection]:
    """Takes over a collection of orders that the other program has made."""

    def taken() -> Collection:
        collection = stranger.orders(f"foreign{next(_numbers)}")
        driver.create(collection)
        return collection

    return taken
