"""Members that die, or are taken for dead: nothing is lost, and nobody goes on behind the back."""

from __future__ import annotations

import pytest

from polystore.conditions import If
from polystore.migration.ledger import SLOTS
from polystore.migration.member import CLOSED, PREFIX, RECOVERED, Member
from polystore.migration.recovery import LEASE_MARGIN, close, recover
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Stage, frozen_step
from polystore.records import Increment
from polystore.testing.simulator import Fate, Sent, SimulatedMember
from polystore.testing.simulator.faults import FOR_EVER, held, lost
from tests.migration.scene import Scene, commits, mirrors, slot_write

KEY = ("ann", 1)


def crash_after_commit(scene: Scene, member: SimulatedMember) -> None:
    """The next commit of a member is its last deed."""
    scene.once(
        lambda s: (
            Fate(then=lambda: scene.fleet.crash(member))
            if s.process == member.name and commits(s)
            else None
        )
    )


@pytest.mark.rule("RCV-3", "RCV-6", "WR-3")
@pytest.mark.parametrize("dial", [0, 100])
def test_a_death_between_home_commit_and_mirror_is_made_good(dial: int) -> None:
    with Scene(Stage.DUAL_READ, dial) as scene:
        fleet, victim = scene.fleet, scene.members[0]
        home, mirror = (SOURCE, TARGET) if dial == 0 else (TARGET, SOURCE)
        scene.put(victim, KEY)
        crash_after_commit(scene, victim)
        fleet.spawn(victim, scene.load.put(victim, KEY), "last")
        fleet.run_until(lambda: not victim.process.alive, 5, "its death")
        before = scene.stamp(mirror, KEY)
        assert scene.stamp(home, KEY) == (before or 0) + 1
        fleet.run_until(
            lambda: scene.stamp(mirror, KEY) == scene.stamp(home, KEY), 20, "its recovery"
        )
        scene.rest()


@pytest.mark.rule("RCV-3", "WR-3", "TX-2")
def test_a_death_in_a_transaction_leaves_all_of_it_or_nothing() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        fleet, victim = scene.fleet, scene.members[0]
        crash_after_commit(scene, victim)
        fleet.spawn(victim, scene.load.move(victim, "ann"), "last")
        fleet.run_until(lambda: not victim.process.alive, 5, "its death")
        scene.operator.verify()
        scene.operator.dial(100)
        assert scene.stamp(TARGET, ("ann", 0)) == 1
        assert scene.stamp(TARGET, ("ann",), "totals") == 1
        scene.rest()


@pytest.mark.rule("RCV-1", "WR-2", "WR-6", "EPO-2")
@pytest.mark.parametrize("held_too", [False, True])
def test_a_zombie_wakes_after_the_flip_and_commits_nothing_at_the_old_home(held_too: bool) -> None:
    with Scene(Stage.DUAL_READ) as scene:
        fleet, zombie = scene.fleet, scene.members[0]
        scene.put(zombie, KEY)
        scene.operator.verify()
        if held_too:
            scene.once(lambda s: held(s) if commits(s, KEY) else None)
        else:
            scene.once(
                lambda s: (
                    Fate(
                        apply=0.01,
                        answer=0.01,
                        then=lambda: fleet.scheduler.pause(zombie.process, 30),
                    )
                    if s.process == "p0"
                    and s.method == "read"
                    and s.call.arguments[0].name == "items"
                    else None
                )
            )
        update = zombie.operations["items"].update((*KEY, Increment("v")), If.present, None)
        late = fleet.spawn(zombie, scene.load._write(zombie, KEY, "add", 1, update), "late")
        fleet.pass_time(0.1)
        fleet.scheduler.pause(zombie.process, 30)
        scene.operator.dial(100)
        assert scene.stamp(SOURCE, KEY) == scene.stamp(TARGET, KEY)
        fleet.network.release()
        fleet.run_until(lambda: late.done, 60, "the zombie")
        assert scene.stamp(SOURCE, KEY) == scene.stamp(TARGET, KEY)
        scene.rest()
        assert zombie.session.counters.snapshot()["rejoined"] >= 1


@pytest.mark.rule("RCV-1")
def test_who_is_closed_wrongly_loses_its_session_and_no_data() -> None:
    with Scene(Stage.DUAL_READ, 50, clients=2) as scene:
        fleet, group = scene.fleet, scene.operator.member.group
        for _ in range(5):
            fleet.pass_time(1.0)
            for member in fleet.do(
                scene.operator.member, scene.operator.coordinator.fleet.members()
            ):
                if member.id.startswith(("p0", "p1")):
                    fleet.do(scene.operator.member, close(group, member))
        fleet.pass_time(5)
        scene.rest()
        scene.no_failures()
        assert scene.members[0].session.counters.snapshot()["rejoined"] >= 1


