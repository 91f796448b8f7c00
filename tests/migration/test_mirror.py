"""The mirror: it follows, in whatever order things arrive, and gone it fails nothing."""

from __future__ import annotations

import pytest

from polystore.driver import Write
from polystore.errors import MigrationError, Unavailable
from polystore.migration.mirror import converge, mirror_write, put_if_older
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.testing.simulator import ITEMS, ROUGH, Faults, Sent
from polystore.testing.simulator.faults import held, refused
from tests.migration.scene import Scene, commits, mirrors

KEY = ("ann", 1)


@pytest.mark.rule("MIR-1", "MIR-3", "MIR-4", "MIR-5", "MIR-6")
@pytest.mark.parametrize("last", ["put", "delete"])
def test_mirror_writes_that_arrive_in_the_wrong_order_leave_the_newest(last: str) -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        scene.rule(lambda s: held(s, timeout=0.05) if s.task == "task" and mirrors(s) else None)
        for member in scene.members:
            scene.put(member, KEY)
        if last == "delete":
            scene.delete(scene.members[0], KEY)
        assert len(scene.fleet.network.held) >= 3
        late = scene.fleet.network.held
        late.reverse()
        newest = scene.stamp(SOURCE, KEY)
        late[0]()
        assert scene.stamp(TARGET, KEY) == newest
        for call in (*late, *late):
            call()
        assert scene.stamp(TARGET, KEY) == newest
        gone = scene.fleet.contents(TARGET, "items")[KEY].fields is None
        assert gone is (last == "delete")
        late.clear()
        scene.rest()


@pytest.mark.rule("MIR-6", "MIR-3")
@pytest.mark.parametrize("seed", range(3))
def test_drained_means_equal_and_so_it_stays(seed: int) -> None:
    faults = Faults(held=8.0, unanswered=3.0, hold_seconds=(0.1, 60.0))
    with Scene(Stage.DUAL_READ, seed=seed, clients=3, faults=faults) as scene:
        scene.fleet.pass_time(10)
        scene.rest()  # it looks, lets every late call land, and looks again


@pytest.mark.rule("MIR-2")
def test_mirroring_back_onto_records_that_never_had_a_stamp() -> None:
    with Scene(Stage.DUAL_READ, 100) as scene:
        fleet = scene.fleet
        unstamped = [k for k, s in fleet.contents(SOURCE, "items").items() if s.stamp is None]
        assert unstamped
        for key in unstamped:
            scene.put(scene.members[0], key)
            assert scene.stamp(SOURCE, key) == scene.stamp(TARGET, key) == 1
        scene.operator.dial(0)
        scene.rest()


@pytest.mark.rule("MIR-2")
def test_a_record_that_this_run_did_not_write_is_no_success() -> None:
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        group, at = scene.operator.member.group, scene.fleet.setting
        newer = Write(ITEMS, KEY, {"owner": "ann", "item": 1, "v": 1}, write_id="x", stamp=1)
        scene.fleet.plant(TARGET, newer)  # a stamp of an older run, where nothing was expected
        stored = scene.fleet.contents(TARGET, "items")[KEY]
        write = mirror_write(ITEMS, stored, at, copying=True)
        with pytest.raises(MigrationError, match="did not write"):
            scene.fleet.do(scene.operator.member, put_if_older(group.sides[TARGET], write))


@pytest.mark.rule("MIR-5")
def test_converging_twice_or_late_does_no_harm() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        group, at = scene.operator.member.group, scene.fleet.setting
        scene.put(scene.members[0], KEY)
        source, target = group.sides[SOURCE], group.sides[TARGET]
        for expected in (False, False):
            again = converge(source, target, ITEMS, KEY, at)
            assert scene.fleet.do(scene.operator.member, again) is expected
        nothing = converge(source, target, ITEMS, ("nobody", 1), at)
        assert scene.fleet.do(scene.operator.member, nothing) is False
        scene.rest()


@pytest.mark.rule("MIR-7", "SHD-3", "STG-3")
@pytest.mark.parametrize("dial", [0, 100])
def test_a_mirror_that_is_down_for_a_while_fails_nothing_and_loses_nothing(dial: int) -> None:
    with Scene(Stage.DUAL_READ, dial) as scene:
        fleet = scene.fleet
        home, mirror = (SOURCE, TARGET) if dial == 0 else (TARGET, SOURCE)
        scene.rule(lambda s: refused(Unavailable("injected")) if s.call.side == mirror else None)
        for item in range(1, 12):
            for member in scene.members:
                scene.put(member, ("ann", item))
        scene.get(scene.members[0], ("ann", 1))
        scene.no_failures()
        assert scene.stamp(mirror, ("ann", 11)) != scene.stamp(home, ("ann", 11))
        late = fleet.member("late")  # nothing on the way of a start needs the mirror
        scene.put(late, ("ann", 1))
        fleet.network.rules.clear()
        fleet.run_until(fleet.settled, 20, "the mirror to follow")
        assert fleet.differences() == []
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("WR-1")
def test_the_home_is_written_first() -> None:
    with Scene(Stage.DUAL_READ, 50) as scene:
        order: list[str] = []

        def look(sent: Sent) -> None:
            if sent.task == "task" and (commits(sent) or mirrors(sent)):
                order.append("home" if commits(sent) else "mirror")

        scene.rule(look)
        for owner in scene.load.owners:
            scene.put(scene.members[0], (owner, 1))
            scene.fleet.do(scene.members[0], scene.load.move(scene.members[0], owner))
        assert order == ["home", "mirror"] * 6


@pytest.mark.rule("WR-2", "WR-3", "TX-2")
def test_one_commit_carries_the_records_the_tokens_and_a_slot_with_every_key() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        sent: list[Sent] = []

        def look(one: Sent) -> None:
            if commits(one):
                sent.append(one)

        scene.rule(look)
        scene.fleet.do(scene.members[0], scene.load.move(scene.members[0], "ann"))
        writes, _ = sent[-1].call.arguments
        assert [w.collection.name for w in writes] == ["items", "totals", "_ps_slots"]
        assert writes[-1].fields["intent"] == [["items", "ann", 0], ["totals", "ann"]]
        assert {type(w.condition).__name__ for w in writes[:-1]} <= {"Unchanged", "Nothing"}
        assert type(writes[-1].condition).__name__ == "Unchanged"


@pytest.mark.rule("WR-8")
def test_a_slot_is_free_only_after_the_mirror_has_confirmed() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        member = scene.members[0]
        scene.rule(
            lambda s: refused(Unavailable("injected")) if s.process == "p0" and mirrors(s) else None
        )
        scene.put(member, KEY)
        scene.put(member, ("ann", 2))
        owed = scene.incarnation(0).unsettled()
        assert sorted(slot.intent for slot in owed) == [(("items", KEY),), (("items", ("ann", 2)),)]
        scene.fleet.network.rules.clear()
        scene.fleet.run_until(lambda: not scene.incarnation(0).unsettled(), 10, "the mirror")
        assert scene.stamp(SOURCE, KEY) == scene.stamp(TARGET, KEY)
        scene.rest()


@pytest.mark.rule("MIR-3", "WR-9")
@pytest.mark.parametrize("seed", range(4))
def test_storms_on_one_key(seed: int) -> None:
    with Scene(
        Stage.DUAL_READ, seed=seed, clients=0, faults=ROUGH, items=1, preload=False
    ) as scene:
        scene.load.owners = ("ann",)
        scene.load.think = 0.01
        for member in scene.members:
            scene.load.start(member, 2)
        scene.fleet.pass_time(6)
        scene.rest()
