"""Values, names, references and keys as Datastore's messages and back, without an engine."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.driver import Stored, Write
from polystore.driver.ordering import encode_ordered
from polystore.schema import Collection
from polystore.testing import strategies
from polystore.values import GeoPoint, Ref, same
from polystore_datastore.codec import Codec
from polystore_datastore.entities import fill_entity, sizes, stored
from polystore_datastore.index_ranges import _native
from polystore_datastore.messages import Entity, Key, Value
from polystore_datastore.names import (
    field_name,
    is_refused,
    key_name,
    key_part,
    property_name,
)
from polystore_datastore.placement import Place, place_of
from polystore_datastore.refs import Partition, fill_ref, ref_of

HOME = Partition("proj", "", "ns")
CODEC = Codec(HOME)
WIDE = Collection("wide", ["a:str", "b:int", "c:bytes"], indexes={"i": ["x", "y"]})
PATH = Collection(
    "orders",
    ["customer:str", "order:int"],
    placements={"datastore": {"path": "Customer/{customer}/Order/{order}"}},
)


def carried(value: Any, indexed: bool = True) -> Any:
    """``value`` once it has been sent and come back."""
    message = Value()
    CODEC.put(message, value, indexed)
    return CODEC.get(Value.FromString(message.SerializeToString()))


def back(place: Place, write: Write) -> Stored:
    """What a write reads as once it has been sent and come back."""
    entity = Entity()
    fill_entity(place, write, entity)

    class Result:
        version = 7

    result = Result()
    result.entity = Entity.FromString(entity.SerializeToString())  # type: ignore[attr-defined]
    record = stored(place, result)
    assert record is not None
    return record


@pytest.mark.rule("VAL-2", "VAL-3", "VAL-4", "VAL-5", "VAL-7", "VAL-9")
@given(strategies.values(), st.booleans())
def test_a_value_comes_back_the_same(value: Any, indexed: bool) -> None:
    assert same(value, carried(value, indexed))


@pytest.mark.rule("REC-1", "VAL-8")
@given(strategies.records(WIDE), st.booleans())
def test_a_record_comes_back_with_its_key_fields_and_bookkeeping(
    fields: dict[str, Any], stamped: bool
) -> None:
    key = (fields["a"], fields["b"], fields["c"])
    stamp = 1 << 41 if stamped else None
    record = back(place_of(WIDE, CODEC), Write(WIDE, key, fields, write_id="w1", stamp=stamp))
    assert record.fields is not None
    assert same(fields, record.fields)
    assert (record.key, record.token, record.write_id, record.stamp) == (key, 7, "w1", stamp)


def test_a_tombstone_has_no_fields() -> None:
    record = back(place_of(PATH, CODEC), Write(PATH, ("c", 1), None, write_id="w", stamp=3))
    assert (record.key, record.fields, record.write_id, record.stamp) == (("c", 1), None, "w", 3)


@pytest.mark.rule("VAL-8")
@given(strategies.names() | st.just("__key__"))
def test_a_field_name_has_a_property_name_that_datastore_takes(name: str) -> None:
    held = property_name(name)
    assert not is_refused(held)
    assert field_name(held) == name


@pytest.mark.rule("KEY-3", "KEY-4")
@given(strategies.texts(), strategies.texts())
def test_names_in_keys_are_lossless_and_in_order(one: str, other: str) -> None:
    assert not is_refused(key_name(one))
    assert key_part(key_name(one)) == one
    before = one.encode() < other.encode()
    assert (key_name(one).encode() < key_name(other).encode()) is before


@pytest.mark.rule("KEY-3", "KEY-4")
@pytest.mark.parametrize(
    "one", ["", "__", "____", "__a__", "__a_", "__a__\x00", "__a__\x01", "\x01"]
)
@pytest.mark.parametrize("other", ["", "\x00", "\x02", "__a__", "__a__ ", "__a__b", "__b__", "a"])
def test_names_that_datastore_refuses_keep_their_place(one: str, other: str) -> None:
    assert key_part(key_name(one)) == one
    assert (key_name(one) < key_name(other)) is (one < other)


@pytest.mark.rule("KEY-4")
@given(strategies.keys(WIDE))
def test_a_key_comes_back(key: Any) -> None:
    place, native = place_of(WIDE, CODEC), Key()
    place.fill_key(native, key)
    assert place.key_of(native) == key


@given(strategies.refs())
def test_a_reference_that_fits_a_path_is_a_key_value(ref: Ref) -> None:
    native = Key()
    if fill_ref(HOME, ref, native):
        assert ref_of(HOME, native) == ref
    assert carried(ref) == ref


@pytest.mark.parametrize(
    "ref",
    [
        Ref("Customer", ("c1",)),
        Ref("Customer/Order", ("c1", 17)),
        Ref("//other/db/ns2/Customer", (-5,)),
        Ref("a%2Fb", ("",)),
    ],
)
def test_these_references_are_key_values(ref: Ref) -> None:
    message = Value()
    CODEC.put(message, ref, True)
    assert message.HasField("key_value")
    assert CODEC.get(message) == ref


@pytest.mark.parametrize(
    "ref",
    [
        Ref("Customer", (b"c",)),
        Ref("Customer", (0,)),
        Ref("Customer", ("a", "b")),
        Ref("//proj//ns/Customer", ("c",)),
        Ref("a%b", ("c",)),
        Ref("//", ("c",)),
        Ref("Customer", ("x" * 1501,)),
    ],
)
def test_these_references_are_tagged(ref: Ref) -> None:
    message = Value()
    CODEC.put(message, ref, True)
    assert message.HasField("entity_value")
    assert carried(ref) == ref


@pytest.mark.rule("QRY-2")
@given(strategies.indexable(), strategies.indexable())
def test_native_order_of_values_of_one_type_is_the_order_of_values(one: Any, other: Any) -> None:
    if type(one) is not type(other) or not (CODEC.is_native(one) and CODEC.is_native(other)):
        return
    if isinstance(one, Ref) and isinstance(other, Ref) and one.collection != other.collection:
        return
    portable = encode_ordered(one) < encode_ordered(other)
    assert (_native(one) < _native(other)) is portable


def test_long_and_nested_values_are_excluded_one_by_one() -> None:
    message = Entity()
    fields: dict[str, Any] = {
        "k": "k",
        "short": "x" * 1500,
        "long": "é" * 751,
        "blob": b"x" * 1501,
        "tags": ["a", "b"],
        "mixed": ["a", "x" * 1501],
        "map": {"deep": {"text": "a"}, "list": ["a"]},
    }
    collection = Collection("c", ["k"])
    fill_entity(place_of(collection, CODEC), Write(collection, ("k",), fields), message)
    held = message.properties
    assert [n for n in sorted(held) if held[n].exclude_from_indexes] == ["blob", "long", "map"]
    assert [v.exclude_from_indexes for v in held["tags"].array_value.values] == [False, False]
    assert [v.exclude_from_indexes for v in held["mixed"].array_value.values] == [True, True]
    deep = held["map"].entity_value.properties
    assert deep["deep"].exclude_from_indexes
    assert deep["deep"].entity_value.properties["text"].exclude_from_indexes
    assert deep["list"].array_value.values[0].exclude_from_indexes
    assert "k" not in held


def test_with_declared_indexes_only_their_fields_are_indexed() -> None:
    collection = Collection(
        "c", ["k"], indexes={"i": ["a"]}, placements={"datastore": {"indexed": "declared"}}
    )
    message = Entity()
    write = Write(collection, ("k",), {"k": "k", "a": 1, "b": 2})
    fill_entity(place_of(collection, CODEC), write, message)
    assert not message.properties["a"].exclude_from_indexes
    assert message.properties["b"].exclude_from_indexes


@pytest.mark.rule("VAL-10")
def test_an_entity_that_polystore_never_wrote_is_read() -> None:
    message = Entity()
    held = message.properties
    place = place_of(PATH, CODEC)
    place.fill_key(message.key, ("c1", 17))
    held["plain"].string_value = "text"
    held["legacy"].string_value = "long text"
    held["legacy"].meaning = 15
    held["when"].timestamp_value.seconds = -1
    held["when"].timestamp_value.nanos = 999_999_999
    held["owner"].key_value.path.add(kind="User", id=5)
    held["owner"].key_value.partition_id.project_id = "proj"
    held["owner"].key_value.partition_id.namespace_id = "ns"
    for text, excluded in (("a", True), ("b", False)):
        held["mixed"].array_value.values.add(string_value=text, exclude_from_indexes=excluded)
    part = held["part"].entity_value
    part.key.partition_id.project_id = "proj"
    part.key.path.add(kind="Part", name="p")
    part.properties["n"].integer_value = 3
    held["loose"].entity_value.key.path.add(kind="Part")
    held["nothing"].SetInParent()
    held["point"].geo_point_value.SetInParent()

    class Result:
        version, entity = 3, message

    record = stored(place, Result())
    assert record is not None
    assert record.write_id is None
    assert record.fields == {
        "customer": "c1",
        "order": 17,
        "plain": "text",
        "legacy": "long text",
        "when": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        "owner": Ref("User", (5,)),
        "mixed": ["a", "b"],
        "part": {"n": 3, "__key__": Ref("//proj///Part", ("p",))},
        "loose": {},
        "nothing": None,
        "point": GeoPoint(0.0, 0.0),
    }


def test_an_embedded_key_is_written_back_as_one() -> None:
    message = Value()
    CODEC.put(message, {"n": 3, "__key__": Ref("Part", ("p",))}, True)
    assert list(message.entity_value.properties) == ["n"]
    assert message.entity_value.key.path[0].name == "p"
    assert CODEC.get(message) == {"n": 3, "__key__": Ref("Part", ("p",))}


@pytest.mark.parametrize(("lists", "indexed"), [(7, True), (8, False)])
def test_so_many_values_are_indexed_and_no_more(lists: int, indexed: bool) -> None:
    fields: dict[str, Any] = {f"l{i}": [0] * 1000 for i in range(lists)}
    write = Write(PATH, ("c", 1), {"customer": "c", "order": 1, "n": 1, **fields})
    entity = Entity()
    fill_entity(place_of(PATH, CODEC), write, entity)
    assert entity.properties["n"].exclude_from_indexes is not indexed
    assert entity.properties["l0"].array_value.values[0].exclude_from_indexes is not indexed


def test_sizes_are_those_of_the_entity_and_its_key() -> None:
    fields: dict[str, Any] = {
        "customer": "c" * 200,
        "order": 1,
        "total": Decimal("1.5"),
        "text": "é" * 1000,
    }
    write = Write(PATH, ("c" * 200, 1), fields, write_id="w", stamp=1)
    entity = Entity()
    fill_entity(place_of(PATH, CODEC), write, entity)
    measured = sizes(place_of(PATH, CODEC), write)
    assert measured.record == len(entity.SerializeToString())
    assert measured.part == 200
    assert measured.whole == len(entity.key.SerializeToString())
