"""Records go from each database to each other and back, as a migration takes them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import TypeAlias

import pytest
from hypothesis import settings

from polystore.driver import Driver, Stored
from polystore.driver.side import Side, declared, read_one
from polystore.migration.mirror import mirror_write, put_if_older
from polystore.migration.stages import Setting, Stage
from polystore.runner import SyncRunner
from polystore.schema import Collection
from polystore.testing.round_trips import Example, copy, difference, drawn, round_trip
from polystore.values import Fields, Key
from tests.drivers.strangers import Stranger

Sides: TypeAlias = dict[str, Side]

NAMES = ("memory", "sqlite", "datastore", "dynamodb")
PAIRS = (
    *permutations(NAMES, 2),
    ("redis", "postgresql"),
    ("postgresql", "redis"),
    ("datastore", "redis"),
    ("postgresql", "dynamodb"),
)
"""Each is there and back; of the two that keep JSON a few say what all would."""
SETTING = Setting(run=1, epoch=1, stage=Stage.DUAL_WRITE)


@pytest.fixture(scope="module")
def wanted() -> int:
    """How many examples each pair takes: as many as issue 4 wants, nightly and in CI."""
    return max(500, settings().max_examples)


@pytest.fixture(scope="module")
def examples(wanted: int) -> list[Example]:
    """Drawn once for all pairs; more than wanted, since DynamoDB refuses a quarter of them."""
    return drawn(wanted * 8 // 5)


@pytest.mark.engine
@pytest.mark.rule("VAL-2", "VAL-3", "VAL-4", "VAL-5", "VAL-7", "VAL-11", "KEY-4", "REC-1", "REC-4")
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_there_and_back(
    sides: Sides, source: str, target: str, examples: list[Example], wanted: int
) -> None:
    trip = round_trip(sides[source], sides[target], examples)
    assert trip.differences == []
    assert trip.examples >= wanted


@pytest.mark.engine
@pytest.mark.rule("VAL-10", "VAL-11", "REC-6", "REC-4", "MIR-2", "VER-4")
@pytest.mark.parametrize("target", NAMES)
def test_records_of_another_program_go_there_and_back(
    driver: Driver, stranger: Stranger, theirs: Callable[[], Collection], sides: Sides, target: str
) -> None:
    """With every native type, and fields that no collection declares, into their own place."""
    if target == driver.name:
        return  # it would be the same place
    source, other, orders = Side("source", driver, declared), sides[target], theirs()
    left: dict[Key, Fields] = {("c1", 17): stranger.leave_everything(orders, ("c1", 17))}
    given: list[Fields] = [{"n": 0}, {"n": None, "note": "x"}, {"note": "\x00é"}]
    for n, fields in enumerate(given, 1):
        left["c2", n] = stranger.leave(orders, ("c2", n), **fields)
    other.driver.create(orders)
    run = SyncRunner().run
    run(copy(source, other, orders, orders, SETTING))
    for key, fields in left.items():
        before, there = (run(read_one(side, orders, key)) for side in (source, other))
        assert there is not None
        run(put_if_older(source, mirror_write(orders, there, SETTING)))
        after = run(read_one(source, orders, key))
        original = Stored(key, fields, None)
        assert difference(SETTING, original, [before, there, after]) is None
        assert after is not None
        assert (before.stamp, after.stamp) == (None, SETTING.floor())  # type: ignore[union-attr]
