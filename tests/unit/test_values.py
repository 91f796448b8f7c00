"""What a field may hold, its copies, its identity and its canonical form."""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, localcontext
from enum import IntEnum
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.errors import InvalidValue, LimitExceeded
from polystore.testing import strategies as portable
from polystore.values import (
    CANONICAL_NAN,
    INT_MAX,
    INT_MIN,
    MOST_LEVELS,
    GeoPoint,
    Ref,
    canonical,
    check_name,
    checked,
    checked_fields,
    copied,
    depth,
    digest,
    microseconds,
    same,
)

SECRET = "hunter2"


def twins(one: Any, other: Any) -> bool:
    """Whether two values are the same, said once more and differently."""
    if type(one) is not type(other):
        return False
    if type(one) is float:
        return bool(struct.pack("d", one) == struct.pack("d", other))
    if type(one) is Decimal:
        return bool(one.as_tuple() == other.as_tuple())
    if type(one) is list:
        return len(one) == len(other) and all(map(twins, one, other))
    if type(one) is dict:
        return set(one) == set(other) and all(twins(one[name], other[name]) for name in one)
    if type(one) is frozenset:
        return len(one) == len(other) and all(any(twins(a, b) for b in other) for a in one)
    if type(one) is GeoPoint:
        return twins([one.latitude, one.longitude], [other.latitude, other.longitude])
    return bool(one == other)


@pytest.mark.rule("VAL-1")
@given(portable.values())
def test_a_portable_value_is_taken_as_it_is(value: Any) -> None:
    assert twins(checked(value), value)
    assert twins(copied(value), value)


@pytest.mark.rule("VAL-2")
@given(portable.values(), portable.values())
def test_the_canonical_form_is_equal_exactly_if_the_values_are(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == twins(one, other) == same(one, other)
    assert canonical(one) == canonical(copied(one))


ALIKE = [
    None, False, True, 0, 1, -1, 10, 0.0, -0.0, 1.0, 10.0, CANONICAL_NAN, math.inf,
    *map(Decimal, ("0", "-0", "0.0", "1", "1.0", "10", "1E+1")),
    "", "0", "1", "s0:", "\x00", b"", b"0", b"1", [], {}, frozenset(), [None], [[]], [""], ["", ""],
    {"": ""}, {"": None}, {"a": 1}, ["a", 1], frozenset({1}), frozenset({1.0}),
    frozenset({Decimal(1)}), frozenset({""}), frozenset({b""}), frozenset({CANONICAL_NAN}),
    datetime(1970, 1, 1, tzinfo=UTC), GeoPoint(0.0, 0.0), GeoPoint(-0.0, 0.0),
    Ref("a", ("b",)), Ref("a", (b"b",)), Ref("a", (1,)), Ref("a", ("1",)), Ref("a", ("b", "c")),
]  # fmt: skip


@pytest.mark.rule("VAL-2", "VAL-7")
def test_values_that_look_alike_are_different() -> None:
    for (i, one), (j, other) in product(enumerate(ALIKE), enumerate(ALIKE)):
        assert same(one, other) == (i == j), (one, other)
        assert (canonical(one) == canonical(other)) == (i == j), (one, other)


@given(st.dictionaries(portable.names(), portable.values(2), max_size=4))
def test_the_order_of_names_carries_no_meaning(fields: dict[str, Any]) -> None:
    turned = dict(reversed(fields.items()))
    assert same(fields, turned)
    assert digest(fields) == digest(turned)


@pytest.mark.rule("REC-6")
def test_the_digest_is_equal_in_every_release_and_thread() -> None:
    fields = {"a": Decimal("1E+10"), "b": [1.5, None, frozenset({"x", "y"})]}
    expected = "34d067f1140b3cb3890b3582b71f69c6"
    assert digest(fields) == expected
    with localcontext() as context:
        context.capitals = 0
        context.prec = 3
        assert digest(fields) == expected


class Text(str):
    """A subclass: it would not come back as what it was."""

    __slots__ = ()


class Colour(IntEnum):
    """Another."""

    RED = 1


REFUSED: list[tuple[Any, str]] = [
    (Text(SECRET), "Text is not a portable type"),
    (Colour.RED, "Colour is not a portable type"),
    (OrderedDict(a=SECRET), "OrderedDict is not a portable type"),
    ((SECRET,), "tuple is not a portable type"),
    ({SECRET}, "set is not a portable type"),
    (bytearray(SECRET.encode()), "bytearray is not a portable type"),
    (1j, "complex is not a portable type"),
    (object(), "object is not a portable type"),
    (datetime(2026, 1, 1), "a datetime needs a time zone"),  # noqa: DTZ001  # that is the test
    (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "out of range once in UTC"),
    (INT_MAX + 1, "an int must fit in 64 bits"),
    (INT_MIN - 1, "an int must fit in 64 bits"),
    (SECRET + "\ud800", "text holds a lone surrogate"),
    (Decimal("NaN"), "a Decimal must be finite"),
    (Decimal("sNaN"), "a Decimal must be finite"),
    (Decimal("-Infinity"), "a Decimal must be finite"),
    (Decimal("1" * 39), "a Decimal has at most 38 digits"),
    (Decimal("1E+6145"), "the exponent is over ±6144"),
    (Decimal("1E-6145"), "the exponent is over ±6144"),
    (Decimal("0E+6145"), "the exponent is over ±6144"),
    (frozenset({SECRET, 1}), "a frozenset holds one of"),
    (frozenset({None}), "a frozenset holds one of"),
    (frozenset({True}), "a frozenset holds one of"),
    (frozenset({(1,)}), "a frozenset holds one of"),
    (frozenset({INT_MAX + 1}), "an int must fit in 64 bits"),
    ({"_ps_x": 1}, "the field name '_ps_x' is reserved"),
    ({1: SECRET}, "a field name must be str"),
    ({Text("a"): 1}, "a field name must be str"),
    ({"\udfff": 1}, "text holds a lone surrogate"),
]


@pytest.mark.rule("VAL-1", "VAL-4", "VAL-5", "VAL-6", "ERR-3")
@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_anything_else_is_refused_with_its_path_and_without_its_value(
    value: Any, message: str
) -> None:
    for outer, path in (
        ({"a": value}, "a"),
        ({"a": {"b": [1, value]}}, "a.b[1]"),
        ({"a": [[], [{"b c": value}]]}, "a[1][0].b c"),
    ):
        with pytest.raises(InvalidValue, match=message) as caught:
            checked_fields(outer)
        assert caught.value.path == path
        assert str(caught.value).startswith(f"{path}: ")
        assert SECRET not in str(caught.value)


@pytest.mark.rule("VAL-8")
@pytest.mark.parametrize("name", ["_ps_", "_ps_w", "_ps_x"])
def test_a_reserved_name_is_refused_and_others_are_not(name: str) -> None:
    with pytest.raises(InvalidValue, match="reserved"):
        checked_fields({name: 1})
    with pytest.raises(InvalidValue, match="reserved"):
        checked_fields({"a": [{"b": {name: 1}}]})
    assert check_name(name[1:], "x") == name[1:]


def test_the_bounds_are_within() -> None:
    for value in (
        INT_MAX, INT_MIN, Decimal("9" * 38), Decimal("1E+6144"), Decimal("1E-6144"),
        Decimal("0E-6144"), {"é" * 5000: 1}, "\ud7ff\ue000\x00",
        math.inf, -0.0, 5e-324,
    ):  # fmt: skip
        assert twins(checked(value), value)


@pytest.mark.rule("VAL-3")
@given(st.integers(1, 2**52 - 1), st.booleans())
def test_every_nan_becomes_the_one_nan(payload: int, negative: bool) -> None:
    bits = payload | (0x7FF << 52) | (int(negative) << 63)
    (number,) = struct.unpack(">d", struct.pack(">Q", bits))
    assert twins(checked(number), CANONICAL_NAN)
    assert canonical(number) == canonical(CANONICAL_NAN)
    assert len(checked(frozenset({number, float("nan")}))) == 1


ZONES: list[tzinfo] = [
    UTC,
    timezone(timedelta(0), "Z"),
    timezone(timedelta(hours=-5, seconds=7)),
    ZoneInfo("Europe/Berlin"),
]


@pytest.mark.rule("VAL-6")
@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),  # noqa: DTZ001  # zones come next
    st.sampled_from(ZONES),
    st.integers(0, 1),
)
def test_a_datetime_with_a_zone_is_the_same_moment_in_utc(
    moment: datetime, zone: tzinfo, fold: int
) -> None:
    aware = moment.replace(tzinfo=zone, fold=fold)
    stored = checked(aware)
    assert stored.tzinfo is UTC
    assert stored - datetime(1970, 1, 1, tzinfo=UTC) == timedelta(microseconds=microseconds(aware))


