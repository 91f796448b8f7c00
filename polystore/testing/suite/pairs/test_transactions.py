"""Transactions at each place: all of it or nothing, and nobody's work is lost."""

from __future__ import annotations

import pytest

from polystore.conditions import If
from polystore.errors import AlreadyExists
from polystore.records import KEEP, Increment
from polystore.testing.pairs import Stand
from polystore.testing.suite.pairs.records import item, shown
from polystore.transaction import Draft

pytestmark = [pytest.mark.share(8), pytest.mark.claims("transactions over the store")]


class ThoughtBetterError(Exception):
    """What a transaction's function raises."""


@pytest.mark.rule("TX-2", "TX-5", "MIR-6", "CNF-8")
def test_a_transaction_writes_all_of_it_across_collections(stand: Stand) -> None:
    owner = stand.owner()

    async def both(draft: Draft) -> object:
        items, totals = draft.collection("items"), draft.collection("totals")
        await items.put(item((owner, 1), v=1), If.absent)
        await items.update((owner, 1, Increment("v", 2)), If.present, KEEP)
        await totals.put({"owner": owner, "v": 5}, If.any)
        return await items.get((owner, 1))

    assert stand.transaction(0, both)["v"] == 3
    assert shown(stand.get(1, (owner, 1))) == item((owner, 1), v=3)
    totals = stand.fleet.collections["totals"]
    assert shown(stand.get(1, (owner,), of=totals)) == {"owner": owner, "v": 5}
    stand.agree([(owner, 1)])
    stand.agree([(owner,)], totals)


@pytest.mark.rule("TX-2", "CNF-8")
@pytest.mark.parametrize("how", ["the function fails", "a condition is false"])
def test_a_transaction_that_fails_has_written_nothing(stand: Stand, how: str) -> None:
    owner = stand.owner()
    stand.put(1, item((owner, 2), v=1))

    async def failing(draft: Draft) -> None:
        items = draft.collection("items")
        await items.put(item((owner, 1), v=1), If.any)
        if how == "the function fails":
            raise ThoughtBetterError
        await items.put(item((owner, 2), v=2), If.absent)

    with pytest.raises((ThoughtBetterError, AlreadyExists)):
        stand.transaction(0, failing)
    assert stand.get(1, (owner, 1)) is None
    assert shown(stand.get(1, (owner, 2))) == item((owner, 2), v=1)


@pytest.mark.rule("TX-1", "CNF-8")
def test_what_was_read_and_changed_meanwhile_is_read_again(stand: Stand) -> None:
    owner, runs = stand.owner(), 0
    stand.put(0, item((owner, 1), v=1))

    async def copied(draft: Draft) -> None:
        nonlocal runs
        items = draft.collection("items")
        read = await items.get((owner, 1))
        runs += 1
        if runs == 1:
            other = stand.clients[1].operations["items"]
            await other.put(item((owner, 1), v=7), If.any, None)
        assert read is not None
        await items.put(item((owner, 2), v=read["v"]), If.any)

    stand.transaction(0, copied)
    assert runs == 2
    assert shown(stand.get(1, (owner, 2))) == item((owner, 2), v=7)
    stand.agree([(owner, 1), (owner, 2)])
