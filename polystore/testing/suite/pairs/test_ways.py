"""Whole ways: forwards, backwards, under load and under every fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from polystore.conditions import If
from polystore.effects import Procedure
from polystore.errors import IllegalEdge
from polystore.migration.stages import SOURCE, Stage
from polystore.records import KEEP, Increment
from polystore.testing.pairs import WAY, Stand
from polystore.testing.simulator.faults import ROUGH, Fate, Faults, Sent
from polystore.testing.simulator.fleet import SimulatedMember
from polystore.testing.simulator.load import Load
from polystore.testing.simulator.operator import REQUEST
from polystore.testing.simulator.rest import come_to_rest
from polystore.testing.suite.pairs.records import item, shown
from polystore.values import Key

pytestmark = pytest.mark.claims("transactions over the store")

KEYS: list[Key] = [(owner, n) for owner in ("ann", "bob", "cy") for n in (1, 2)]
FAULTS = {
    "lost": Faults(lost=8.0),
    "unanswered": Faults(unanswered=8.0),
    "applied later": Faults(held=8.0, hold_seconds=(0.5, 2.0), plain_hold=1.0),
    "refused": Faults(refused=12.0),
    "slow": Faults(slow=30.0),
    "sent twice by the wire": Faults(repeated=40.0),
    "left unprocessed": Faults(partial=40.0),
    "refusals that do not tell": Faults(muted=60.0),
    "short and repeated pages": Faults(short=50.0),
    "all of them": attrs.evolve(ROUGH, hold_seconds=(0.5, 2.0), plain_hold=1.0),
}


HOT = Faults(slow=20.0, slow_seconds=0.2)
"""While the dial turns: what is slow is overtaken."""


@pytest.mark.share(3)
@pytest.mark.rule("STG-6", "STG-1", "EPO-2", "WR-9", "MIR-2", "CNF-8")
@pytest.mark.parametrize("name", ["armed", "prepare", "dual-write", "dual-read at 0", "back at 60"])
def test_every_place_leads_back_with_all_that_was_written(
    begin: Callable[..., Stand], name: str
) -> None:
    stand = begin()
    for key in KEYS:
        stand.plant(item(key, v=0))
    place = WAY[name].entry
    assert place is not None
    stand.operator.reach(place.stage, 100.0 * place.moved / 256)
    for key in KEYS[::2]:
        stand.put(0, item(key, v=1))
    stand.delete(1, KEYS[1])
    stand.operator.go_back()
    stand.fleet.pass_time(1.0)
    assert stand.stage is Stage.SOURCE_ONLY
    wanted = {key: item(key, v=int(key in KEYS[::2])) for key in KEYS if key != KEYS[1]}
    for key in KEYS:
        assert shown(stand.get(1, key)) == wanted.get(key)
    assert {key: fields for (_, key), fields in stand.fleet.shown(SOURCE).items()} == wanted


@pytest.mark.share(3)
@pytest.mark.rule("STG-1", "CNF-8")
@pytest.mark.parametrize("name", ["target-only", "clean", "detached"])
def test_nothing_leads_back_to_a_source_that_was_left(
    begin: Callable[..., Stand], name: str
) -> None:
    stand = begin(entry=WAY[name].entry)
    stand.put(0, item(KEYS[0], v=1))
    with pytest.raises(IllegalEdge):
        stand.operator.back()
    assert shown(stand.get(1, KEYS[0])) == item(KEYS[0], v=1)
    assert stand.peeks(KEYS[0])[0] is None


@pytest.mark.share(16)
@pytest.mark.rule("STG-4", "WR-9", "MIR-3", "MIR-6", "UNK-1", "UNK-2", "TX-4", "CNF-8")
@pytest.mark.parametrize("name", ["dual-write before the copy", "dual-read at 40"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_breaks_a_promise(begin: Callable[..., Stand], fault: str, name: str) -> None:
    stand = begin(entry=WAY[name].entry)
    load = Load(stand.fleet, think=0.1)
    for client in stand.clients:
        load.start(client, 2)
    stand.fleet.network.faults = FAULTS[fault]
    stand.fleet.run_until(lambda: len(load.history) > 60, 120.0, "operations")
    come_to_rest(stand.fleet, load)


@pytest.mark.share(16)
@pytest.mark.rule("DIA-2", "DIA-5", "EPO-4", "STG-3", "STG-4", "SHD-2", "VER-2", "CNF-8")
@pytest.mark.parametrize("seed", range(1, 5))
def test_the_dial_turns_under_load_and_alarms_nobody(
    begin: Callable[..., Stand], seed: int
) -> None:
    stand = begin(entry=WAY["dual-read at 0"].entry, seed=seed, clients=3)
    fleet, operator = stand.fleet, stand.operator
    load = Load(fleet, think=0.03)
    for client in stand.clients:
        load.start(client, 2)
    fleet.network.faults = HOT
    for percent in (100.0, 30.0, 100.0, 0.0):
        found = operator.verify()
        assert all(not verified.discrepancies for verified in found.values())
        operator.dial(percent)
    come_to_rest(fleet, load)


@pytest.mark.share(4)
@pytest.mark.rule("EPO-4", "WR-9", "WR-10", "MIR-3", "CNF-8")
def test_what_is_under_way_when_the_dial_turns_is_seen_by_who_comes_after(
    begin: Callable[..., Stand],
) -> None:
    """Begun at one moment of a turn after the other, while its process is slow to tell of it."""
    stand = begin(entry=WAY["dual-read at 0"].entry)
    fleet, operator, (early, late) = stand.fleet, stand.operator, stand.clients
    keys: list[Key] = [("ann", n) for n in range(1, 33)]
    for key in keys:
        stand.put(0, item(key, v=0))

    def slow(sent: Sent) -> Fate | None:
        if sent.process != early.name or (sent.task == "increment" and not sent.writes):
            return None
        return Fate(apply=0.2) if sent.task == "increment" else Fate(apply=0.03, answer=0.03)

    def added(member: SimulatedMember, key: Key) -> Procedure[Any]:
        return member.operations["items"].update((*key, Increment("v")), If.present, None, KEEP)

    for n, key in enumerate(keys):
        operator.verify()
        fleet.network.rules.append(slow)
        goal = 0.0 if n % 2 else 100.0
        turned = fleet.spawn(operator.member, operator.coordinator.dial(goal, REQUEST), "dial")
        fleet.pass_time(0.04 * n)
        begun = fleet.spawn(early, added(early, key), "increment")
        fleet.finish(turned)
        fleet.do(late, added(late, key))
        fleet.finish(begun)
        fleet.network.rules.remove(slow)
        assert shown(stand.get(1, key)) == item(key, v=2)
    stand.agree(keys)


@pytest.mark.share(5)
@pytest.mark.rule("STG-3", "STG-4", "STG-7", "STG-8", "DIA-5", "WR-9", "MIR-6", "VER-2", "CNF-8")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_whole_way_under_load_loses_nothing_and_fails_nothing(
    begin: Callable[..., Stand], seed: int
) -> None:
    stand = begin(seed=seed)
    fleet, operator = stand.fleet, stand.operator
    load = Load(fleet, think=0.4)
    load.preload()
    for client in stand.clients:
        load.start(client, 1)
    operator.reach(Stage.DUAL_READ, 100.0)
    operator.dial(30.0)
    operator.go_back()
    for name in fleet.collections:
        fleet.empty("target", name)
    operator.reach(Stage.DUAL_READ, 100.0)
    assert all(not verified.discrepancies for verified in operator.verify().values())
    for _ in range(3):
        operator.advance()
    assert stand.stage is Stage.DETACHED
    come_to_rest(fleet, load)
    assert load.failed == []
