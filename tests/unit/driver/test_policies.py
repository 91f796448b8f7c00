"""Index policies as a placement gives them, and what is unfit for an index."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from polystore.capabilities import EmptyIndexed
from polystore.driver.policies import Policed, Policy, empties, policed, unfit
from polystore.errors import ConfigError
from polystore.schema import Collection, Index
from polystore.values import GeoPoint

NOON = datetime(2020, 2, 29, 12, tzinfo=UTC)
FIT: dict[str | None, list[Any]] = {
    None: ["a", b"a", False, 0, -0.0, float("nan"), Decimal("1e400"), NOON, GeoPoint(0.0, 0.0)],
    "str": ["a", "\x00"],
    "bytes": [b"\x00"],
    "bool": [False, True],
    "number": [0, -(2**63), 0.0, 1e-130, -9.9e125, Decimal("9.9e125"), Decimal("1.50"), Decimal(0)],
    "datetime": [NOON],
}
UNFIT: dict[str | None, list[Any]] = {
    None: [None, "", b"", [], ["a"], {}, frozenset({1})],
    "str": [None, "", b"a", 1],
    "bytes": [None, b"", "a"],
    "bool": [None, 0, "true"],
    "number": [
        None, False, "1", NOON, -0.0, float("nan"), float("inf"), float("-inf"), 1e126, 9e-131,
        Decimal("-0"), Decimal("1e126"), Decimal("-1e-131"),
    ],
    "datetime": [None, 1, "2020-02-29"],
}  # fmt: skip


def index_of(kind: str | None) -> Index:
    return Index("by", [f"f:{kind}" if kind else "f"])


@pytest.mark.rule("QRY-11")
@pytest.mark.parametrize("kind", FIT, ids=str)
def test_what_is_unfit_for_an_index(kind: str | None) -> None:
    index = index_of(kind)
    assert [v for v in FIT[kind] if unfit(index, {"f": v})] == []
    assert [v for v in UNFIT[kind] if not unfit(index, {"f": v})] == []


@pytest.mark.rule("QRY-11")
def test_the_first_unfit_field_is_named_and_an_absent_one_is_not_unfit() -> None:
    index = Index("by", ["a", "b:str", "c"])
    assert unfit(index, {"c": None, "b": 1}) == "b"
    assert unfit(index, {"a": 1, "c": None}) == "c"
    assert unfit(index, {"x": None}) is None


@pytest.mark.rule("QRY-11")
def test_only_sparse_policies_leave_an_unfit_value_out() -> None:
    for policy in Policy:
        kept = Policed(index_of("str"), policy)
        assert (kept.entry({"f": ""}, ("k",)) is None) == (policy in (Policy.OMIT, Policy.REJECT))
        assert kept.entry({"f": "a"}, ("k",)) is not None
        assert kept.entry(None, ("k",)) is None


INDEXES = {"by_a": ["a"], "by_b": ["b"]}


@pytest.mark.rule("PLC-6")
def test_a_placement_gives_policies_by_name_and_the_rest_is_the_default() -> None:
    placements = {"memory": {"policy": {"by_b": "omit"}}}
    things = Collection("things", ["id"], indexes=INDEXES, placements=placements)
    assert [kept.policy for kept in policed(things, "memory")] == [Policy.ENCODE, Policy.OMIT]
    native = policed(things, "sqlite", Policy.NATIVE)
    assert [kept.policy for kept in native] == [Policy.NATIVE, Policy.NATIVE]
    assert empties(policed(things, "memory", Policy.NATIVE), EmptyIndexed.REJECTED) == {
        "by_a": EmptyIndexed.REJECTED,
        "by_b": EmptyIndexed.OMITTED,
    }


@pytest.mark.rule("PLC-6", "ERR-5")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("omit", "policy takes names of indexes (there are: by_a, by_b)"),
        ({"by_c": "omit"}, "policy takes names of indexes (there are: by_a, by_b)"),
        ({"by_a": "sparse"}, "policy of an index is one of encode, native, omit, reject"),
        ({"by_a": ["omit"]}, "policy of an index is one of encode, native, omit, reject"),
    ],
)
def test_what_is_no_policy_is_refused(given: Any, message: str) -> None:
    placements = {"memory": {"policy": given}}
    things = Collection("things", ["id"], indexes=INDEXES, placements=placements)
    with pytest.raises(ConfigError, match=re.escape(f"placement in memory: {message}")):
        policed(things, "memory")
