"""Stale reads: what one opening wrote, and the other must see at once, or may see later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import pytest

from polystore.driver import Consistency, Driver
from polystore.queries import QueryPlan
from polystore.schema import Collection, Index
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import Make, answer, delete, fields_of, put, written
from polystore.values import Fields, Key

PAIRS = 200
"""Writes by one opening, each with a read by the other."""

QUERIES = 25
"""The same, where each look is a query."""

KEYS = 5
BY_STATE = Index("by_state", ("state",))
STATES = ("new", "old")

There: TypeAlias = Mapping[Key, Fields]


def taking_turns(
    driver: Driver,
    another: Driver,
    things: Collection,
    pairs: int,
    look: Callable[[Driver, Key, There], None],
) -> None:
    """One opening writes, and the other looks as soon as that is answered."""
    there: dict[Key, Fields] = {}
    for turn in range(pairs):
        writer, reader = (driver, another) if turn % 2 else (another, driver)
        key: Key = ("p", turn % KEYS)
        if turn % 7 == 6:
            written(writer, delete(things, key))
            there.pop(key, None)
        else:
            write = put(things, key, state=STATES[turn % 2], n=turn)
            written(writer, write)
            assert write.fields is not None
            there[key] = write.fields
        look(reader, key, there)


@pytest.mark.about_what_is_stored
@pytest.mark.claims("strong reads")
@pytest.mark.rule("DRV-1")
def test_a_strong_read_sees_what_another_client_has_written(
    driver: Driver, another: Driver, make: Make
) -> None:
    things = make(["p", "s:int"])

    def look(reader: Driver, key: Key, there: There) -> None:
        assert fields_of(reader, things, key) == there.get(key)

    taking_turns(driver, another, things, PAIRS, look)


@pytest.mark.about_what_is_stored
@pytest.mark.claims("strong queries")
@pytest.mark.rule("DRV-22")
def test_a_query_sees_what_another_client_has_written(
    driver: Driver, another: Driver, make: Make
) -> None:
    things = make(["p", "s:int"])

    def look(reader: Driver, key: Key, there: There) -> None:
        found = [record.fields for record in answer(reader, things, QueryPlan(None, ("p",)))]
        assert found == [there[key] for key in sorted(there)]

    taking_turns(driver, another, things, QUERIES, look)


@pytest.mark.about_what_is_stored
@pytest.mark.claims("strong indexes")
@pytest.mark.rule("DRV-22")
def test_an_index_shows_what_another_client_has_written(
    driver: Driver, another: Driver, make: Make
) -> None:
    things = make(["p", "s:int"], indexes={"by_state": ["state"]})

    def look(reader: Driver, key: Key, there: There) -> None:
        for state in STATES:
            found = [one.fields for one in answer(reader, things, QueryPlan(BY_STATE, (state,)))]
            expected = [there[key] for key in sorted(there) if there[key]["state"] == state]
            assert found == expected

    taking_turns(driver, another, things, QUERIES, look)


@pytest.mark.rule("DRV-22")
def test_what_may_lag_shows_everything_once_it_has_settled(
    driver: Driver, another: Driver, harness: Harness, make: Make
) -> None:
    things = make(["p", "s:int"], indexes={"by_state": ["state"]})
    for number in range(3):
        written(driver, put(things, ("p", number), state="old", n=number))
    for number in range(3):
        written(driver, put(things, ("p", number), state="new", n=number))
    harness.settle()
    keys: list[Key] = [("p", number) for number in range(3)]
    reply = another.read(things, keys, Consistency.EVENTUAL)
    assert not reply.unprocessed
    expected = [{"p": "p", "s": n, "state": "new", "n": n} for n in range(3)]
    assert [record and record.fields for record in reply.records] == expected
    ways = (QueryPlan(None, ("p",)), QueryPlan(BY_STATE, ("new",)))
    for plan in ways:
        assert [record.fields for record in answer(another, things, plan)] == expected
    assert answer(another, things, QueryPlan(BY_STATE, ("old",))) == []
