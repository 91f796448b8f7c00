"""The backlog beyond the slots: no key is ever without a name that recovery finds (MIR-8)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from polystore.driver import Stored
from polystore.errors import CursorExpired, Unavailable
from polystore.migration import backlog as backlog_
from polystore.migration import recovery, spill, upkeep
from polystore.migration.backlog import Backlog, Copying, Named
from polystore.migration.fleet import Fleet
from polystore.migration.ledger import SLOTS
from polystore.migration.recovery import close, recover
from polystore.migration.slots import Slot, SlotRecord
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.migration.upkeep import MOST_SLOTS
from polystore.testing.simulator import REQUEST, Fate, Sent
from polystore.testing.simulator.faults import held, lost, refused
from tests.migration.scene import Scene, mirrors, slot_write


def down(sent: Sent) -> Fate | None:
    """The target is down."""
    return refused(Unavailable("injected")) if sent.call.side == TARGET else None


def spills(sent: Sent) -> bool:
    """Whether a call writes a record of the backlog."""
    if not slot_write(sent):
        return False
    return "buckets" in (sent.call.arguments[0].fields or {})


def few(monkeypatch: pytest.MonkeyPatch, keys: int = 4, records: int = 2) -> None:
    """Let the dirty set be small, so that buckets are marked soon."""
    monkeypatch.setattr(backlog_, "KEYS", keys)
    monkeypatch.setattr(backlog_, "RECORDS", records)


def fill(scene: Scene, count: int, owners: tuple[str, ...] = ("ann", "bob", "cy")) -> None:
    for item in range(count):
        scene.put(scene.members[0], (owners[item % len(owners)], 1 + item // len(owners)))


@pytest.mark.rule("MIR-7", "MIR-8", "WR-8", "EPO-4")
@pytest.mark.parametrize("small", [False, True], ids=["keys", "buckets"])
def test_more_writes_than_slots_while_the_mirror_is_down_fail_nothing(
    small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small:
        few(monkeypatch)
    with Scene(Stage.DUAL_WRITE, members=1) as scene:
        scene.rule(down)
        fill(scene, 4 * MOST_SLOTS)
        scene.no_failures()
        incarnation = scene.incarnation(0)
        backlog = incarnation.backlogs[SOURCE]
        assert backlog.keys > 0
        assert bool(backlog.buckets) is small
        assert len(incarnation.pools[SOURCE].slots) <= MOST_SLOTS + 2 + 2
        scene.fleet.pass_time(10.0)
        assert incarnation.owes  # no epoch is acknowledged meanwhile
        scene.fleet.network.rules.clear()
        scene.fleet.run_until(scene.fleet.settled, 30, "the mirror to follow")
        assert scene.fleet.differences() == []
        assert backlog.empty
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("MIR-10", "RCV-3", "RCV-6")
@pytest.mark.parametrize("small", [False, True], ids=["keys", "buckets"])
@pytest.mark.parametrize("dial", [0, 100])
def test_recovery_finds_what_the_dead_had_spilled(
    dial: int, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small:
        few(monkeypatch)
    the_dead_had_spilled(dial)


def the_dead_had_spilled(dial: int) -> None:
    """A process whose mirror writes fail spills, and dies; others make it good."""
    with Scene(Stage.DUAL_READ, dial) as scene:
        mirror = TARGET if dial == 0 else SOURCE
        scene.rule(
            lambda s: (
                refused(Unavailable("injected"))
                if s.process == "p0" and mirrors(s) and s.call.side == mirror
                else None
            )
        )
        fill(scene, 3 * MOST_SLOTS)
        scene.no_failures()
        scene.fleet.crash(scene.members[0])
        scene.rest()


@pytest.mark.rule("MIR-10", "RCV-5")
@pytest.mark.parametrize("small", [False, True], ids=["keys", "buckets"])
@pytest.mark.parametrize("applied", [False, True], ids=["lost", "late"])
@pytest.mark.parametrize("which", range(4))
def test_a_death_at_each_write_of_the_backlog_loses_nothing(
    which: int, applied: bool, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small:
        few(monkeypatch)
    with Scene(Stage.DUAL_WRITE, members=2) as scene:
        seen: list[Sent] = []

        def die(sent: Sent) -> Fate | None:
            if sent.process != "p0" or not spills(sent):
                return None
            seen.append(sent)
            if len(seen) == which + 1:
                scene.fleet.scheduler.later(0.0, scene.fleet.crash, scene.members[0])
                return held(sent, timeout=0.5) if applied else lost(sent, 0.5)
            return None

        scene.rule(die)
        scene.rule(lambda s: down(s) if s.process == "p0" else None)
        item = 0
        while len(seen) <= which and item < 6 * MOST_SLOTS:
            if item == 5 * MOST_SLOTS:  # enough spilled: now it is drained
                scene.fleet.network.rules[:] = [die]
            task = scene.fleet.spawn(
                scene.members[0], scene.load.put(scene.members[0], ("ann", 1 + item)), "put"
            )
            scene.fleet.scheduler.run(lambda: task.done or len(seen) > which, 20.0)  # noqa: B023
            item += 1
        scene.fleet.network.rules.clear()
        scene.rest()


@pytest.mark.rule("MIR-8")
@pytest.mark.parametrize("small", [False, True], ids=["keys", "buckets"])
def test_writes_while_the_backlog_drains_are_not_forgotten(
    small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small:
        few(monkeypatch)
    drains_under_load(range(3))


def drains_under_load(seeds: Iterable[int]) -> None:
    """Spill, then let a mirror that often fails be brought up while clients write."""
    for seed in seeds:
        with (
            pytest.MonkeyPatch.context() as patch,
            Scene(Stage.DUAL_WRITE, members=1, seed=seed, items=12) as scene,
        ):
            patch.setattr(upkeep, "MOST_SLOTS", 4)
            scene.rule(down)
            fill(scene, 20)
            scene.fleet.network.rules.clear()
            flaky = scene.fleet.scheduler.choices
            scene.rule(lambda s: down(s) if flaky.below(3) == 0 else None)  # noqa: B023
            scene.load.think = 0.02
            scene.load.start(scene.members[0], 8)
            scene.fleet.pass_time(4.0)
            scene.rest()


@pytest.mark.rule("EPO-4", "MIR-10")
def test_no_epoch_is_acknowledged_before_the_backlog_is_drained() -> None:
    with Scene(Stage.DUAL_READ, members=1) as scene:
        scene.rule(lambda s: down(s) if s.process == "p0" else None)
        fill(scene, 2 * MOST_SLOTS)
        incarnation = scene.incarnation(0)
        pool = incarnation.pools[SOURCE]
        scene.fleet.do(
            scene.members[0],
            scene.members[0].session.upkeep.spilling.spill(
                incarnation, scene.members[0].group.sides[SOURCE]
            ),
        )
        assert not pool.unsettled()  # all that is left is what was spilled
        epoch = scene.fleet.setting.epoch
        member = scene.operator.member
        step = scene.fleet.spawn(member, scene.operator.coordinator.back(REQUEST), "back")
        scene.fleet.pass_time(5.0)
        assert scene.at(0).epoch == epoch
        scene.fleet.network.rules.clear()
        scene.fleet.run_until(lambda: step.done, 60, "the step")
        scene.rest()


@pytest.mark.rule("MIR-8")
def test_a_record_whose_keys_are_being_read_answers_for_no_later_commit() -> None:
    backlog = Backlog()
    target = ("items", ("ann", 1))
    named = Named(Slot(SOURCE, "m", 1, 0, None), {target: None})
    backlog.records.append(named)
    assert backlog.covers(target, 7)
    named.draining = True
    assert not backlog.covers(target, 7)
    backlog.buckets = frozenset({7})
    assert backlog.covers(target, 7)
    copying = backlog.begin_copy(["items"])
    assert copying == Copying(frozenset({7}), ["items"]) or copying.buckets == frozenset({7})
    assert not copying.again
    assert backlog.covers(target, 7)
    assert copying.again == {7}
    assert not backlog.covers(target, 8)


@pytest.mark.rule("MIR-10")
@pytest.mark.parametrize("small", [False, True], ids=["keys", "buckets"])
def test_a_commit_while_its_key_is_being_drained_is_named_anew(
    small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small:
        few(monkeypatch, records=0)
    a_commit_during_a_drain()


def a_commit_during_a_drain() -> None:
    """A drain has read a key when it is written again, and that write spills."""
    key = ("ann", 1)
    with Scene(Stage.DUAL_WRITE, members=1) as scene:
        member, incarnation = scene.members[0], scene.incarnation(0)
        home, spilling = member.group.sides[SOURCE], member.session.upkeep.spilling
        scene.rule(down)
        scene.put(member, key)
        scene.fleet.do(member, spilling.spill(incarnation, home))
        scene.fleet.network.rules.clear()
        drains: list[Sent] = []

        def slow(sent: Sent) -> Fate | None:
            if not mirrors(sent) or sent.task == "task":
                return down(sent)
            drains.append(sent)
            return Fate(apply=1.0, answer=0.01)

        scene.rule(slow)
        scene.fleet.run_until(lambda: bool(drains), 5, "the drain")
        scene.put(member, key)
        scene.fleet.do(member, spilling.spill(incarnation, home))
        scene.fleet.network.rules.clear()
        scene.fleet.run_until(scene.fleet.settled, 30, "the mirror to follow")
        assert scene.stamp(SOURCE, key) == scene.stamp(TARGET, key) == 2
        scene.rest()


@pytest.mark.rule("EPO-6", "STG-8")
def test_who_leaves_removes_the_records_of_its_backlog() -> None:
    with Scene(Stage.DUAL_WRITE, members=1) as scene:
        scene.rule(down)
        fill(scene, 2 * MOST_SLOTS)
        scene.fleet.network.rules.clear()
        scene.fleet.run_until(scene.fleet.settled, 30, "the mirror to follow")
        name = scene.name(0)
        scene.fleet.do(scene.members[0], scene.members[0].session.leave())
        rows = scene.fleet.drivers[SOURCE].native()[SLOTS.name].rows
        assert not [key for key in rows if key[0] == name]


def test_a_record_of_the_backlog_reads_back() -> None:
    write = Slot(SOURCE, "m", 1, 4, "token").naming([("items", ("ann", 1))], [3, 200], "w")
    record = SlotRecord.of(Stored(("m", 1), write.fields, None))
    assert record == SlotRecord(False, 5, -1, (("items", ("ann", 1)),), (3, 200))


def expires(scene: Scene, process: str, task: str) -> list[Sent]:
    """The first cursor of a task's scan of records expires: until it begins that anew.

    Returns:
        The calls that were refused for it.
    """
    refusals: list[Sent] = []
    begun_anew = False

    def rule(sent: Sent) -> Fate | None:
        nonlocal begun_anew
        if (sent.method, sent.process, sent.task) != ("scan", process, task):
            return None
        collection, _, cursor, _ = sent.call.arguments
        if collection.name != "items" or begun_anew:
            return None
        if cursor is None:
            begun_anew = bool(refusals)
            return None
        refusals.append(sent)
        return refused(CursorExpired("injected"))

    scene.rule(rule)
    return refusals


@pytest.mark.rule("MIR-12", "MIR-8")
def test_an_expired_cursor_of_dirty_buckets_reads_that_collection_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few(monkeypatch, records=0)
    monkeypatch.setattr(spill, "PAGE", 7)
    with Scene(Stage.DUAL_WRITE, members=1) as scene:
        scene.rule(down)
        fill(scene, 2 * MOST_SLOTS)
        backlog = scene.incarnation(0).backlogs[SOURCE]
        assert backlog.buckets
        scene.fleet.network.rules.clear()
        met = expires(scene, "p0", "session")
        scene.fleet.run_until(lambda: backlog.empty, 30, "the copy of the buckets")
        assert met
        scene.rest()


@pytest.mark.rule("MIR-12", "RCV-6")
def test_an_expired_cursor_of_a_recovery_reads_that_collection_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few(monkeypatch, records=0)
    monkeypatch.setattr(recovery, "PAGE", 7)
    with Scene(Stage.DUAL_WRITE, members=2) as scene:
        scene.rule(lambda s: down(s) if s.process == "p0" else None)
        fill(scene, 2 * MOST_SLOTS)
        assert scene.incarnation(0).backlogs[SOURCE].buckets
        dead, helper = scene.incarnation(0), scene.members[1]
        scene.fleet.crash(scene.members[0])
        met = expires(scene, "p1", "task")
        (found,) = [
            member
            for member in scene.fleet.do(helper, Fleet(helper.group).members())
            if member.id == dead.id
        ]
        closed = scene.fleet.do(helper, close(helper.group, found))
        assert scene.fleet.do(helper, recover(helper.group, closed)).converged
        assert met
        scene.rest()
