"""A process that dies at any call of a write: others finish for it, and both sides are equal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from polystore.conditions import If
from polystore.testing.pairs import WAY, Stand
from polystore.testing.simulator.faults import Fate, Sent, lost
from polystore.testing.suite.pairs.records import item, shown
from polystore.transaction import Draft
from polystore.values import Fields, Key

pytestmark = [pytest.mark.share(48), pytest.mark.claims("transactions over the store")]

LATE = 9.0
"""Seconds after which a call arrives when its process has been recovered: a lease and more."""

ENTRIES = ("prepare", "dual-write", "dual-read at 40", "dual-read at 100")
KEYS: list[Key] = [("ann", 1), ("ann", 2)]


def verb_of(stand: Stand, verb: str) -> Awaitable[Any]:
    """What the process is at when it dies."""
    items = stand.clients[1].operations["items"]
    if verb == "put":
        return items.put(item(KEYS[0], v=2), If.any, None)
    if verb == "delete":
        return items.delete(KEYS[0], If.any, None)

    async def both(draft: Draft) -> None:
        for key in KEYS:
            await draft.collection("items").put(item(key, v=2), If.any)

    return stand.attempts(1, both)


def afterwards(verb: str) -> list[list[Fields | None]]:
    """What may be there: all as before, or all of it done."""
    before: list[Fields | None] = [item(key, v=1) for key in KEYS]
    if verb == "transaction":
        return [before, [item(key, v=2) for key in KEYS]]
    return [before, [None if verb == "delete" else item(KEYS[0], v=2), before[1]]]


@pytest.mark.rule("RCV-2", "RCV-3", "RCV-6", "RCV-7", "MIR-10", "WR-9", "TX-2", "CNF-8")
@pytest.mark.parametrize("arrives", [None, 1.0, LATE], ids=["never sent", "sent", "sent, late"])
@pytest.mark.parametrize("point", range(4))
@pytest.mark.parametrize("verb", ["put", "delete", "transaction"])
@pytest.mark.parametrize("name", ENTRIES)
def test_who_dies_in_a_write_leaves_all_of_it_or_nothing(
    begin: Callable[..., Stand], name: str, verb: str, point: int, arrives: float | None
) -> None:
    stand = begin(entry=WAY[name].entry)
    fleet, dying = stand.fleet, stand.clients[1]
    for key in KEYS:
        stand.put(0, item(key, v=1))
    calls = 0

    def dies(sent: Sent) -> Fate | None:
        nonlocal calls
        if sent.process != dying.name or not sent.task.startswith("dying"):
            return None
        calls += 1
        if calls != point + 1:
            return None
        fleet.crash(dying)
        return lost(sent) if arrives is None else Fate(apply=arrives)

    fleet.network.rules.append(dies)
    task = fleet.spawn(dying, verb_of(stand, verb), "dying")  # type: ignore[arg-type]
    fleet.run_until(lambda: task.done or not dying.process.alive, 60.0, "the end of it")
    if dying.process.alive:
        fleet.crash(dying)
    stand.clients[1] = fleet.member("another")
    found = [shown(record) for record in stand.get_many(1, KEYS)]
    mine = f"{dying.name}."
    fleet.run_until(
        lambda: not any(one.startswith(mine) for one in fleet.watch.present()), 60.0, "recovery"
    )
    stand.settled()
    left = [shown(record) for record in stand.get_many(0, KEYS)]
    assert left in afterwards(verb)
    fleet.pass_time(LATE)
    assert [shown(record) for record in stand.get_many(0, KEYS)] == left
    if task.done:
        assert found == afterwards(verb)[1]
    stand.agree(KEYS)
    stand.put(1, item(KEYS[0], v=3))
    assert shown(stand.get(0, KEYS[0])) == item(KEYS[0], v=3)
    stand.agree(KEYS)
