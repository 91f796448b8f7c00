"""What a rehearsal expects of each record, and how it judges what is there."""

from __future__ import annotations

import pytest

from polystore.cli.rehearse.load import (
    UNKNOWN_SHAPE,
    Difference,
    Known,
    Task,
    compared,
    moved_to,
    shape_of,
)
from polystore.values import Fields, Key

A, B, C = ("notes", (1,)), ("notes", (2,)), ("notes", (3,))
OLD: Fields = {"id": 1, "text": "old"}
NEW: Fields = {"id": 1, "text": "new"}


@pytest.mark.rule("REH-4")
def test_a_write_without_an_answer_leaves_several_states_possible_and_both_are_fine() -> None:
    known = Known({A: OLD})
    known.written(A, lambda _: NEW, sure=False)
    assert not known.certain(A)
    assert [known.wrong(A, state) for state in (OLD, NEW, None)] == [False, False, True]
    known.written(A, lambda _: None, sure=True)
    assert [known.wrong(A, state) for state in (OLD, None)] == [True, False]


@pytest.mark.rule("REH-4")
def test_records_of_other_processes_are_never_wrong() -> None:
    assert not Known({A: OLD}).wrong(B, NEW)


@pytest.mark.rule("REH-4")
@pytest.mark.parametrize(
    ("after", "what"),
    [
        ({(1,): OLD}, {}),
        ({}, {"lost": [A]}),
        ({(1,): NEW}, {"different": [A]}),
        ({(1,): {"id": 1.0, "text": "old"}}, {"different": [A]}),
        ({(1,): OLD, (2,): OLD}, {"returned": [B]}),
        ({(1,): OLD, (3,): OLD}, {"returned": [C]}),
    ],
)
def test_what_is_there_is_judged_by_what_may_be_there(
    after: dict[Key, Fields], what: dict[str, list[object]]
) -> None:
    found = compared({A: [OLD], B: [None]}, {"notes": dict(after)})
    assert found == Difference(**what)  # type: ignore[arg-type]


@pytest.mark.rule("REH-3")
def test_the_observed_shape_is_used_and_without_one_every_kind() -> None:
    assert shape_of({"notes": {"get": 3}, "gone": {"put": 1}}, ["notes", "cities"]) == {
        "notes": {"get": 3}
    }
    assert shape_of({}, ["notes"]) == {"notes": dict(UNKNOWN_SHAPE)}


@pytest.mark.rule("REH-4")
def test_every_record_has_one_owner_and_what_belongs_together_the_same() -> None:
    keys = [(f"c{n % 9}", n) for n in range(90)]
    cities: dict[Key, Fields] = {key: {"country": key[0]} for key in keys}
    records = {"cities": cities}
    task = Task("f", "g", "s", "t", records, {"cities": {"get": 1}}, 4, 1)
    owned = [set(task.owned(number)) for number in range(4)]
    assert sum(map(len, owned)) == len(set.union(*owned)) == 90
    for number in range(4):
        countries = {key[0] for _, key in owned[number]}
        others = {key[0] for n in range(4) if n != number for _, key in owned[n]}
        assert not countries & others
    assert task.choices() == ([("cities", "get")], [1])


def test_fields_move_to_another_key_with_the_key_fields() -> None:
    assert moved_to(("id",), (7,), OLD) == {"id": 7, "text": "old"}
