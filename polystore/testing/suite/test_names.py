"""Names and values that would mean something to a database, if they became part of a statement."""

from __future__ import annotations

from typing import Any

import pytest

from polystore.driver import Consistency, Driver, Unchanged
from polystore.queries import QueryPlan
from polystore.testing.suite.calls import Make, found, put, written
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
