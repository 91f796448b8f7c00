"""Bounds and orders of queries."""

from __future__ import annotations

from typing import Any

import pytest

from polystore.errors import InvalidRequest, InvalidValue
from polystore.queries import Above, Below, Between, From, Range, UpTo, order_of


@pytest.mark.rule("QRY-1")
def test_bounds_say_what_they_include() -> None:
    assert Between(1, 2) == Range((1,), (2,), low_included=True, high_included=True)
    assert From(1) == Range(low=(1,), low_included=True)
    assert Above(1) == Range(low=(1,), low_included=False)
    assert UpTo(2) == Range(high=(2,), high_included=True)
    assert Below(2) == Range(high=(2,), high_included=False)


def test_none_can_be_a_bound_and_differs_from_no_bound() -> None:
    assert From(None).low == (None,)
    assert From(None).high is None


@pytest.mark.parametrize("make", [From, Above, UpTo, Below, lambda value: Between(1, value)])
@pytest.mark.parametrize("value", [(1,), "\ud800", object()])
def test_a_bound_that_no_record_can_hold_is_refused(make: Any, value: Any) -> None:
    with pytest.raises(InvalidValue):
        make(value)


def test_an_order_is_asc_or_desc() -> None:
    assert order_of("asc") is False
    assert order_of("desc") is True
    with pytest.raises(InvalidRequest, match="'asc' or 'desc', not 'descending'"):
        order_of("descending")