@pytest.mark.rule("RCV-2")
def test_recovery_closes_the_slots_in_both_stores() -> None:
    with Scene(Stage.DUAL_READ, 50) as scene:
        fleet, victim = scene.fleet, scene.members[0]
        name = scene.name(0)
        fleet.crash(victim)
        fleet.run_until(lambda: _state(scene, name) == RECOVERED, 20, "its recovery")
        for side in (SOURCE, TARGET):
            rows = fleet.drivers[side].native()[SLOTS.name].rows
            mine = [row for key, row in rows.items() if key[0] == name]
            assert len(mine) == 2
            assert all((row.fields or {})["closed"] for row in mine)


@pytest.mark.rule("RCV-2", "WR-2")
@pytest.mark.parametrize("dial", [0, 100])
def test_a_call_of_the_dead_that_lands_after_its_recovery_is_refused(dial: float) -> None:
    with Scene(Stage.DUAL_READ, dial) as scene:
        fleet, victim = scene.fleet, scene.members[0]
        name = scene.name(0)
        scene.put(victim, KEY)
        scene.once(lambda s: held(s) if commits(s, KEY) else None)
        fleet.spawn(victim, scene.load.put(victim, KEY), "last")
        fleet.pass_time(0.1)
        fleet.crash(victim)
        fleet.run_until(lambda: _state(scene, name) == RECOVERED, 20, "its recovery")
        assert len(fleet.network.held) == 1
        scene.rest()  # which lets it land, and looks


def _state(scene: Scene, name: str) -> object:
    return scene.fleet.watch.members.get(f"member/{name}", {}).get("state")


@pytest.mark.rule("RCV-4", "EPO-2")
def test_recovered_is_whose_lease_has_run_out() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        fleet, victim = scene.fleet, scene.members[0]
        name = scene.name(0)
        fleet.crash(victim)
        fleet.run_until(lambda: _state(scene, name) == CLOSED, 20, "its closing")
        closed_at = fleet.scheduler.now
        fleet.run_until(lambda: _state(scene, name) == RECOVERED, 20, "its recovery")
        assert fleet.scheduler.now - closed_at >= LEASE_MARGIN * fleet.times.lease
        assert fleet.scheduler.now - closed_at < LEASE_MARGIN * fleet.times.lease + 2


@pytest.mark.rule("RCV-4", "EPO-8")
def test_in_armed_the_quarantine_is_waited_out_too() -> None:
    with Scene(Stage.ARMED) as scene:
        fleet, victim = scene.fleet, scene.members[0]
        scene.put(scene.members[1], KEY)
        scene.once(
            lambda s: (
                held(s, 7.5)
                if s.process == "p0" and s.method == "write" and s.call.side == SOURCE
                else None
            )
        )
        fleet.spawn(victim, scene.load.put(victim, KEY), "last")
        fleet.pass_time(0.2)
        fleet.crash(victim)
        scene.operator.advance()  # the watch calls a plain write after this a violation
        fleet.pass_time(8)
        scene.rest()


@pytest.mark.rule("RCV-5")
@pytest.mark.parametrize("calls", range(1, 12))
def test_recovery_is_taken_up_where_one_died_in_it(calls: int) -> None:
    with Scene(Stage.DUAL_READ, members=2) as scene:
        fleet, victim = scene.fleet, scene.members[0]
        scene.put(victim, KEY)
        crash_after_commit(scene, victim)
        fleet.spawn(victim, scene.load.put(victim, KEY), "last")
        fleet.run_until(lambda: not victim.process.alive, 5, "its death")
        (dead,) = [
            m
            for m in fleet.do(scene.operator.member, scene.operator.coordinator.fleet.members())
            if m.id.startswith("p0")
        ]
        helper = fleet.member("helper")
        sent = 0

        def dies(one: Sent) -> None:
            nonlocal sent
            sent += one.task == "bury"
            if sent == calls and helper.process.alive:
                fleet.crash(helper)

        scene.rule(dies)

        async def bury() -> None:
            await recover(helper.group, await close(helper.group, dead))

        fleet.spawn(helper, bury(), "bury")
        fleet.run_until(
            lambda: scene.stamp(SOURCE, KEY) == scene.stamp(TARGET, KEY), 30, "a recovery"
        )
        scene.rest()


