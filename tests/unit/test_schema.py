"""Declarations of collections, and keys checked against them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.errors import ConfigError, InvalidKey
from polystore.schema import Collection, Index, KeyField
from polystore.testing import strategies as portable

CITIES = Collection(
    "cities",
    ["country", "city:int", KeyField("tag", bytes)],
    partition=2,
    indexes={"by_state": ["state", "name"]},
    placements={"dynamodb": {"table": "cities"}},
)


def test_a_collection_knows_its_key_fields_and_indexes() -> None:
    assert CITIES.key == (KeyField("country", str), KeyField("city", int), KeyField("tag", bytes))
    assert CITIES.key_names == ("country", "city", "tag")
    assert CITIES.index("by_state") == Index("by_state", ("state", "name"))
    assert CITIES.placement("dynamodb") == {"table": "cities"}
    assert CITIES.placement("sqlite") == {}


@pytest.mark.parametrize("text", ["a:int", " a : int ", "a: int"])
def test_blanks_around_a_key_field_do_not_count(text: str) -> None:
    assert KeyField.parse(text) == KeyField("a", int)


def test_an_index_that_is_not_declared_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="no index 'by_name'; declared: by_state"):
        CITIES.index("by_name")
    with pytest.raises(ConfigError, match="declared: none"):
        Collection("a", ["id"]).index("by_name")


def test_what_a_collection_was_declared_with_cannot_change_it() -> None:
    placements = {"dynamodb": {"table": "cities"}}
    collection = Collection("cities", ["id"], placements=placements)
    placements["dynamodb"]["table"] = "towns"
    assert collection.placement("dynamodb") == {"table": "cities"}
    with pytest.raises(TypeError):
        collection.placements["sqlite"] = {}  # type: ignore[index]  # that is the test


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "collection '': a name has letters"),
        ({"name": "1a"}, "a name has letters"),
        ({"name": "a b"}, "a name has letters"),
        ({"name": "a\n"}, "a name has letters"),
        ({"name": "a" * 101}, "at most 100"),
        ({"key": []}, "at least one key field is needed"),
        ({"key": "id:int"}, "key fields are a list of names, not the text 'id:int'"),
        ({"key": ["id:float"]}, "key field 'id:float': the type must be one of str, int, bytes"),
        ({"key": ["id:"]}, None),
        ({"key": [":int"]}, "a field cannot be called ''"),
        ({"key": ["_ps_w"]}, "a field cannot be called '_ps_w'"),
        ({"key": ["id", "id:int"]}, "['id'] is declared twice"),
        ({"partition": 0}, "partition must be 1 … 1"),
        ({"partition": 2}, "partition must be 1 … 1"),
        ({"indexes": {"by": []}}, "index 'by' needs a name and fields"),
        ({"indexes": {"": ["a"]}}, "index '' needs a name and fields"),
        ({"indexes": {"by": ["_ps_v"]}}, "a field cannot be called '_ps_v'"),
        ({"indexes": {"by": ["a", "a"]}}, "index 'by' names a field twice"),
        ({"indexes": {"by": ["a:str", "a:number"]}}, "index 'by' names a field twice"),
        ({"indexes": {"by": ["a:int"]}}, "the type must be one of str, bytes, bool, number"),
        ({"indexes": {"by": "state"}}, "a list of names, not the text 'state'"),
        ({"indexes": [Index("by", ["a"]), Index("by", ["b"])]}, "['by'] is declared twice"),
    ],
)
def test_a_wrong_declaration_is_refused(arguments: dict[str, Any], message: str | None) -> None:
    arguments = {"name": "a", "key": ["id"], **arguments}
    if message is None:
        Collection(**arguments)
        return
    with pytest.raises(ConfigError, match=re.escape(message)):
        Collection(**arguments)


def test_the_fields_of_an_index_may_have_types() -> None:
    index = Index("by", ["state:str", "rank", "at : datetime"])
    assert index.fields == ("state", "rank", "at")
    assert index.types == ("str", None, "datetime")
    assert Index("by", index.declared) == index != Index("by", index.fields)


def test_a_key_field_has_one_of_three_types() -> None:
    with pytest.raises(ConfigError, match="the type must be one of str, int, bytes"):
        KeyField("id", float)


@pytest.mark.rule("KEY-1")
@given(portable.keys(CITIES))
def test_a_key_of_the_declared_types_is_taken_as_it_is(key: tuple[Any, ...]) -> None:
    assert CITIES.check_key(key) is key


@pytest.mark.rule("KEY-1", "ERR-5")
@pytest.mark.parametrize(
    ("key", "message"),
    [
        ((), "the key has 3 parts (country, city, tag), not 0"),
        (("a", 1), "the key has 3 parts (country, city, tag), not 2"),
        (("a", 1, b"", 4), "the key has 3 parts (country, city, tag), not 4"),
        ((1, 1, b""), "key field 'country' is str, not int"),
        (("a", True, b""), "key field 'city' is int, not bool"),
        (("a", 1.0, b""), "key field 'city' is int, not float"),
        (("a", float("nan"), b""), "key field 'city' is int, not float"),
        (("a", None, b""), "key field 'city' is int, not NoneType"),
        (("a", 1, "t"), "key field 'tag' is bytes, not str"),
        (("a", 1, bytearray(b"t")), "key field 'tag' is bytes, not bytearray"),
        (("a", 2**63, b""), "key field 'city' must fit in 64 bits"),
        (("a", -(2**63) - 1, b""), "key field 'city' must fit in 64 bits"),
        (("\ud800", 1, b""), "key field 'country' holds a lone surrogate"),
    ],
)
def test_any_other_key_is_refused_with_what_is_expected(
    key: tuple[object, ...], message: str
) -> None:
    with pytest.raises(InvalidKey, match=re.escape(message)) as caught:
        CITIES.check_key(key)
    assert caught.value.collection == "cities"


@pytest.mark.rule("KEY-1")
@given(st.tuples(portable.indexable(), portable.indexable(), portable.indexable()))
def test_a_key_is_taken_exactly_if_its_types_are_the_declared_ones(key: tuple[Any, ...]) -> None:
    if [type(part) for part in key] == [str, int, bytes]:
        CITIES.check_key(key)
    else:
        with pytest.raises(InvalidKey):
            CITIES.check_key(key)
