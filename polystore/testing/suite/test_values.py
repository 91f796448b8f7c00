"""Every value, in records with keys of every type, comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polystore.capabilities import EmptyKey
from polystore.driver import Driver, Write
from polystore.errors import InvalidRequest
from polystore.schema import Collection
from polystore.testing import strategies as portable
from polystore.testing.suite.calls import Make, error_of, found, fresh, put, whole, written
from polystore.values import GeoPoint, Key, KeyPart, Ref, checked_fields, same

pytestmark = pytest.mark.about_what_is_stored

SHAPES = {
    "str": ["id:str"],
    "int": ["id:int"],
    "bytes": ["id:bytes"],
    "str-int": ["p:str", "s:int"],
    "bytes-str": ["p:bytes", "s:str"],
    "int-bytes-str": ["p:int", "s:bytes", "t:str"],
}
ODD: dict[str, tuple[Any, ...]] = {
    "none": (None,),
    "bool": (False, True),
    "int": portable.ODD_INTS,
    "float": portable.ODD_FLOATS,
    "decimal": portable.ODD_DECIMALS,
    "text": portable.ODD_TEXTS,
    "bytes": (b"", b"\x00", b"a", b"\xff\xfe", bytes(range(256))),
    "datetime": portable.ODD_DATETIMES,
    "geo-point": (GeoPoint(0.0, -0.0), GeoPoint(-90.0, 180.0), GeoPoint(5e-324, 0.1)),
    "ref": (
        Ref("c", ("k",)), Ref("c", ("",)), Ref("c", (0,)), Ref("c", (17,)), Ref("c", (b"\x00",)),
        Ref("a/b", ("k", 17)), Ref("c", ("a", -1, b"")), Ref("__c__", ("__k__",)), Ref("c d", (1,)),
    ),
    "set": (
        frozenset(), frozenset({""}), frozenset({"a", "b"}), frozenset({b"", b"a"}),
        frozenset({0, -1, 2**63 - 1}), frozenset({1.5, float("inf")}), frozenset({-0.0}),
        frozenset(portable.ODD_DATETIMES),
    ),
    "list": ([], [[]], [[], [[1]]], [None, ""], [1, 1.0, True, "1"], [{"a": []}], ["x"] * 40),
    "dict": ({}, {"": {}}, {"a": {"b": {"c": [None]}}}, dict.fromkeys(portable.ODD_NAMES, 1)),
}  # fmt: skip


def key_of(collection: Collection) -> Key:
    """A key of its own, parts of each type."""
    text = fresh()
    parts: dict[type, KeyPart] = {str: text, int: int(text[1:]), bytes: text.encode()}
    return tuple(parts[field.type] for field in collection.key)


def comes_back(driver: Driver, collection: Collection, key: Key, fields: dict[str, Any]) -> None:
    expected = checked_fields(fields)
    written(driver, Write(collection, key, fields, write_id=fresh()))
    record = found(driver, collection, key)
    assert record is not None
    assert same(list(record.key), list(key))
    assert record.fields is not None
    for name in expected:
        assert same(record.fields.get(name, ...), expected[name]), name
    assert record.fields.keys() == expected.keys()


@pytest.fixture(scope="module")
def shaped(make: Make) -> dict[str, Collection]:
    return {shape: make(key) for shape, key in SHAPES.items()}


@pytest.mark.rule("VAL-2", "VAL-3", "VAL-4", "VAL-5", "VAL-7", "REC-1")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ODD)
def test_odd_values_come_back(
    driver: Driver, shaped: dict[str, Collection], kind: str, shape: str
) -> None:
    collection = shaped[shape]
    key = key_of(collection)
    odd = ODD[kind]
    flat = {f"f{i}": value for i, value in enumerate(odd)}
    nested = {"list": list(odd), "dict": {f"f{i}": [{"x": value}] for i, value in enumerate(odd)}}
    comes_back(driver, collection, key, whole(collection, key, {**flat, **nested}))


@pytest.mark.rule("VAL-2", "VAL-7", "KEY-4", "REC-1")
@pytest.mark.parametrize("shape", SHAPES)
def test_every_record_comes_back(driver: Driver, shaped: dict[str, Collection], shape: str) -> None:
    """At 100 examples a shape, these are 600 records a driver."""
    collection = shaped[shape]

    @given(portable.records(collection, driver.capabilities(collection)))
    def check(record: dict[str, Any]) -> None:
        key = tuple(record[name] for name in collection.key_names)
        comes_back(driver, collection, key, record)

    check()


@pytest.mark.rule("VAL-2")
def test_equal_values_of_different_types_stay_apart(driver: Driver, make: Make) -> None:
    things = make()
    fields = {"a": 1, "b": 1.0, "c": True, "d": portable.ODD_DECIMALS[6], "e": "1", "f": b"1"}
    comes_back(driver, things, ("k",), whole(things, ("k",), fields))
    mixed = {"l": [*fields.values()], "m": {"x": fields}}
    comes_back(driver, things, ("l",), whole(things, ("l",), mixed))


@pytest.mark.rule("VAL-7")
def test_seven_kinds_of_nothing(driver: Driver, make: Make) -> None:
    things = make()
    nothings: dict[str, Any] = {
        "text": "", "bytes": b"", "list": [], "dict": {}, "set": frozenset(), "none": None,
    }  # fmt: skip
    comes_back(driver, things, ("k",), whole(things, ("k",), {**nothings, "within": [nothings]}))


@pytest.mark.rule("KEY-4", "CAP-3")
@pytest.mark.promise("keys.empty")
@pytest.mark.parametrize("kind", [str, bytes])
def test_empty_key_parts(driver: Driver, make: Make, kind: type) -> None:
    """What a driver claims to hold it holds; what it does not, the database refuses."""
    things = make([f"id:{kind.__name__}"])
    key: Key = (kind(),)
    if driver.capabilities(things).keys.empty is EmptyKey.HELD:
        comes_back(driver, things, key, {"id": key[0]})
        return
    error = error_of(driver, lambda: driver.write(put(things, key)))
    assert isinstance(error, InvalidRequest)


@pytest.mark.rule("KEY-4")
@pytest.mark.parametrize("shape", ["str", "str-str", "bytes-bytes"])
def test_keys_that_look_alike_are_different_records(driver: Driver, make: Make, shape: str) -> None:
    texts = ["a", "A", "a ", " a", "a\x00", "a\x01", "\x00a", "e\u0301", "é", "1", "01", "_a_"]
    parts: list[Any] = [*texts] if "str" in shape else [text.encode() for text in texts]
    width = shape.count("-") + 1
    things = make([f"k{i}:{shape.partition('-')[0]}" for i in range(width)])
    keys: list[Key] = [(p,) for p in parts]
    if width == 2:
        keys = [(p, q) for p in parts[:6] for q in parts[:6]]
    for i, key in enumerate(keys):
        written(driver, put(things, key, n=i))
    for i, key in enumerate(keys):
        record = found(driver, things, key)
        assert record is not None
        assert same(record.fields, whole(things, key, {"n": i}))


@pytest.mark.rule("VAL-7")
def test_a_put_leaves_no_field_of_the_record_before(driver: Driver, make: Make) -> None:
    things = make()
    written(driver, put(things, ("k",), stamp=5, a=1.5, b=frozenset(), c=None))
    comes_back(driver, things, ("k",), whole(things, ("k",), {"a": "1.5"}))
    record = found(driver, things, ("k",))
    assert record is not None
    assert record.stamp is None


@pytest.mark.rule("VAL-2")
@settings(max_examples=200)
@given(st.lists(portable.values(), max_size=3))
def test_the_strategies_make_portable_values(values: list[Any]) -> None:
    fields = {str(i): value for i, value in enumerate(values)}
    assert same(checked_fields(fields), fields)