@pytest.mark.parametrize(
    "make",
    [
        lambda: GeoPoint(90.1, 0.0),
        lambda: GeoPoint(0.0, -180.1),
        lambda: GeoPoint(float("nan"), 0.0),
        lambda: GeoPoint(0, 0.0),
        lambda: Ref("", ("a",)),
        lambda: Ref("\ud800", ("a",)),
        lambda: Ref(b"a", ("a",)),  # type: ignore[arg-type]  # that is the test
        lambda: Ref("a", ()),
        lambda: Ref("a", ["a"]),  # type: ignore[arg-type]  # that is the test
        lambda: Ref("a", (True,)),
        lambda: Ref("a", (1.0,)),  # type: ignore[arg-type]  # that is the test
        lambda: Ref("a", ("\ud800",)),
        lambda: Ref("a", (2**63,)),
    ],
)
def test_points_off_the_earth_and_references_without_a_key_are_refused(make: Any) -> None:
    with pytest.raises(InvalidValue):
        make()


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_containers_nest_to_the_limit_and_no_further() -> None:
    assert depth(checked(nested(MOST_LEVELS))) == MOST_LEVELS
    with pytest.raises(LimitExceeded) as caught:
        checked(nested(MOST_LEVELS + 1))
    assert (caught.value.limit, caught.value.size) == (MOST_LEVELS, MOST_LEVELS + 1)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(LimitExceeded):
        checked(endless)


@pytest.mark.parametrize(
    ("value", "levels"), [(1, 0), ([], 1), ({}, 1), ([{}], 2), ({"a": [1], "b": [[]]}, 3)]
)
def test_depth_counts_containers(value: Any, levels: int) -> None:
    assert depth(value) == levels


@pytest.mark.parametrize("make", [checked, copied])
def test_copies_share_no_container(make: Any) -> None:
    value: Any = {"a": [{"b": [1]}], "c": {}}
    copy = make(value)
    value["a"][0]["b"].append(2)
    value["c"]["d"] = 1
    assert copy == {"a": [{"b": [1]}], "c": {}}


@pytest.mark.rule("VAL-1")
def test_what_is_no_mapping_is_no_record() -> None:
    with pytest.raises(InvalidValue, match="a record is a mapping of its fields, not list"):
        checked_fields([("a", 1)])  # type: ignore[arg-type]  # that is the test


def test_what_is_not_portable_has_no_canonical_form() -> None:
    with pytest.raises(InvalidValue, match="tuple is not a portable type"):
        canonical((1,))
