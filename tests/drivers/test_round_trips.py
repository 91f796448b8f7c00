"""Records go from each database to each other and back, as a migration takes them."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import settings

from polystore.driver.side import Side
from polystore.testing.round_trips import Example, drawn, round_trip

NAMES = ("memory", "sqlite", "datastore", "dynamodb")


@pytest.fixture(scope="module")
def wanted() -> int:
    """How many examples each pair takes: as many as issue 4 wants, nightly and in CI."""
    return max(500, settings().max_examples)


@pytest.fixture(scope="module")
def examples(wanted: int) -> list[Example]:
    """Drawn once for all pairs; more than wanted, since a pair refuses what it cannot hold."""
    return drawn(wanted * 4 // 3)


@pytest.mark.engine
@pytest.mark.rule("VAL-2", "VAL-3", "VAL-4", "VAL-5", "VAL-7", "VAL-11", "KEY-4", "REC-1", "REC-4")
@pytest.mark.parametrize(("source", "target"), list(permutations(NAMES, 2)))
def test_there_and_back(
    sides: dict[str, Side], source: str, target: str, examples: list[Example], wanted: int
) -> None:
    trip = round_trip(sides[source], sides[target], examples)
    assert trip.differences == []
    assert trip.examples >= wanted
