"""Conditions, decided on a record."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.conditions import Condition, Field, If
from polystore.errors import InvalidValue
from polystore.records import Record, Version
from polystore.testing import strategies as portable
from polystore.values import GeoPoint, same

NAN = float("nan")


def holds(condition: Condition, **fields: Any) -> bool:
    return condition.holds(Record(("k",), fields, Version("v1")))


@pytest.mark.rule("CON-5")
def test_the_named_conditions_say_what_they_say() -> None:
    record = Record(("k",), {}, Version("v1"))
    expected = [
        (If.any, True, True),
        (If.absent, False, True),
        (If.present, True, False),
        (If.version(Version("v1")), True, False),
        (If.version(Version("v2")), False, False),
        (If.field("a").exists(), False, False),
    ]
    for condition, of_record, of_nothing in expected:
        assert condition.holds(record) is of_record
        assert condition.holds(None) is of_nothing


@pytest.mark.rule("CON-2")
@given(portable.values(4), portable.values(4))
def test_equality_compares_type_and_value(one: Any, other: Any) -> None:
    assert holds(Field("a") == one, a=one)
    assert not holds(Field("a") != one, a=one)
    assert holds(Field("a") == one, a=other) == same(one, other)
    assert holds(Field("a") != one, a=other) == (not same(one, other))


def orders(one: Any, other: Any) -> list[bool]:
    """The answers of ``< <= > >=`` with ``one`` in the record."""
    field = Field("a")
    return [
        holds(condition, a=one)
        for condition in (field < other, field <= other, field > other, field >= other)
    ]


LESS, EQUAL, MORE = (
    [True, True, False, False],
    [False, True, False, True],
    [False, False, True, True],
)
NONE = [False] * 4


@pytest.mark.rule("CON-2")
@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 2, LESS),
        (1, 1.0, EQUAL),
        (2**53 + 1, float(2**53), MORE),
        (Decimal("0.1"), 0.1, LESS),
        (Decimal(1), 1, EQUAL),
        (float("inf"), Decimal("9E+6144"), MORE),
        ("a", "b", LESS),
        ("\uffff", "\U00010000", LESS),
        (b"b", b"a", MORE),
        (False, True, LESS),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC), LESS),
        (NAN, 1.0, NONE),
        (NAN, NAN, NONE),
        (Decimal(1), NAN, NONE),
        (NAN, Decimal(1), NONE),
        (1, True, NONE),
        ("1", 1, NONE),
        ("a", b"a", NONE),
        (None, None, NONE),
        ([1], [2], NONE),
        ({}, {}, NONE),
        (frozenset({1}), frozenset({1, 2}), NONE),
        (GeoPoint(0.0, 0.0), GeoPoint(1.0, 0.0), NONE),
    ],
)
def test_orders_compare_numbers_by_size_and_others_with_their_own_type(
    one: Any, other: Any, expected: list[bool]
) -> None:
    assert orders(one, other) == expected


@given(portable.values(3), portable.values(3))
def test_an_order_of_any_two_values_is_decided_without_an_exception(one: Any, other: Any) -> None:
    assert orders(one, other) in (LESS, EQUAL, MORE, NONE)


def test_a_test_of_a_field_that_is_absent_is_false() -> None:
    field = Field("b")
    for condition in (field == 1, field != 1, field < 1, field >= 1, field.exists()):
        assert not holds(condition, a=1)
        assert holds(~condition, a=1)
    assert holds(Field("a").exists(), a=None)


def test_a_path_reaches_into_maps_and_nothing_else() -> None:
    assert holds(Field("a.b.c") == 1, a={"b": {"c": 1}})
    assert not holds(Field("a.b.c").exists(), a={"b": [1]})
    assert not holds(Field("a.0").exists(), a=["x"])
    assert not holds(Field("a.b").exists(), a="b")


def test_conditions_combine() -> None:
    one, two = Field("a") == 1, Field("b") == 2
    both = [(a, b) for a in (1, 0) for b in (2, 0)]
    assert [holds(one & two, a=a, b=b) for a, b in both] == [True, False, False, False]
    assert [holds(one | two, a=a, b=b) for a, b in both] == [True, True, True, False]
    assert [holds(~one, a=a) for a in (1, 0)] == [False, True]
    assert holds(If.present & ~(one | two), a=0)
    assert not (If.present & If.any).holds(None)


def test_a_condition_has_no_truth_of_its_own() -> None:
    """Python's own ``and``, ``not`` and ``1 < x < 3`` would drop a part without a word."""
    field = Field("a")
    for mistake in (
        lambda: If.present and field == 1,
        lambda: not If.absent,
        lambda: 1 < field < 3,
        lambda: field in [0, 1],
    ):
        with pytest.raises(TypeError, match="a condition has no truth of its own"):
            mistake()


@pytest.mark.parametrize("value", [(1,), "\ud800", object(), {"_ps_x": 1}])
def test_a_value_that_no_record_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        _ = Field("a") == value
    assert caught.value.path == "a"


@given(st.sampled_from([[1], {"b": 1}]))
def test_a_condition_keeps_a_copy_of_its_value(value: Any) -> None:
    condition = Field("a") == value
    value.clear()
    assert not holds(condition, a=value)
