"""Names and values that would mean something to a database, if they became part of a statement."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from polystore.driver import Consistency, Driver, Unchanged
from polystore.errors import ConfigError, PolystoreError
from polystore.queries import QueryPlan
from polystore.schema import Collection
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import (
    Make,
    answer,
    found,
    put,
    refusal_of,
    scanned,
    written,
)
from polystore.values import same

HOSTILE = (
    'x"; DROP TABLE things; --',
    "' OR '1'='1",
    "`a`, [b]",
    "#n = :v",
    "a.b[0]",
    "SELECT",
    "${HOME}",
    "%s ? $1",
)
"""Texts that are SQL, expressions, paths or placeholders somewhere."""


@pytest.mark.rule("SEC-3")
def test_no_name_or_value_becomes_part_of_a_statement(driver: Driver, make: Make) -> None:
    things = make(["part one", 'so"rt:int'], indexes={"by_odd": ['od"d', "#n"]})
    fields: dict[str, Any] = dict.fromkeys(HOSTILE, HOSTILE[0])
    for number, text in enumerate(HOSTILE):
        odd: dict[str, Any] = {'od"d': text, "#n": number}
        write = put(things, (text, number), **fields, **odd)
        token = written(driver, write)
        stored = found(driver, things, (text, number))
        assert stored is not None
        assert stored.fields is not None
        assert write.fields is not None
        assert same(stored.fields, write.fields)
        again = put(things, (text, number), Unchanged(token), **odd)
        written(driver, again)
    for number, text in enumerate(HOSTILE):
        for plan in (QueryPlan(None, (text,)), QueryPlan(things.index("by_odd"), (text,))):
            page = driver.query(things, plan, None, 10)
            assert [record.key for record in page.records] == [(text, number)]
    keys = [(text, number) for number, text in enumerate(HOSTILE)]
    assert all(driver.read(things, keys, Consistency.STRONG).records)


@pytest.mark.rule("PLC-7", "PLC-3")
def test_collections_whose_names_look_alike_are_apart(
    driver: Driver, another: Driver, harness: Harness, declare: Make
) -> None:
    """In case, in a letter that is a pattern or a separator somewhere, at the end of a long one.

    A name that the database cannot tell from another is refused when it is to be made.
    """
    base = declare().name
    long = f"{base}{'x' * (MOST - 1 - len(base))}"
    names = [base, *(f"{base}{end}" for end in ("_", "x", "X", "_x", ".x", "-x", "0x"))]
    declared = [
        harness.placed(Collection(name, ["p", "s:int"], indexes={"by_state": ["state"]}))
        for name in (*names, f"{long}a", f"{long}b")
    ]
    things = [one for one in declared if made(driver, harness, one)]
    try:
        for number, one in enumerate(things):
            written(driver, put(one, ("p", 1), state="s", n=number))
            written(driver, put(one, ("p", 2 + number), state="s", n=number))
        harness.settle()
        assert things[0].name == base
        for number, one in enumerate(things):
            for way in ways_to_look(another, one):
                assert [r.fields and r.fields["n"] for r in way] == [number, number]
                assert {r.key for r in way} == {("p", 1), ("p", 2 + number)}
        for number, one in enumerate(things):
            driver.drop(one)
            for rest in things[number + 1 :]:
                assert found(another, rest, ("p", 1)) is not None
    finally:
        for one in things:
            driver.drop(one)


ALIKE = {
    "case": ("by_n", "BY_n"),
    "dot": ("by.n", "by_n"),
    "hyphen": ("by-n", "by_n"),
    "end": ("by_n", "by_n_"),
    "long": (f"{'x' * 98}a", f"{'x' * 98}b"),
}
"""Pairs of names."""


@pytest.mark.rule("PLC-7", "QRY-2")
@pytest.mark.parametrize("kind", ALIKE)
def test_indexes_and_key_fields_whose_names_look_alike_are_two(
    driver: Driver, harness: Harness, declare: Make, kind: str
) -> None:
    one, other = ALIKE[kind]
    things = declare(["p", "s"], indexes={one: ["a"], other: ["b"]})
    keyed = declare([one, other])
    try:
        if made(driver, harness, things):
            for n in range(3):
                written(driver, put(things, ("p", f"{n}"), a=n, b=2 - n))
            harness.settle()
            for name, key in ((one, ("p", "0")), (other, ("p", "2"))):
                found_ = answer(driver, things, QueryPlan(things.index(name), (0,)))
                assert [record.key for record in found_] == [key]
        if made(driver, harness, keyed):
            write = put(keyed, ("1", "2"), n=1)
            written(driver, write)
            (record,) = scanned(driver, keyed)
            assert record.key == write.key
            assert same(record.fields, write.fields)
    finally:
        for each in (things, keyed):
            refusal_of(driver, partial(driver.drop, each))


def made(driver: Driver, harness: Harness, things: Collection) -> bool:
    """Whether a collection is there now; else it was refused as one that cannot be."""
    error = refusal_of(driver, lambda: driver.create(things))
    known = ConfigError if harness.engine.real else PolystoreError
    assert error is None or isinstance(error, known), error
    return error is None


def ways_to_look(driver: Driver, things: Collection) -> list[list[Any]]:
    """All its records, in each way to find them."""
    plans = (QueryPlan(None, ("p",)), QueryPlan(things.index("by_state"), ("s",)))
    return [scanned(driver, things), *(answer(driver, things, plan) for plan in plans)]


MOST = 100
"""Letters in the longest name of a collection."""
