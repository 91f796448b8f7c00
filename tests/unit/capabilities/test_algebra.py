"""The meet of two descriptors and the order behind it."""

from __future__ import annotations

import pytest
from hypothesis import given

from polystore.capabilities import (
    Batches,
    Capabilities,
    EmptyIndexed,
    EmptyKey,
    Expiry,
    Filling,
    Freshness,
    Indexes,
    Keys,
    Limit,
    Reads,
    Records,
    Removal,
    Scope,
    Transactions,
    Values,
    Writes,
    at_most,
    from_json,
    meet,
    to_json,
)
from polystore.capabilities.algebra import leaves
from tests.unit.capabilities.descriptors import descriptors


@pytest.mark.rule("CAP-2")
@given(descriptors)
def test_the_meet_is_idempotent(a: Capabilities) -> None:
    assert a & a == a


@pytest.mark.rule("CAP-2")
@given(descriptors, descriptors)
def test_the_meet_is_commutative(a: Capabilities, b: Capabilities) -> None:
    assert a & b == b & a == meet(a, b)


@pytest.mark.rule("CAP-2")
@given(descriptors, descriptors, descriptors)
def test_the_meet_is_associative(a: Capabilities, b: Capabilities, c: Capabilities) -> None:
    assert (a & b) & c == a & (b & c)


@pytest.mark.rule("CAP-2")
@given(descriptors, descriptors)
def test_the_meet_is_never_stronger_than_either_side(a: Capabilities, b: Capabilities) -> None:
    assert at_most(a & b, a)
    assert at_most(a & b, b)


@pytest.mark.rule("CAP-2")
@given(descriptors, descriptors, descriptors)
def test_the_meet_is_the_strongest_that_both_keep(
    a: Capabilities, b: Capabilities, c: Capabilities
) -> None:
    if at_most(c, a) and at_most(c, b):
        assert at_most(c, a & b)


@given(descriptors, descriptors)
def test_at_most_is_the_order_of_the_meet(a: Capabilities, b: Capabilities) -> None:
    assert at_most(a, b) == (at_most(a, a & b) and at_most(a & b, a))


STRONGEST = Capabilities(
    transactions=Transactions(scope=Scope.STORE),
    indexes=Indexes(empty={"i": EmptyIndexed.INDEXED}),
    expiry=Expiry(removal=Removal.DATABASE),
)
LIMIT = Limit(1, "bytes", "all", "here")
WEAKEST = Capabilities(
    keys=Keys(
        partition=LIMIT,
        sort=LIMIT,
        part=LIMIT,
        whole=LIMIT,
        empty=EmptyKey.REJECTED,
        int_min=0,
        int_max=0,
    ),
    records=Records(size=LIMIT, depth=LIMIT, name=LIMIT),
    values=Values(size=LIMIT, native=frozenset()),
    writes=Writes(conditions=frozenset()),
    transactions=Transactions(scope=Scope.NONE, items=LIMIT, size=LIMIT),
    batches=Batches(read_keys=LIMIT, write_items=LIMIT),
    indexes=Indexes(
        value=LIMIT,
        first=LIMIT,
        rest=LIMIT,
        empty={"i": EmptyIndexed.REJECTED},
        filled=Filling.WRITTEN,
    ),
    reads=Reads(point=Freshness.EVENTUAL, query=Freshness.EVENTUAL, index=Freshness.EVENTUAL),
)


@pytest.mark.parametrize("path", [path for path, _ in leaves(Capabilities())])
def test_each_promise_alone_decides_the_order(path: str) -> None:
    """A field that the algebra did not know could be lost in a meet."""
    data, weaker = to_json(STRONGEST), to_json(WEAKEST)
    group, _, name = path.rpartition(".")
    (data[group] if group else data)[name] = (weaker[group] if group else weaker)[name]
    weakened = from_json(data)
    assert at_most(weakened, STRONGEST)
    assert not at_most(STRONGEST, weakened)
    assert STRONGEST & weakened == weakened


def test_of_two_limits_the_smaller_counts_and_none_is_no_limit() -> None:
    small, large = Limit(10, "bytes", "fields", "A"), Limit(20, "bytes", "item", "B")
    assert meet(Records(size=small), Records(size=large)).size == small
    assert meet(Records(size=large), Records()).size == large
    assert meet(Records(), Records()).size is None


def test_of_two_rules_the_weaker_counts() -> None:
    assert [scope.strength for scope in Scope] == [0, 1, 2, 3]
    partition = Transactions(scope=Scope.PARTITION)
    assert meet(partition, Transactions(scope=Scope.STORE)) == partition


def test_each_index_has_the_weaker_of_its_two_rules() -> None:
    one = {"a": EmptyIndexed.ENCODED, "b": EmptyIndexed.REJECTED, "c": EmptyIndexed.INDEXED}
    other = {"a": EmptyIndexed.OMITTED, "b": EmptyIndexed.INDEXED}
    met = meet(Indexes(empty=one), Indexes(empty=other)).empty
    assert met == {"a": EmptyIndexed.OMITTED, "b": EmptyIndexed.REJECTED}
