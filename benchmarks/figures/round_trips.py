"""Round trips: random records of every value type under every shape of key."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings

from polystore.driver import Driver
from polystore.plugin.registry import default_registry
from polystore.schema import Collection
from polystore.testing import strategies as portable
from polystore.testing.suite.test_values import SHAPES, comes_back

EXAMPLES = 100
"""Of each of the six shapes of key, on each driver."""


def round_trips(url: str) -> int:
    """How many random records came back equal and of the same types.

    Raises:
        AssertionError: one did not.
    """
    driver = default_registry().open(url)
    try:
        return sum(_shape(driver, f"round{n}", key) for n, key in enumerate(SHAPES.values()))
    finally:
        driver.close()


def _shape(driver: Driver, name: str, key: list[str]) -> int:
    collection = Collection(name, key)
    driver.create(collection)
    done = 0

    @settings(max_examples=EXAMPLES, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(portable.records(collection, driver.capabilities(collection)))
    def check(record: dict[str, Any]) -> None:
        nonlocal done
        comes_back(driver, collection, tuple(record[n] for n in collection.key_names), record)
        done += 1

    check()
    return done
