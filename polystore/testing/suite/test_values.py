"""Every value, in records with keys of every type, comes back as it was."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.capabilities import EmptyKey
from polystore.driver import Consistency, Driver, Write
from polystore.errors import InvalidRequest
from polystore.queries import QueryPlan
from polystore.schema import Collection
from polystore.testing import strategies as portable
from polystore.testing.suite.calls import (
    Make,
    answer,
    error_of,
    fill,
    found,
    fresh,
    put,
    whole,
    written,
)
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
ALIKE = ("a", "A", "a ", " a", "a\x00", "é", "e\u0301", "ß", "ss", "1", "01", "a_b", "a.b", "aB")
"""Names that are one to a database which looks at them in its own way."""

OWN = (
    "_id", "_key", "_rev", "_ttl", "_type", "_version", "attributes", "body", "content",
    "created", "data", "deleted", "doc", "document", "etag", "expires", "expires_at", "expiry",
    "fields", "hash", "key", "kind", "meta", "name", "oid", "p", "parent", "partition",
    "payload", "pk", "PK", "range", "record", "rev", "rowid", "s", "sk", "SK", "sort", "stamp",
    "state", "tombstone", "token", "ttl", "type", "updated", "value", "version", "write_id",
    "xmin",
)  # fmt: skip
"""Names that a driver may want for what is its own."""

MARKS = (
    "S", "N", "B", "SS", "$ref", "$oid", "$date", "$binary", "$numberDecimal", "$decimal",
    "__decimal__", "__datetime__", "__bytes__", "__set__", "!decimal", "@type", "decimal", "bytes",
)  # fmt: skip
"""Names by which values are marked in some form of JSON: an application may use them."""

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
        Ref("c", ("17",)), Ref("c", (b"17",)),
    ),
    "set": (
        frozenset(), frozenset({""}), frozenset({"a", "b"}), frozenset({b"", b"a"}),
        frozenset({0, -1, 2**63 - 1}), frozenset({1.5, float("inf")}), frozenset({-0.0}),
        frozenset({1.0, 2.0}), frozenset({Decimal("1.0"), Decimal(2)}),
        frozenset({Decimal("1.50")}), frozenset(portable.ODD_DATETIMES),
    ),
    "list": (
        [], [[]], [[], [[1]]], [None, ""], [1, 1.0, True, "1"], [1, 2.5], [{"a": []}], ["x"] * 40,
    ),
    "dict": (
        {}, {"": {}}, {"a": {"b": {"c": [None]}}}, dict.fromkeys(portable.ODD_NAMES, 1),
        dict.fromkeys(ALIKE, 1), *({mark: "1"} for mark in MARKS),
        {"$date": "2020-01-01T00:00:00Z"}, {"type": "Buffer", "data": [1]},
        {"__type__": "Decimal", "value": "1"},
    ),
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
        value = record.fields.get(name, ...)
        assert same(value, expected[name]), name
        assert not isinstance(value, datetime) or value.utcoffset() == timedelta(0), name
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


@pytest.mark.rule("VAL-2", "REC-1")
def test_names_that_look_alike_or_like_a_drivers_own_are_fields(driver: Driver, make: Make) -> None:
    things = make()
    fields: dict[str, Any] = {name: n for n, name in enumerate(dict.fromkeys(ALIKE + OWN))}
    comes_back(driver, things, ("k",), whole(things, ("k",), {**fields, "within": [fields]}))


@pytest.mark.rule("VAL-2", "REC-1")
def test_large_values_come_back(driver: Driver, make: Make) -> None:
    things = make()
    fields: dict[str, Any] = {f"f{n}": value for n, value in enumerate(portable.LARGE)}
    comes_back(driver, things, ("k",), whole(things, ("k",), fields))


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
@pytest.mark.parametrize("shape", ["str", "bytes", "int", "str-str", "bytes-bytes"])
def test_keys_that_look_alike_are_different_records(driver: Driver, make: Make, shape: str) -> None:
    texts = ["a", "A", "a ", " a", "a\x00", "a\x01", "\x00a", "e\u0301", "é", "1", "01", "_a_"]
    texts += ["x" * 600 + end for end in ("", "a", "b")]
    parts: list[Any] = [*texts] if "str" in shape else [text.encode() for text in texts]
    if shape == "int":
        parts = [n + m for n in (0, 2**31, 2**32, 2**53, 2**62) for m in (-1, 0, 1)]
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
    for p in parts[:6] if width == 2 else ():
        records = answer(driver, things, QueryPlan(None, (p,)))
        assert [record.key for record in records] == [(p, q) for q in sorted(parts[:6])]


SEPARATORS = ":/|#,;.-_+~ \x00\x01\x1f\x7f\t\n"


@pytest.mark.rule("KEY-4")
@pytest.mark.parametrize("shape", ["str-str", "bytes-bytes", "str-int"])
def test_parts_of_a_key_do_not_run_into_each_other(driver: Driver, make: Make, shape: str) -> None:
    """Whatever stands between them in the database, and however that is escaped within one."""
    pairs: list[tuple[Any, Any]] = []
    for s in SEPARATORS:
        pairs += [(f"a{s}", "b"), ("a", f"{s}b"), ("a\\", f"b{s}c"), (f"a{s}b\\", "c")]
        pairs += [(f"a{s}b", "c"), ("a", f"b{s}c"), (f"a%{ord(s):02X}", "b"), (f"a\\{s}", "b")]
    pairs += [("a\x02\x03", "b"), ("ab", "c"), ("a", "bc"), ('a"', "b"), ("a", '"b'), ('","', "a")]
    if shape == "str-int":
        pairs = [(p, n) for p in ("a", "a1", "a11", "a-", "a-1") for n in (1, 11, 111, -1, -11)]
    elif shape == "bytes-bytes":
        pairs = [(p.encode(), q.encode()) for p, q in pairs]
    things = make([f"k{i}:{kind}" for i, kind in enumerate(shape.split("-"))])
    fill(driver, [put(things, key, n=n) for n, key in enumerate(pairs)])
    assert len(pairs) == len(set(pairs))
    for start in range(0, len(pairs), 25):
        keys = pairs[start : start + 25]
        records = driver.read(things, keys, Consistency.STRONG).records
        read = [record and (record.fields or {}).get("n") for record in records]
        assert read == [*range(start, start + len(keys))]
    for p in sorted({p for p, _ in pairs})[:8]:
        page = answer(driver, things, QueryPlan(None, (p,)))
        assert [r.key for r in page] == sorted(key for key in pairs if key[0] == p)


@pytest.mark.rule("VAL-2")
def test_the_strategies_make_portable_values() -> None:
    @given(st.lists(portable.values(), max_size=3))
    def check(values: list[Any]) -> None:
        fields = {str(i): value for i, value in enumerate(values)}
        assert same(checked_fields(fields), fields)

    check()
