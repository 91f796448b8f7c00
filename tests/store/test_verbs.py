"""What each verb does, with each kind of condition."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

import polystore
from polystore import (
    AlreadyExists,
    Append,
    Condition,
    Conflict,
    If,
    Increment,
    InvalidRequest,
    NotFound,
    OpenCollection,
    Remove,
    Set,
    Store,
    Version,
)

FIRST: dict[str, Any] = {"customer": "c1", "order": 17, "state": "", "total": Decimal("9.50")}


def the(store: Store) -> OpenCollection:
    """The only collection of a store."""
    (name,) = store.config.collections
    return store[name]


@pytest.mark.rule("REC-1", "REC-3", "REC-4")
def test_a_record_comes_back_as_it_was_put(every: Store) -> None:
    orders = the(every)
    version = orders.put(FIRST)
    record = orders.get("c1", 17)
    assert record is not None
    assert (dict(record), record.key, record.version) == (FIRST, ("c1", 17), version)
    assert orders.get("c1", 18) is None
    assert orders.get("c1", 17, consistency="eventual") == record


@pytest.mark.rule("REC-3")
def test_put_replaces_the_whole_record(every: Store) -> None:
    orders = the(every)
    orders.put({**FIRST, "note": "x"})
    orders.put(FIRST)
    assert dict(orders.get("c1", 17) or {}) == FIRST


@pytest.mark.rule("REC-3", "CON-1")
def test_insert_writes_only_where_nothing_is(every: Store) -> None:
    orders = the(every)
    version = orders.insert(FIRST)
    with pytest.raises(AlreadyExists) as caught:
        orders.insert({**FIRST, "state": "paid"})
    assert (caught.value.collection, caught.value.key) == (orders.declared.name, ("c1", 17))
    record = orders.get("c1", 17)
    assert record is not None
    assert (record["state"], record.version) == ("", version)


@pytest.mark.rule("REC-2")
def test_get_many_keeps_order_and_says_what_is_missing(every: Store) -> None:
    orders = the(every)
    for number in range(120):
        orders.put({"customer": "c1", "order": number})
    keys: list[tuple[object, ...]] = [("c1", n) for n in (119, 5, 500, 5, *range(118))]
    found = orders.get_many(keys)
    assert [None if r is None else r["order"] for r in found] == [119, 5, None, 5, *range(118)]
    assert orders.get_many([]) == []


@pytest.mark.rule("REC-7")
def test_update_changes_what_it_names_and_no_other(every: Store) -> None:
    orders = the(every)
    orders.put({**FIRST, "tags": ["a"], "old": 1})
    version = orders.update(
        "c1", 17, Set(state="paid"), Increment("visits"), Append("tags", "b"), Remove("old")
    )
    record = orders.get("c1", 17)
    assert record is not None
    expected = {**FIRST, "state": "paid", "visits": 1, "tags": ["a", "b"]}
    assert (dict(record), record.version) == (expected, version)


@pytest.mark.rule("REC-7")
def test_update_of_nothing_raises_unless_its_condition_allows_it(local: Store) -> None:
    orders = the(local)
    with pytest.raises(NotFound):
        orders.update("c1", 17, Set(state="paid"))
    with pytest.raises(NotFound):
        orders.update("c1", 17, Set(state="paid"), when=If.field("state") == "")
    assert orders.get("c1", 17) is None
    orders.update("c1", 17, Increment("visits"), when=If.any)
    orders.update("c1", 17, Increment("visits"), when=If.any)
    assert dict(orders.get("c1", 17) or {}) == {"customer": "c1", "order": 17, "visits": 2}


@pytest.mark.rule("REC-8")
def test_delete_takes_a_record_away_and_does_not_mind_its_absence(every: Store) -> None:
    orders = the(every)
    orders.put(FIRST)
    orders.delete("c1", 17)
    orders.delete("c1", 17)
    assert orders.get("c1", 17) is None


@pytest.mark.rule("REC-4", "REC-5")
def test_each_write_makes_another_version(every: Store) -> None:
    orders = the(every)
    made = [orders.put(FIRST), orders.put(FIRST), orders.update("c1", 17, Set(state=""))]
    orders.delete("c1", 17)
    made.append(orders.insert(FIRST))
    assert len(set(made)) == 4
    assert Version(str(made[-1])) == made[-1]


HOLDS_OF_FIRST = (
    If.any,
    If.present,
    If.field("state") == "",
    If.field("total") > 9,
    ~(If.field("state") == "paid") & If.field("total").exists(),
)
FALSE_OF_FIRST = (
    If.absent,
    If.version(Version("another")),
    If.field("total") == 9.5,
    If.field("nothing").exists(),
    If.field("state") != "",
)


def _put(orders: OpenCollection, when: Condition) -> object:
    return orders.put({**FIRST, "state": "paid"}, when)


def _update(orders: OpenCollection, when: Condition) -> object:
    return orders.update("c1", 17, Set(state="paid"), when=when)


def _delete(orders: OpenCollection, when: Condition) -> None:
    orders.delete("c1", 17, when=when)


VERBS: tuple[Callable[[OpenCollection, Condition], object], ...] = (_put, _update, _delete)


@pytest.mark.rule("CON-1", "CON-5")
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_every_condition(
    local: Store, verb: Callable[[OpenCollection, Condition], object]
) -> None:
    orders = the(local)
    for when in FALSE_OF_FIRST:
        version = orders.put(FIRST)
        with pytest.raises(Conflict):
            verb(orders, when)
        record = orders.get("c1", 17)
        assert record is not None
        assert record.version == version
    for holds in (*HOLDS_OF_FIRST, None):
        version = orders.put(FIRST)
        verb(orders, If.version(version) if holds is None else holds)
        record = orders.get("c1", 17)
        assert record is None or record["state"] == "paid"


@pytest.mark.rule("CON-1")
@pytest.mark.parametrize("verb", VERBS)
def test_conditions_on_the_engines(
    every: Store, verb: Callable[[OpenCollection, Condition], object]
) -> None:
    orders = the(every)
    version = orders.put(FIRST)
    with pytest.raises(Conflict):
        verb(orders, If.version(Version("another")))
    verb(orders, If.version(version))
    with pytest.raises(Conflict):
        verb(orders, If.version(version))


@pytest.mark.rule("CON-1")
def test_the_kind_of_conflict_is_told(local: Store) -> None:
    orders = the(local)
    with pytest.raises(NotFound):
        orders.delete("c1", 17, when=If.present)
    with pytest.raises(NotFound):
        orders.put(FIRST, If.present)
    orders.put(FIRST)
    with pytest.raises(AlreadyExists):
        orders.put(FIRST, when=If.absent)


@pytest.mark.rule("ERR-3")
def test_a_conflict_tells_the_place_and_no_value(local: Store) -> None:
    orders = the(local)
    orders.put({**FIRST, "state": "secret"})
    with pytest.raises(Conflict) as caught:
        orders.update("c1", 17, Set(state="hidden"), when=If.field("state") == "paid")
    assert "('c1', 17)" in str(caught.value)
    assert not {"secret", "hidden", "paid"} & set(str(caught.value).replace("'", " ").split())


def test_update_wants_the_key_and_then_changes(local: Store) -> None:
    orders = the(local)
    orders.put(FIRST)
    for arguments in (("c1", 17), ("c1", Set(state="x"), 17), (Set(state="x"),)):
        with pytest.raises(InvalidRequest):
            orders.update(*arguments)
    with pytest.raises(InvalidRequest, match="order"):
        orders.update("c1", 17, Set(order=18))


def test_arguments_of_the_wrong_kind_are_refused(local: Store) -> None:
    orders = the(local)
    wrong: Any = True
    with pytest.raises(InvalidRequest, match="when="):
        orders.put(FIRST, wrong)
    with pytest.raises(InvalidRequest, match="strong"):
        orders.get("c1", 17, consistency="weak")
    with pytest.raises(InvalidRequest, match="timeout"):
        orders.put(FIRST, If.absent, timeout=0)
    with pytest.raises(InvalidRequest, match="tuples"):
        orders.get_many(["c1"])  # type: ignore[list-item]  # the mistake


def test_what_was_read_or_put_belongs_to_the_caller(local: Store) -> None:
    orders = the(local)
    mine = {**FIRST, "tags": ["a"]}
    orders.put(mine)
    mine["tags"].append("b")
    record = orders.get("c1", 17)
    assert record is not None
    assert record["tags"] == ["a"]
    record["tags"].append("c")
    assert dict(orders.get("c1", 17) or {})["tags"] == ["a"]


def test_a_closed_store_is_unavailable(local_url: str) -> None:
    with polystore.open(local_url, [polystore.Collection("things", ["id:str"])]) as store:
        store.create()
        things = store["things"]
    store.close()
    calls: tuple[Callable[[], object], ...] = (
        lambda: things.get("a"),
        lambda: things.put({"id": "a"}),
        lambda: things.update("a", Set(x=1)),
        lambda: list(things.scan()),
        lambda: store.transaction(lambda tx: tx["things"].get("a")),
        store.create,
        store.describe,
    )
    for call in calls:
        with pytest.raises(polystore.Unavailable):
            call()
