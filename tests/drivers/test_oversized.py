"""Records over the limit of a database, in collections that compress them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given, settings

from polystore.driver import ANYTHING, NOTHING, Driver, Refused, Rejected, Segment, Write, Written
from polystore.driver.bookkeeping import PACKED
from polystore.driver.packing import at_most_bytes, packed
from polystore.driver.side import Side, declared, read_one
from polystore.errors import DriverError, LimitExceeded
from polystore.queries import From, QueryPlan
from polystore.route.bound import Bound
from polystore.runner import SyncRunner
from polystore.schema import Collection, Index
from polystore.testing import strategies as portable
from polystore.testing.suite.calls import found, put, whole, written
from polystore.values import Fields, Key, same
from tests.drivers.conftest import Make

BY_STATE = Index("by_state", ("state", "rank"))
KEY: Key = ("p", 1)
run = SyncRunner().run


@pytest.fixture(scope="module")
def things(make: Make) -> Collection:
    return make(["p", "s:int"], indexes=[BY_STATE], oversized="compress")


@pytest.fixture(scope="module")
def side(driver: Driver) -> Side:
    return Side("source", driver, declared)


@pytest.fixture(scope="module")
def large(things: Collection, driver: Driver) -> Fields:
    """A record over the limit where there is one, with values of every kind."""
    limit = driver.capabilities(things).records.size
    body = "nothing so long is told twice " * ((limit.most if limit else 10_000) // 25)
    odd = [*portable.ODD_FLOATS, *portable.ODD_DECIMALS, frozenset({1, 2}), {"a": [b"", None]}]
    return whole(things, KEY, {"state": "", "rank": 1.5, "body": body, "odd": odd})


def limited(driver: Driver, things: Collection) -> bool:
    return driver.capabilities(things).records.size is not None


@pytest.mark.rule("REC-9", "CAP-9")
def test_it_is_stored_within_the_limit_and_read_whole(
    driver: Driver, side: Side, things: Collection, large: Fields
) -> None:
    write = Write(things, KEY, large, ANYTHING, "w1", 7)
    Bound(things, (side,)).check_write(write)
    outcome = side.calls.write(write)
    assert isinstance(outcome, Written)
    raw = found(driver, things, KEY)
    assert raw is not None
    assert raw.fields is not None
    if limited(driver, things):
        assert raw.fields.keys() == {"p", "s", "state", "rank", PACKED}
        assert side.measure(write).record == driver.measure(packed(write)).record
    else:
        assert PACKED not in raw.fields
    read = run(read_one(side, things, KEY))
    assert read is not None
    assert same(read.fields, large)
    assert (read.write_id, read.stamp, read.token) == ("w1", 7, outcome.token)


@pytest.mark.rule("REC-9")
def test_every_way_to_read_gives_it_whole(side: Side, things: Collection, large: Fields) -> None:
    write = Write(things, KEY, large, ANYTHING, "w2")
    side.calls.write_many([write])
    fits = put(things, ("p", 2), state="x")
    side.calls.commit([fits], [])
    by_index = QueryPlan(BY_STATE, ("",), From(1.5))
    pages = [
        side.calls.query(things, QueryPlan(None, ("p",)), None, 10).records[:1],
        side.calls.query(things, by_index, None, 10).records,
        [s for s in side.calls.scan(things, Segment(), None, 10).records if s.key == KEY],
    ]
    for page in pages:
        assert [stored.key for stored in page] == [KEY]
        assert same(page[0].fields, large)
    again = attrs.evolve(write, condition=NOTHING, write_id="w3")
    refused: list[Any] = [side.calls.write(again)]
    outcomes = side.calls.write_many([again])
    refused += outcomes
    rejected = side.calls.commit([again, fits], [])
    assert isinstance(rejected, Rejected)
    refused += [refusal for refusal in rejected.refusals if refusal is not None]
    for refusal in refused:
        assert isinstance(refusal, Refused)
        assert refusal.current is None or same(refusal.current.fields, large)


@pytest.mark.rule("REC-9")
def test_it_is_read_whole_under_any_policy_and_lies_plain_once_it_fits(
    driver: Driver, side: Side, things: Collection, large: Fields
) -> None:
    side.calls.write(Write(things, KEY, large))
    strict = attrs.evolve(things, oversized="reject")
    read = run(read_one(Side("source", driver, declared), strict, KEY))
    assert read is not None
    assert same(read.fields, large)
    small = {**large, "body": "short"}
    side.calls.write(Write(things, KEY, small))
    raw = found(driver, things, KEY)
    assert raw is not None
    assert same(raw.fields, small)


@pytest.mark.rule("REC-9", "CAP-6", "ERR-4")
def test_what_is_too_large_compressed_is_refused(
    driver: Driver, side: Side, things: Collection, large: Fields
) -> None:
    limit = driver.capabilities(things).records.size
    if limit is None:
        return
    noise = bytes(range(256)) * (limit.most // 256)
    scattered = b"".join(n.to_bytes(4) for n in _scattered(limit.most // 4))
    for fields in ({"state": noise.hex()}, {"body": scattered}):
        write = Write(things, KEY, whole(things, KEY, {**fields, "s": 1}), ANYTHING, "w")
        with pytest.raises(LimitExceeded) as error:
            Bound(things, (side,)).check_write(write)
        assert error.value.key == KEY
        assert error.value.size is not None
        assert error.value.size > limit.most or "indexed" in error.value.message
    strict = attrs.evolve(things, oversized="reject")
    with pytest.raises(LimitExceeded):
        Bound(strict, (side,)).check_write(Write(strict, KEY, large, ANYTHING, "w"))


def _scattered(count: int) -> list[int]:
    """Numbers in which zstd finds nothing."""
    found_, state = [], 1
    for _ in range(count):
        state = state * 6364136223846793005 % 2**64 + 1442695040888963407
        found_.append(state >> 32 & 0xFFFFFFFF)
    return found_


@pytest.mark.rule("REC-10")
def test_bytes_of_others_in_its_place_are_an_error_with_the_key(
    driver: Driver, side: Side, things: Collection
) -> None:
    written(driver, Write(things, ("other", 1), whole(things, ("other", 1), {PACKED: b"x"})))
    with pytest.raises(DriverError) as error:
        run(read_one(side, things, ("other", 1)))
    assert error.value.key == ("other", 1)
    driver.write(Write(things, ("other", 1), None))


@pytest.mark.rule("REC-9")
def test_the_quick_look_is_never_below_the_measure(driver: Driver, things: Collection) -> None:
    @settings(max_examples=settings().max_examples // 4)
    @given(portable.records(things, driver.capabilities(things)))
    def check(fields: dict[str, Any]) -> None:
        write = Write(things, (fields["p"], fields["s"]), fields, ANYTHING, "w" * 30, 2**60)
        assert driver.measure(write).record <= at_most_bytes(write)

    check()


@pytest.mark.rule("REC-9")
@pytest.mark.parametrize("make_value", [list, frozenset])
def test_the_quick_look_counts_long_paths(
    driver: Driver, things: Collection, make_value: Callable[[Any], Any]
) -> None:
    value: Any = {f"{i}" + "ÿ" * 700: make_value([i + 0.5]) for i in range(100)}
    for _ in range(5):
        value = {"\U0001f600" * 300: value}
    write = put(things, KEY, body=value)
    assert driver.measure(write).record <= at_most_bytes(write)
