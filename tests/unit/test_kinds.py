"""Kinds of values."""

from __future__ import annotations

import pytest
from hypothesis import given

from polystore.kinds import EXAMPLES, KINDS, kind_of, kinds_in
from polystore.testing import strategies as portable
from polystore.values import Value, checked


@pytest.mark.rule("CAP-11")
def test_each_example_is_portable_and_of_its_kind() -> None:
    for kind, value in EXAMPLES.items():
        checked(value)
        assert kind in kinds_in(value)
    assert {kind_of(value) for value in EXAMPLES.values()} | {"list in a list"} == KINDS


@pytest.mark.rule("CAP-11")
@given(portable.values())
def test_every_portable_value_has_kinds_that_are_known(value: Value) -> None:
    assert kinds_in(value) <= KINDS


def test_kinds_are_told_at_every_depth() -> None:
    found = kinds_in({"a": [[None], {"b": float("nan")}], "c": frozenset({1.5})})
    assert found == {
        "map", "list", "list in a list", "null", "non-finite float", "set of float",
    }  # fmt: skip
