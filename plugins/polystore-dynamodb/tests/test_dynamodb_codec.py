"""The codec: every value comes back, in the form that a person would have stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polystore.driver import Consistency, Unchanged, Write, Written
from polystore.schema import Collection
from polystore.values import SET_MEMBERS, GeoPoint, Ref, checked_fields, same
from polystore_dynamodb.codec import ESCAPE, HINTS, Item, decode_fields, encode_fields
from polystore_dynamodb.driver import DynamoDBDriver
from polystore_dynamodb.settings import WIRES

NAMES = {"": ESCAPE}
BACK = {ESCAPE: ""}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.one_of(texts, st.sampled_from(["", "*", "/", "~", "0", "a/b", "~1"])).filter(
    lambda name: not name.startswith("_ps_")
)
ints = st.integers(-(2**63), 2**63 - 1)
decimals = st.builds(
    lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=38).map(tuple),
    st.one_of(st.integers(-6, 6), st.integers(-6000, 6000)),
)
moments = st.datetimes(timezones=st.just(UTC))
key_parts = st.one_of(texts, ints, st.binary(max_size=9))
geo = st.builds(GeoPoint, st.floats(-90, 90), st.floats(-180, 180))
refs = st.builds(Ref, texts.filter(bool), st.lists(key_parts, min_size=1, max_size=3).map(tuple))
members = {
    str: texts,
    bytes: st.binary(max_size=9),
    int: ints,
    float: st.floats(),
    Decimal: decimals,
    datetime: moments,
}
assert members.keys() == SET_MEMBERS
sets = st.one_of(*(st.frozensets(member, max_size=4) for member in members.values()))
scalars = st.one_of(st.none(), st.booleans(), *members.values(), geo, refs, sets)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
records = st.dictionaries(names, values, max_size=8).map(checked_fields)


def canonical_reply(item: Item) -> Item:
    """What DynamoDB answers: N without exponent and needless zeros, sets in an order of its own."""
    return {name: _replied(wire) for name, wire in item.items()}


def _replied(wire: dict[str, Any]) -> dict[str, Any]:
    ((kind, raw),) = wire.items()
    if kind == "N":
        return {kind: _number(raw)}
    if kind == "NS":
        return {kind: sorted(map(_number, raw))}
    if kind in ("SS", "BS"):
        return {kind: sorted(raw)}
    if kind == "L":
        return {kind: [_replied(item) for item in raw]}
    if kind == "M":
        return {kind: {name: _replied(item) for name, item in raw.items()}}
    return wire


def _number(text: str) -> str:
    plain = f"{Decimal(text):f}"
    return (plain.rstrip("0").rstrip(".") if "." in plain else plain) or "0"


@pytest.mark.rule("VAL-2", "VAL-3", "VAL-4", "VAL-5", "VAL-7", "VAL-9")
@settings(max_examples=500)
@given(records)
def test_every_record_comes_back_equal_and_of_the_same_types(record: dict[str, Any]) -> None:
    item = encode_fields(record, NAMES)
    back = decode_fields(canonical_reply(item), BACK)
    assert same(back, record), (record, back)


@pytest.mark.rule("VAL-9")
@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (None, {"NULL": True}),
        (True, {"BOOL": True}),
        (7, {"N": "7"}),
        ("", {"S": ""}),
        (b"\x00", {"B": b"\x00"}),
        (Decimal("1.5"), {"N": "1.5"}),
        ([1, "a"], {"L": [{"N": "1"}, {"S": "a"}]}),
        ({"a": [None]}, {"M": {"a": {"L": [{"NULL": True}]}}}),
        (frozenset({"a"}), {"SS": ["a"]}),
        (frozenset({7}), {"NS": ["7"]}),
        (frozenset({b"a"}), {"BS": [b"a"]}),
        (frozenset({Decimal("1.5")}), {"NS": ["1.5"]}),
    ],
)
def test_what_is_native_has_no_hint(value: Any, wire: dict[str, Any]) -> None:
    assert encode_fields({"f": value}, NAMES) == {"f": wire}


@pytest.mark.rule("VAL-9")
@pytest.mark.parametrize(
    ("value", "wire", "tag"),
    [
        (1.0, {"N": "1.0"}, "f"),
        (-0.0, {"S": "-0.0"}, "f"),
        (1e126, {"S": "1e+126"}, "f"),
        (Decimal("1.50"), {"N": "1.50"}, "d-2"),
        (Decimal(3), {"N": "3"}, "d0"),
        (Decimal("-0.0"), {"S": "-0.0"}, "d"),
        (Decimal("1E+126"), {"S": "1E+126"}, "d"),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), {"N": "1000000"}, "t"),
        (GeoPoint(1.5, -2.0), {"S": "1.5,-2.0"}, "g"),
        (Ref("c", ("k", 1)), {"S": "sc\x01sk\x01i8000000000000001\x01"}, "k"),
        (frozenset(), {"NULL": True}, "u"),
        (frozenset({1.5}), {"NS": ["1.5"]}, "f"),
    ],
)
def test_what_native_would_lose_has_one_hint(value: Any, wire: dict[str, Any], tag: str) -> None:
    assert encode_fields({"f": value}, NAMES) == {"f": wire, HINTS: {"M": {tag: {"SS": ["f"]}}}}


def test_a_list_of_floats_takes_one_hint() -> None:
    assert encode_fields({"f": [1.0, 2.0]}, NAMES)[HINTS] == {"M": {"f": {"SS": ["f/*"]}}}


@pytest.mark.rule("VAL-10")
def test_numbers_of_other_writers_are_ints_where_they_can_be() -> None:
    item: Item = {
        "int": {"N": "7"},
        "big": {"N": "9223372036854775808"},
        "broken": {"N": "1.5"},
        "ints": {"NS": ["1", "2"]},
        "mixed": {"NS": ["1", "2.5"]},
    }
    expected = {
        "int": 7,
        "big": Decimal(9223372036854775808),
        "broken": Decimal("1.5"),
        "ints": frozenset({1, 2}),
        "mixed": frozenset({Decimal(1), Decimal("2.5")}),
    }
    assert same(decode_fields(item, BACK), expected)


@pytest.mark.rule("VAL-10")
@pytest.mark.parametrize(
    ("value", "native"),
    [
        (1.5, {"S": "text"}),
        (1.5, {"BOOL": True}),
        (Decimal("1.50"), {"N": "1.555"}),
        (datetime(2020, 1, 1, tzinfo=UTC), {"N": "999999999999999999999"}),
        (GeoPoint(1.0, 2.0), {"S": "nowhere"}),
        (Ref("c", ("k",)), {"S": "no key"}),
        ([1.0, 2.0], {"S": "text"}),
        ([1.0, "a"], {"N": "7"}),
        (frozenset[int](), {"SS": ["a"]}),
    ],
)
def test_a_hint_that_another_writer_outdated_is_left_aside(
    value: Any, native: dict[str, Any]
) -> None:
    outdated = encode_fields({"f": value}, NAMES) | {"f": native}
    assert same(decode_fields(outdated, BACK), decode_fields({"f": native}, BACK))


@pytest.mark.engine
@pytest.mark.rule("VAL-2", "VAL-3", "VAL-4", "VAL-5", "VAL-7", "CON-4", "REC-1")
@pytest.mark.parametrize("transport", WIRES)
def test_every_record_comes_back_from_dynamodb(
    driver: DynamoDBDriver, made: Callable[..., Collection]
) -> None:
    """Also: what it was can be compared, write id or not."""
    things = made(["id:int"])

    @settings(max_examples=200, deadline=None)
    @given(records, st.sampled_from([None, "w1"]))
    def comes_back(record: dict[str, Any], write_id: str | None) -> None:
        fields = {**record, "id": 7}
        written = driver.write(Write(things, (7,), fields, write_id=write_id))
        (found,) = driver.read(things, [(7,)], Consistency.STRONG).records
        assert found is not None
        assert same(found.fields, fields)
        assert written == Written(found.token)
        again = Write(things, (7,), {"id": 7}, Unchanged(found.token), "w2")
        assert isinstance(driver.write(again), Written)

    comes_back()
