"""Transactions: one state is read, all is written or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import polystore
from polystore import (
    AlreadyExists,
    Collection,
    Config,
    Conflict,
    Contention,
    Group,
    If,
    Increment,
    InvalidRequest,
    NotFound,
    OpenCollection,
    Set,
    Store,
    Transaction,
    TransactionCollection,
    Unsupported,
)


def the(store: Store) -> tuple[str, OpenCollection]:
    """Name and handle of the only collection of a store."""
    (name,) = store.config.collections
    return name, store[name]


def filled(store: Store, *amounts: int) -> tuple[str, OpenCollection]:
    """Orders of one customer, numbered from 0, with these amounts."""
    name, orders = the(store)
    for number, amount in enumerate(amounts):
        orders.put({"customer": "c1", "order": number, "amount": amount})
    return name, orders


def amount(store: Store, number: int) -> object:
    """The amount of an order; ``None`` where there is none."""
    _, orders = the(store)
    record = orders.get("c1", number)
    return None if record is None else record["amount"]


@pytest.mark.rule("TX-2", "TX-5")
def test_all_is_written_at_the_end_and_seen_before(every: Store) -> None:
    name, orders = filled(every, 10, 20, 30)

    def work(tx: Transaction) -> tuple[object, ...]:
        inside = tx[name]
        inside.update("c1", 0, Increment("amount", 5))
        inside.delete("c1", 1)
        inside.insert({"customer": "c2", "order": 1, "amount": 1})
        inside.put({"customer": "c1", "order": 2, "amount": 0})
        assert amount(every, 0) == 10
        seen = [inside.get("c1", n) for n in range(3)]
        return tuple(None if record is None else record["amount"] for record in seen)

    assert every.transaction(work) == (15, None, 0)
    assert [amount(every, n) for n in range(3)] == [15, None, 0]
    assert orders.get("c2", 1) is not None


@pytest.mark.rule("TX-2")
def test_nothing_is_written_if_the_function_fails(every: Store) -> None:
    name, _ = filled(every, 10, 20)

    def work(tx: Transaction) -> None:
        tx[name].update("c1", 0, Set(amount=0))
        tx[name].get("c1", 1)
        raise LookupError

    with pytest.raises(LookupError):
        every.transaction(work)
    assert [amount(every, n) for n in range(2)] == [10, 20]


@pytest.mark.rule("TX-1")
def test_it_runs_again_if_something_that_it_read_has_changed(every: Store) -> None:
    name, orders = filled(every, 10, 20)
    runs: list[int] = []

    def work(tx: Transaction) -> None:
        record = tx[name].get("c1", 0)
        assert record is not None
        runs.append(record["amount"])
        if len(runs) == 1:
            orders.update("c1", 0, Set(amount=11))
        tx[name].update("c1", 1, Set(amount=record["amount"]))

    every.transaction(work)
    assert runs == [10, 11]
    assert amount(every, 1) == 11


@pytest.mark.rule("TX-1")
def test_a_record_that_was_absent_is_checked_too(every: Store) -> None:
    name, orders = the(every)
    runs: list[bool] = []

    def work(tx: Transaction) -> None:
        runs.append(tx[name].get("c1", 0) is None)
        if len(runs) == 1:
            orders.put({"customer": "c1", "order": 0, "amount": 1})
        tx[name].put({"customer": "c1", "order": 1, "amount": 2})

    every.transaction(work)
    assert runs == [True, False]


@pytest.mark.rule("TX-1")
@pytest.mark.parametrize("limit", [{"attempts": 3}, {"timeout": 0.05}])
def test_it_gives_up_at_its_limit_with_nothing_applied(local: Store, limit: Any) -> None:
    name, orders = filled(local, 0, 0)
    runs: list[int] = []

    def work(tx: Transaction) -> None:
        tx[name].get("c1", 0)
        tx[name].update("c1", 1, Set(amount=1))
        runs.append(1)
        orders.update("c1", 0, Increment("amount"))

    with pytest.raises(Contention, match=r"nothing was applied") as caught:
        local.transaction(work, **limit)
    assert isinstance(caught.value.__cause__, Conflict)
    assert caught.value.retry.kind == "safe"
    assert amount(local, 1) == 0
    if "attempts" in limit:
        assert len(runs) == 3


@pytest.mark.rule("TX-4")
def test_an_error_that_came_from_no_one_state_is_not_raised(every: Store) -> None:
    name, orders = filled(every, 10, 10)
    runs: list[int] = []

    def work(tx: Transaction) -> int:
        first = tx[name].get("c1", 0)
        runs.append(1)
        if len(runs) == 1:
            orders.update("c1", 0, Increment("amount", -5))
            orders.update("c1", 1, Increment("amount", 5))
        second = tx[name].get("c1", 1)
        assert first is not None
        assert second is not None
        if first["amount"] + second["amount"] != 20:
            raise ArithmeticError
        return len(runs)

    assert every.transaction(work) == 2


def test_a_read_is_the_same_for_the_whole_transaction(local: Store) -> None:
    name, orders = filled(local, 10)
    runs: list[tuple[object, object]] = []

    def work(tx: Transaction) -> None:
        first = tx[name].get("c1", 0)
        if not runs:
            orders.put({"customer": "c1", "order": 0, "amount": 99})
        runs.append((first, tx[name].get("c1", 0)))

    local.transaction(work)
    assert runs[0][0] == runs[0][1]


@pytest.mark.rule("CON-5", "TX-5")
def test_conditions_hold_of_what_the_transaction_sees(local: Store) -> None:
    name, orders = filled(local, 10, 20)
    known = orders.get("c1", 0)
    assert known is not None

    def conflicts(call: Callable[..., None], *arguments: Any, error: type[Exception]) -> None:
        with pytest.raises(error) as caught:
            call(*arguments)
        assert getattr(caught.value, "key", None) is not None

    def work(tx: Transaction) -> None:
        inside = tx[name]
        inside.update("c1", 0, Set(amount=1), when=If.version(known.version))
        pending = inside.get("c1", 0)
        assert pending is not None
        assert pending.version != known.version
        inside.update("c1", 0, Increment("amount"), when=If.version(pending.version))
        conflicts(inside.insert, {"customer": "c1", "order": 0}, error=AlreadyExists)
        inside.delete("c1", 1, when=If.field("amount") == 20)
        conflicts(inside.update, "c1", 1, Set(amount=1), error=NotFound)
        inside.insert({"customer": "c1", "order": 1, "amount": 3})
        conflicts(_delete_absent, inside, error=Conflict)

    local.transaction(work)
    assert [amount(local, n) for n in range(2)] == [2, 3]


def _delete_absent(inside: TransactionCollection) -> None:
    inside.delete("c1", 0, when=If.absent)


def test_what_a_transaction_shows_may_be_changed_by_the_caller(local: Store) -> None:
    name, orders = the(local)
    orders.put({"customer": "c1", "order": 0, "tags": ["a"], "amount": 0})

    def work(tx: Transaction) -> None:
        for _ in range(2):
            record = tx[name].get("c1", 0)
            assert record is not None
            assert record["tags"] == ["a"]
            record["tags"].append("b")
            tx[name].update("c1", 0, Increment("amount"))

    local.transaction(work)
    assert dict(orders.get("c1", 0) or {})["tags"] == ["a"]


def test_it_ends_with_its_function(local: Store) -> None:
    name, _ = filled(local, 10)
    kept = local.transaction(lambda tx: tx)
    with pytest.raises(InvalidRequest, match="over"):
        kept[name]


def test_an_undeclared_collection_is_refused(local: Store) -> None:
    with pytest.raises(InvalidRequest, match="declared"):
        local.transaction(lambda tx: tx["nothing"].get("a"))


@pytest.fixture
def two_groups() -> Iterator[Store]:
    """A store of two collections in two groups and one in none, all in memory."""
    names = ("alone", "left", "right")
    config = Config(
        url="memory://",
        collections={name: Collection(name, ["id:str"]) for name in names},
        groups={
            name: Group(
                name=name,
                source=f"memory://source-of-{name}",
                target=f"memory://target-of-{name}",
                collections=[name],
            )
            for name in ("left", "right")
        },
    )
    with polystore.open(config) as store:
        store.create()
        yield store
        store.drop()


@pytest.mark.rule("TX-3")
@pytest.mark.parametrize("pair", [("left", "right"), ("alone", "left"), ("right", "alone")])
def test_collections_of_two_groups_are_refused_before_anything(
    two_groups: Store, pair: tuple[str, str]
) -> None:
    def work(tx: Transaction) -> None:
        for name in pair:
            tx[name].put({"id": "a"})

    with pytest.raises(Unsupported, match="one group"):
        two_groups.transaction(work)
    assert all(two_groups[name].get("a") is None for name in pair)


def test_a_group_takes_transactions(two_groups: Store) -> None:
    def work(tx: Transaction) -> None:
        tx["left"].put({"id": "a"})
        tx["left"].insert({"id": "b"})

    two_groups.transaction(work)
    assert sorted(record["id"] for record in two_groups["left"].scan()) == ["a", "b"]
