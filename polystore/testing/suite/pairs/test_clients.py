"""Several clients at once, at each place: nothing is lost, and one of several wins."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from polystore.conditions import If
from polystore.driver import OlderThan
from polystore.effects import Procedure
from polystore.errors import Conflict, OutcomeUnknown, PolystoreError
from polystore.records import KEEP, Increment
from polystore.testing.pairs import Stand
from polystore.testing.simulator.faults import Fate, Sent, held, lost
from polystore.testing.simulator.load import Load
from polystore.testing.suite.pairs.records import item, shown

pytestmark = [pytest.mark.share(8), pytest.mark.claims("transactions over the store")]


def together(stand: Stand, *procedures: Procedure[Any]) -> list[Any]:
    """Run procedures at once, of the clients in turn; their results."""
    tasks = [
        stand.fleet.spawn(stand.clients[n % 2], procedure, f"at once {n}")
        for n, procedure in enumerate(procedures)
    ]
    return [stand.fleet.finish(task) for task in tasks]


def mirrors(sent: Sent) -> bool:
    """Whether a call brings something to a mirror."""
    if sent.method not in ("write", "write_many"):
        return False
    first = sent.call.arguments[0]
    return any(
        isinstance(write.condition, OlderThan)
        for write in (first if isinstance(first, list) else [first])
    )


async def won(procedure: Awaitable[Any]) -> bool:
    """Whether no condition of it was false."""
    try:
        await procedure
    except Conflict:
        return False
    return True


@pytest.mark.rule("REC-7", "WR-9", "WR-10", "CNF-8")
def test_no_increment_is_lost(stand: Stand) -> None:
    key = (stand.owner(), 1)
    stand.put(0, item(key, v=0))
    added = (
        stand.clients[n % 2]
        .operations["items"]
        .update((*key, Increment("v")), If.present, None, KEEP)
        for n in range(6)
    )
    together(stand, *added)
    assert shown(stand.get(1, key)) == item(key, v=6)
    stand.agree([key])


@pytest.mark.rule("CON-3", "CNF-8")
@pytest.mark.parametrize("what", ["insert", "replace", "remove"])
def test_of_several_with_one_condition_one_succeeds(stand: Stand, what: str) -> None:
    key = (stand.owner(), 1)
    when = If.absent if what == "insert" else If.version(stand.put(0, item(key, v=0)))
    verbs = [
        items.delete(key, when, None) if what == "remove" else items.put(item(key, v=n), when, None)
        for n, items in enumerate(stand.clients[n % 2].operations["items"] for n in range(4))
    ]
    assert sum(together(stand, *map(won, verbs))) == 1
    assert (stand.get(0, key) is None) == (what == "remove")
    stand.agree([key])


@pytest.mark.rule("STG-4", "SHD-1", "SHD-3", "QRY-1", "QRY-9", "MIR-7", "CNF-8")
@pytest.mark.parametrize("verb", ["put", "delete"])
def test_all_see_a_write_that_the_mirror_does_not_have_yet(stand: Stand, verb: str) -> None:
    key = (stand.owner(), 1)
    stand.put(0, item(key, v=1))
    stand.settled()

    def slow(sent: Sent) -> Fate | None:
        return held(sent, 1.0) if mirrors(sent) else None

    stand.fleet.network.rules.append(slow)
    if verb == "put":
        stand.put(0, item(key, v=2))
    else:
        stand.delete(0, key)
    wanted = [item(key, v=2)] * (verb == "put")
    for client in (0, 1):
        assert [dict(record) for record in stand.query(client, prefix=key[:1])] == wanted
        assert shown(stand.get(client, key)) == (wanted[0] if wanted else None)
    stand.fleet.network.rules.remove(slow)
    stand.agree([key])


@pytest.mark.rule("MIR-6", "WR-9", "CNF-8")
@pytest.mark.parametrize("verb", ["put", "delete"])
def test_a_write_that_the_mirror_did_not_get_comes_there_later(stand: Stand, verb: str) -> None:
    key = (stand.owner(), 1)
    stand.put(0, item(key, v=1))
    stand.settled()
    met: list[Sent] = []

    def strikes(sent: Sent) -> Fate | None:
        if met or not mirrors(sent):
            return None
        met.append(sent)
        return lost(sent)

    stand.fleet.network.rules.append(strikes)
    if verb == "put":
        stand.put(0, item(key, v=2))
    else:
        stand.delete(0, key)
    stand.fleet.pass_time(1.0)
    stand.fleet.network.rules.remove(strikes)
    assert len(met) == stand.stage.mirrored
    stand.agree([key])


@pytest.mark.rule("UNK-2", "UNK-3", "WR-5", "WR-9", "CNF-8")
@pytest.mark.parametrize("seconds", [0.55, 0.7, 1.2])
def test_what_is_told_as_not_applied_never_is(stand: Stand, seconds: float) -> None:
    key = (stand.owner(), 1)
    stand.put(0, item(key, v=1))
    stand.settled()
    items, told = stand.clients[1].operations["items"], None

    def slow(sent: Sent) -> Fate | None:
        return held(sent, 2.0) if sent.process == stand.clients[1].name and sent.fenced else None

    stand.fleet.network.rules.append(slow)
    try:
        stand.run(1, items.put(item(key, v=2), If.any, seconds))
    except PolystoreError as error:
        told = error
    stand.fleet.network.rules.remove(slow)
    now = shown(stand.get(0, key))
    if told is None:
        assert now == item(key, v=2)
    elif not isinstance(told, OutcomeUnknown):
        assert now == item(key, v=1)
    stand.fleet.pass_time(3.0)
    stand.settled()
    if not isinstance(told, OutcomeUnknown):
        assert shown(stand.get(0, key)) == now
    stand.agree([key])


@pytest.mark.rule("STG-4", "TX-4", "WR-9", "MIR-3", "CNF-8")
def test_a_burst_of_everything_is_explained_by_one_order(stand: Stand) -> None:
    load = Load(stand.fleet, owners=(stand.owner(), stand.owner()), think=0.05)
    for client in stand.clients:
        load.start(client, 2)
    stand.fleet.run_until(lambda: len(load.history) > 30, 60.0, "operations")
    load.end()
    assert load.failed == []
    load.check()
    stand.agree([(owner, n) for owner in load.owners for n in range(3)])
