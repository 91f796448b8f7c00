"""Slots: what an owner keeps of them, and how many there are."""

from __future__ import annotations

import pytest

from polystore.driver import OlderThan, Stored
from polystore.errors import DeadlineExceeded, Unavailable
from polystore.migration.ledger import SLOTS
from polystore.migration.slots import FREE, OWED, Pool, Slot, SlotRecord, slot_fields
from polystore.migration.stages import SOURCE, Stage
from polystore.migration.upkeep import MOST_SLOTS, SLOTS_AT_START
from polystore.testing.simulator import Sent
from polystore.testing.simulator.faults import lost, refused
from polystore.testing.simulator.scheduler import Process
from tests.migration.scene import Scene, mirrors, slot_write


def test_an_attempt_names_its_keys_and_a_bump_names_none() -> None:
    slot = Slot(SOURCE, "m", 1, 4, "token")
    attempt = slot.attempt([("items", ("ann", 1)), ("raw", (b"\x00", 7))], "w")
    bump = slot.bump("w2")
    assert attempt.fields is not None
    assert attempt.fields["intent"] == [["items", "ann", 1], ["raw", b"\x00", 7]]
    assert (attempt.fields["seq"], attempt.fields["attempt"]) == (5, 4)
    assert bump.fields is not None
    assert (bump.fields["seq"], bump.fields["attempt"], bump.fields["intent"]) == (5, -1, [])
    assert attempt.key == bump.key == ("m", 1)


def test_a_pool_gives_each_slot_to_one() -> None:
    pool = Pool(Process("p", 1.0).signal)
    pool.add([Slot(SOURCE, "m", i, 0, None) for i in range(2)])
    first, second = pool.take(), pool.take()
    assert first is not second
    assert pool.take() is None
    assert first is not None
    assert second is not None
    pool.give(first, FREE)
    second.intent = (("items", ("ann", 1)),)
    pool.give(second, OWED)
    assert pool.unsettled() == [second]
    assert pool.take() is first


def test_a_slot_record_reads_back() -> None:
    fields = slot_fields("m", 3, 9, [("items", ("ann", 1))], 8)
    record = SlotRecord.of(Stored(("m", 3), {**fields, "closed": True}, None))
    assert record == SlotRecord(True, 9, 8, (("items", ("ann", 1)),))


@pytest.mark.rule("WR-2")
def test_members_begin_with_few_slots_and_make_more_when_they_need_them() -> None:
    with Scene(Stage.DUAL_WRITE, members=1) as scene:
        member, pools = scene.members[0], scene.incarnation(0).pools
        assert len(pools[SOURCE].slots) == SLOTS_AT_START
        tasks = [
            scene.fleet.spawn(member, scene.load.put(member, ("ann", i)), "put")
            for i in range(1, 200)
        ]
        scene.fleet.run_until(lambda: all(t.done for t in tasks), 10, "all")
        assert SLOTS_AT_START < len(pools[SOURCE].slots) <= MOST_SLOTS
        counted = scene.fleet.watch.members[f"member/{scene.name(0)}"]["slots_source"]
        assert counted == len(pools[SOURCE].slots)
        made = scene.fleet.drivers[SOURCE].native()[SLOTS.name].rows
        assert sum(key[0] == scene.name(0) for key in made) == counted
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("MIR-7", "UNK-3")
def test_when_no_slot_can_be_freed_a_write_waits_and_then_says_that_nothing_was_done() -> None:
    with Scene(Stage.DUAL_WRITE, members=1) as scene:
        member = scene.members[0]
        scene.rule(lambda s: lost(s, 0.05) if s.process == "p0" and mirrors(s) else None)
        for item in range(1, MOST_SLOTS + 1):
            scene.put(member, ("ann", item))
        scene.no_failures()
        scene.rule(lambda s: refused(Unavailable("injected")) if slot_write(s) else None)
        scene.put(member, ("bob", 1))
        assert isinstance(scene.load.failed[-1][1], DeadlineExceeded)
        scene.fleet.network.rules.clear()
        scene.fleet.run_until(scene.fleet.settled, 20, "the mirror")
        scene.put(member, ("bob", 1))
        scene.rest()


def test_the_scene_knows_mirror_calls() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        seen: list[Sent] = []

        def look(sent: Sent) -> None:
            if mirrors(sent):
                seen.append(sent)

        scene.rule(look)
        scene.put(scene.members[0], ("ann", 1))
        (write,) = seen[0].call.arguments
        assert isinstance(write.condition, OlderThan)
