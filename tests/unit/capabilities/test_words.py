"""Descriptors in sentences."""

from __future__ import annotations

import pytest
from hypothesis import given

from polystore.capabilities import (
    Capabilities,
    Freshness,
    Limit,
    Reads,
    Records,
    Scope,
    Transactions,
    at_most,
    describe,
    shortfalls,
)
from polystore.capabilities.algebra import leaves
from polystore.capabilities.words import SUBJECTS
from tests.unit.capabilities.descriptors import descriptors


@pytest.mark.rule("CAP-5")
@given(descriptors, descriptors)
def test_shortfalls_are_empty_exactly_where_nothing_falls_short(
    a: Capabilities, b: Capabilities
) -> None:
    assert (shortfalls(a, b) == []) == at_most(a, b)


@pytest.mark.rule("CAP-5")
def test_a_shortfall_says_number_unit_and_source() -> None:
    wide = Capabilities(records=Records(size=Limit(20_000, "bytes", "the entity", "docs B")))
    narrow = Capabilities(records=Records(size=Limit(10_000, "bytes", "item", "docs A")))
    assert shortfalls(wide, narrow) == [
        "A record has at most 10,000 bytes (item; docs A); elsewhere it has at most 20,000 bytes."
    ]
    assert shortfalls(narrow, wide) == []


@pytest.mark.rule("CAP-5")
def test_a_shortfall_says_which_rule_is_weaker() -> None:
    strong = Capabilities(transactions=Transactions(scope=Scope.STORE))
    weak = Capabilities(
        transactions=Transactions(scope=Scope.NONE), reads=Reads(index=Freshness.EVENTUAL)
    )
    assert shortfalls(strong, weak) == [
        "An atomic commit is not possible; elsewhere it reaches the whole store.",
        "A query of an index may miss the latest writes; elsewhere it sees the latest writes.",
    ]


@given(descriptors)
def test_describe_has_one_sentence_for_each_promise(c: Capabilities) -> None:
    assert len(describe(c)) == len(list(leaves(c)))
    assert all(sentence.endswith(".") for sentence in describe(c))


def test_every_promise_has_its_subject() -> None:
    assert [path for path, _ in leaves(Capabilities())] == list(SUBJECTS)