@pytest.mark.rule("RCV-5")
def test_several_recover_at_once() -> None:
    with Scene(Stage.DUAL_READ, members=4) as scene:
        fleet, victim = scene.fleet, scene.members[0]
        crash_after_commit(scene, victim)
        fleet.spawn(victim, scene.load.move(victim, "ann"), "last")
        fleet.run_until(lambda: not victim.process.alive, 5, "its death")
        (dead,) = [
            m
            for m in fleet.do(scene.operator.member, scene.operator.coordinator.fleet.members())
            if m.id.startswith("p0")
        ]

        async def bury(member: SimulatedMember, found: Member) -> None:
            await recover(member.group, await close(member.group, found))

        tasks = [fleet.spawn(m, bury(m, dead), "bury") for m in scene.members[1:]]
        fleet.run_until(lambda: all(t.done for t in tasks), 20, "all of them")
        assert [t.error for t in tasks] == [None, None, None]
        assert scene.stamp(TARGET, ("ann", 0)) == 1
        scene.rest()


@pytest.mark.rule("RCV-3")
def test_in_a_freeze_the_older_side_follows_the_newer() -> None:
    with Scene(Stage.DUAL_READ, members=2) as scene:
        fleet, victim = scene.fleet, scene.members[0]
        scene.put(victim, KEY)
        scene.operator.verify()
        # It commits, and dies before it hears of the freeze.
        scene.rule(lambda s: lost(s) if s.process == "p0" and mirrors(s) else None)
        scene.put(victim, KEY)
        assert scene.stamp(TARGET, KEY) != scene.stamp(SOURCE, KEY)
        fleet.crash(victim)
        fleet.network.rules.clear()
        at = fleet.setting
        coordinator = scene.operator.coordinator
        fleet.do(
            scene.operator.member,
            coordinator.epochs.advanced(at, lambda now: frozen_step(now, BUCKETS, BUCKETS)),
        )
        fleet.run_until(
            lambda: scene.stamp(TARGET, KEY) == scene.stamp(SOURCE, KEY), 6, "levelling"
        )
        scene.rest()


def test_a_slot_that_was_counted_and_never_made_is_closed_all_the_same() -> None:
    with Scene(Stage.PREPARE, members=1) as scene:
        fleet, victim = scene.fleet, scene.members[0]
        name = scene.name(0)
        scene.rule(lambda s: held(s, FOR_EVER) if s.process == "p0" and slot_write(s) else None)
        task = fleet.spawn(
            victim,
            victim.session.upkeep.grow(scene.incarnation(0), victim.group.sides[SOURCE]),
            "grow",
        )
        fleet.run_until(lambda: task.done, 5, "the attempt")
        fleet.crash(victim)
        fleet.run_until(lambda: _state(scene, name) == RECOVERED, 30, "its recovery")
        fleet.network.release()
        rows = fleet.drivers[SOURCE].native()[SLOTS.name].rows
        mine = {key[1]: (row.fields or {})["closed"] for key, row in rows.items() if key[0] == name}
        assert mine == {0: True, 1: True, 2: True, 3: True}
        scene.rest()


@pytest.mark.rule("RCV-8")
def test_records_of_the_dead_are_removed_by_anybody_once_recovered() -> None:
    no_record_is_removed_too_early()


def no_record_is_removed_too_early() -> None:
    """A death whose intents cannot be brought for a while; its record stays for so long."""
    with Scene(Stage.DUAL_READ) as scene:
        fleet, victim = scene.fleet, scene.members[0]
        scene.rule(lambda s: lost(s) if mirrors(s) else None)
        scene.put(victim, KEY)
        name = scene.name(0)
        fleet.crash(victim)
        fleet.pass_time(15)
        assert PREFIX + name in fleet.watch.members
        assert fleet.watch.members[PREFIX + name]["state"] == CLOSED
        fleet.network.rules.clear()
        fleet.pass_time(20)
        assert PREFIX + name not in fleet.watch.members
        assert scene.stamp(TARGET, KEY) == scene.stamp(SOURCE, KEY)
        slots = [stored for key, stored in scene.slots().items() if key[0] == name]
        assert slots
        assert all(stored.fields and stored.fields["closed"] for stored in slots)
        scene.rest()


@pytest.mark.rule("RCV-8", "EPO-10")
def test_who_wakes_up_and_finds_no_record_of_itself_joins_anew() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        fleet, sleeper = scene.fleet, scene.members[0]
        name = scene.name(0)
        scene.put(sleeper, KEY)
        fleet.scheduler.pause(sleeper.process, 40.0)
        fleet.pass_time(35)
        assert PREFIX + name not in fleet.watch.members
        fleet.pass_time(10)
        assert scene.name(0) != name
        written = scene.put(sleeper, KEY)
        assert scene.get(scene.members[1], KEY) == written.argument
        scene.rest()


@pytest.mark.rule("RCV-8")
def test_many_deaths_leave_no_records() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        for number in range(6):
            fleet, short = scene.fleet, scene.fleet.member(f"short{number}")
            fleet.pass_time(0.5)
            fleet.crash(short)
        scene.fleet.pass_time(30)
        assert len(scene.fleet.watch.members) == len(scene.members) + 1  # and the operator
        scene.rest()
