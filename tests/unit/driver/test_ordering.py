"""Values as text in the one order that indexes have everywhere."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polystore.driver.ordering import SCALARS, encode_ordered
from polystore.testing import strategies as portable
from polystore.testing.suite.neutral import value_order
from polystore.values import CANONICAL_NAN, GeoPoint, Ref, same

NUMBERS = portable.ints() | portable.floats() | portable.decimals()
ALIKE = st.text("\x00\x01\x02\x03ab", max_size=2)
"""Texts of which many are prefixes of each other, with all that is escaped."""

ANY_REFS = st.builds(
    Ref,
    ALIKE.filter(bool),
    st.lists(ALIKE | portable.ints() | portable.blobs(2), min_size=1, max_size=3).map(tuple),
)


@given(portable.indexable(), portable.indexable())
def test_texts_are_equal_exactly_if_the_values_are(one: Any, other: Any) -> None:
    assert (encode_ordered(one) == encode_ordered(other)) == same(one, other)


@pytest.mark.rule("QRY-2")
@given(NUMBERS, NUMBERS)
def test_numbers_of_all_types_are_ordered_by_size(one: Any, other: Any) -> None:
    sizes = [
        Fraction(number) if type(number) is not float or math.isfinite(number) else number
        for number in (one, other)
    ]
    if sizes[0] < sizes[1]:
        assert encode_ordered(one) < encode_ordered(other)


@pytest.mark.rule("QRY-2", "QRY-3")
@settings(max_examples=max(200, settings().max_examples))
@given(st.lists(portable.indexable() | ANY_REFS, min_size=12, max_size=12))
def test_the_order_of_texts_is_the_neutral_order(values: list[Any]) -> None:
    """Each example compares 66 pairs: 13,200 in CI."""
    in_order(values)


@pytest.mark.rule("QRY-2")
@settings(max_examples=max(100, settings().max_examples))
@given(
    st.sampled_from([NUMBERS, portable.texts() | ALIKE, ANY_REFS, portable.geo_points()]).flatmap(
        lambda values: st.lists(values, min_size=12, max_size=12)
    )
)
def test_the_order_within_a_type_is_the_neutral_order(values: list[Any]) -> None:
    in_order(values)


def in_order(values: list[Any]) -> None:
    for one, other in combinations(values, 2):
        less = encode_ordered(one).encode() < encode_ordered(other).encode()
        assert less == (value_order(one) < value_order(other)), (one, other)


@pytest.mark.rule("QRY-2")
def test_numbers_of_one_size_are_ordered_by_type_and_not_mixed_up() -> None:
    ascending: list[Any] = [
        CANONICAL_NAN, -math.inf, Decimal("-1E+6144"), -1.5e300, -10, -9.5, Decimal("-9.4"), -1,
        -1.0, Decimal(-1), -0.5, Decimal("-1E-6144"), 0, -0.0, 0.0, Decimal("-0"), Decimal(0),
        Decimal("1E-6144"), 5e-324, 0.1, 1, 1.0, Decimal("1.0"), Decimal(1), 9, Decimal("9.5"), 10,
        2**53, 2.0**53, 2**53 + 1, 1.5e300, Decimal("1E+6144"), math.inf,
    ]  # fmt: skip
    for low, high in pairwise(map(encode_ordered, ascending)):
        assert low < high


@pytest.mark.rule("QRY-2", "QRY-3")
@given(st.lists(portable.indexable(), min_size=2, max_size=2))
def test_types_follow_each_other(pair: list[Any]) -> None:
    kinds = ["NoneType", "bool", "number", "datetime", "str", "bytes", "Ref", "GeoPoint"]

    def rank(value: Any) -> int:
        name = type(value).__name__
        return kinds.index(name if name in kinds else "number")

    one, other = sorted(pair, key=rank)
    if rank(one) < rank(other):
        assert encode_ordered(one) < encode_ordered(other)


@pytest.mark.rule("QRY-2")
@given(portable.texts(), portable.texts(), portable.blobs(), portable.blobs())
def test_texts_and_bytes_are_ordered_by_their_bytes(a: str, b: str, c: bytes, d: bytes) -> None:
    assert (encode_ordered(a).encode() < encode_ordered(b).encode()) == (a.encode() < b.encode())
    assert (encode_ordered(c) < encode_ordered(d)) == (c < d)


@pytest.mark.rule("QRY-2")
@given(portable.datetimes(), portable.datetimes(), portable.geo_points(), portable.geo_points())
def test_moments_and_points_are_ordered_by_size(a: Any, b: Any, c: GeoPoint, d: GeoPoint) -> None:
    assert (encode_ordered(a) < encode_ordered(b)) == (a < b)
    if (c.latitude, c.longitude) < (d.latitude, d.longitude) and c.latitude != d.latitude:
        assert encode_ordered(c) < encode_ordered(d)


@given(portable.indexable(), portable.indexable())
def test_no_text_is_a_prefix_of_another(one: Any, other: Any) -> None:
    texts = [encode_ordered(one), encode_ordered(other)]
    assert same(one, other) or not texts[0].startswith(texts[1])
    assert "\x00" not in texts[0]
    assert texts[0].endswith("\x01")


def test_the_context_of_the_thread_changes_nothing() -> None:
    value = Decimal("123456789.123456789E+100")
    text = encode_ordered(value)
    with localcontext() as context:
        context.prec, context.capitals = 2, 0
        assert encode_ordered(value) == text


@pytest.mark.parametrize("value", [[], {}, frozenset(), (1,)])
def test_containers_have_no_place_in_an_index(value: Any) -> None:
    assert type(value) not in SCALARS
    with pytest.raises(TypeError, match="has no place in an index"):
        encode_ordered(value)


def test_every_scalar_has_a_place() -> None:
    assert encode_ordered(Ref("a", ("b", 1))) < encode_ordered(GeoPoint(0.0, 0.0))
