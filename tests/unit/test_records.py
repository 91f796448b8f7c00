"""Records, versions, and changes of fields."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.errors import InvalidRequest, InvalidValue
from polystore.records import (
    Append,
    Change,
    Increment,
    Record,
    Remove,
    Set,
    Version,
    changed,
)
from polystore.testing import strategies as portable
from polystore.values import INT_MAX, MOST_LEVELS, Fields, same

SECRET = "hunter2"
FIELDS: Fields = {"id": 1, "name": "a", "visits": 3, "tags": ["x"]}


def after(*changes: Change, fields: Fields | None = None) -> dict[str, Any]:
    return changed(FIELDS if fields is None else fields, changes, ("id",))


def test_a_record_is_a_mapping_with_key_and_version() -> None:
    record = Record((1,), dict(FIELDS), Version("v"))
    assert dict(record) == FIELDS
    assert (record.key, record.version, len(record)) == ((1,), Version("v"), 4)
    assert record["name"] == "a"
    assert "names" not in record


@pytest.mark.rule("ERR-3")
def test_the_repr_of_a_record_shows_no_value() -> None:
    record = Record((1,), {"id": 1, "name": SECRET}, Version("v"))
    assert repr(record) == "Record(key=(1,), 2 fields)"


def test_a_version_can_be_carried_as_text() -> None:
    assert Version(str(Version("a.1"))) == Version("a.1") != Version("a.2")


@pytest.mark.rule("REC-7")
@given(portable.values())
def test_set_gives_a_field_its_value_and_touches_no_other(value: Any) -> None:
    changes = after(Set(name=value))
    assert same(changes.pop("name"), value)
    assert changes == {name: FIELDS[name] for name in ("id", "visits", "tags")}


def test_set_takes_odd_names_from_a_mapping() -> None:
    assert after(Set({"odd name": 1}, name="b")) == {**FIELDS, "odd name": 1, "name": "b"}


def test_remove_takes_fields_away_and_an_absent_one_is_no_error() -> None:
    assert after(Remove("name", "absent")) == {"id": 1, "visits": 3, "tags": ["x"]}


@pytest.mark.parametrize(
    ("old", "amount", "new"),
    [
        (3, 1, 4),
        (3, -3, 0),
        (None, 5, 5),
        (None, 0.5, 0.5),
        (None, Decimal("1.50"), Decimal("1.50")),
        (1.5, 0.25, 1.75),
        (Decimal("1.10"), Decimal("0.9"), Decimal("2.00")),
        (Decimal("9" * 37), Decimal(1), Decimal("1" + "0" * 37)),
        (float("inf"), float("-inf"), float("nan")),
    ],
)
def test_increment_adds_to_a_number_of_its_type(old: Any, amount: Any, new: Any) -> None:
    fields: Fields = {"id": 1} if old is None else {"id": 1, "n": old}
    assert same(after(Increment("n", amount), fields=fields)["n"], new)


def test_increment_adds_1_unless_told_otherwise() -> None:
    assert after(Increment("visits"))["visits"] == 4


@pytest.mark.parametrize(
    ("old", "amount", "message"),
    [
        (SECRET, 1, "n: cannot add int to str"),
        (None, 1, "n: cannot add int to NoneType"),
        (True, 1, "n: cannot add int to bool"),
        (1, 1.0, "n: cannot add float to int"),
        (1.0, Decimal(1), "n: cannot add Decimal to float"),
        (INT_MAX, 1, "n: an int must fit in 64 bits"),
        (Decimal("9" * 38), Decimal("0.1"), "n: the sum needs more than 38 digits"),
        (Decimal("9" * 38), Decimal("1E-6000"), "n: the sum needs more than 38 digits"),
        (Decimal("9E+6144"), Decimal("1E+6144"), "n: the exponent is over"),
    ],
)
def test_increment_refuses_what_it_cannot_add(old: Any, amount: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message) as caught:
        after(Increment("n", amount), fields={"id": 1, "n": old})
    assert caught.value.path == "n"


@pytest.mark.parametrize("amount", ["1", True, None, 2**63, Decimal("NaN"), Decimal("1" * 39)])
def test_increment_refuses_an_amount_that_is_no_portable_number(amount: Any) -> None:
    with pytest.raises(InvalidValue):
        Increment("n", amount)


@given(portable.decimals(), portable.decimals())
def test_increment_is_exact_whatever_the_context_of_the_thread(
    one: Decimal, other: Decimal
) -> None:
    with localcontext() as context:
        context.prec = 2
        try:
            total = after(Increment("n", other), fields={"id": 1, "n": one})["n"]
        except InvalidValue:
            return
    with localcontext() as context:
        context.prec = 20_000
        assert total == one + other


def test_append_adds_to_the_end_of_a_list_or_makes_one() -> None:
    assert after(Append("tags", "y", ["z"]))["tags"] == ["x", "y", ["z"]]
    assert after(Append("new", 1))["new"] == [1]
    assert FIELDS["tags"] == ["x"]


def test_append_refuses_what_is_no_list() -> None:
    with pytest.raises(InvalidValue, match="name: cannot append to str"):
        after(Append("name", 1))


@pytest.mark.parametrize(
    "make",
    [
        lambda value: Set(a=value),
        lambda value: Set({"a": [value]}),
        lambda value: Append("a", value),
    ],
)
@pytest.mark.parametrize("value", [(SECRET,), SECRET + "\ud800", {"_ps_x": SECRET}, object()])
def test_a_change_refuses_what_no_record_can_hold(make: Any, value: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        make(value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda name: Set({name: 1}),
        Remove,
        Increment,
        lambda name: Append(name, 1),
    ],
)
@pytest.mark.parametrize("name", ["_ps_w", 7, ("a",), None, "\ud800"])
def test_a_change_refuses_what_no_field_can_be_called(make: Any, name: Any) -> None:
    with pytest.raises(InvalidValue):
        make(name)


def test_appending_cannot_nest_deeper_than_a_record_may() -> None:
    value: Any = 1
    for _ in range(MOST_LEVELS - 1):
        value = [value]
    Append("a", value)
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        Append("a", [value])


def test_changes_are_made_in_their_order() -> None:
    assert after(Set(n=1), Increment("n"), Remove("name"), Set(name="z"), Append("tags", 1)) == {
        "id": 1, "n": 2, "name": "z", "visits": 3, "tags": ["x", 1],
    }  # fmt: skip


def test_a_change_can_be_made_twice_and_what_came_of_it_shares_nothing() -> None:
    change, append = Set(a=[1]), Append("b", [1])
    for _ in range(2):
        fields = after(change, append)
        assert (fields["a"], fields["b"]) == ([1], [[1]])
        fields["a"].append(2)
        fields["b"][0].append(2)


@pytest.mark.parametrize("value", [2, True, 1.0, Decimal(1), "1", None])
def test_no_change_can_move_the_key(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="update cannot change the key field 'id'"):
        after(Set(id=value))


def test_the_key_can_be_set_to_itself_and_not_removed() -> None:
    assert after(Set(id=1)) == FIELDS
    with pytest.raises(InvalidRequest, match="cannot change the key field 'id'"):
        after(Remove("id"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [(({"name": "b"},), "dict is not a change"), ((Set,), "type is")],
)
def test_an_update_takes_changes_only(changes: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        after(*changes)


@given(st.sampled_from(list(FIELDS)))
def test_the_fields_that_are_changed_are_a_copy(name: str) -> None:
    before = dict(FIELDS)
    if name != "id":
        after(Remove(name), Set({name: "new"}))
    assert before == FIELDS
