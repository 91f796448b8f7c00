"""Members: joining, leaving, leases, standing still; and what the fleet waits for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from polystore.conditions import If
from polystore.effects import Sleep
from polystore.errors import DeadlineExceeded, MigrationError, OutcomeUnknown
from polystore.migration.ledger import CONTROL, SLOTS
from polystore.migration.stages import (
    BUCKETS,
    SOURCE,
    TARGET,
    Setting,
    Stage,
    after,
    frozen_step,
)
from polystore.testing.simulator import (
    REQUEST,
    Fate,
    Operator,
    Sent,
    SimulatedMember,
    Times,
    Violation,
)
from polystore.testing.simulator.faults import FOR_EVER, held, lost, unanswered
from polystore.values import Key
from tests.migration.scene import Scene, controls, mirrors

KEY = ("ann", 1)


@pytest.mark.rule("EPO-1")
def test_control_changes_by_compare_and_set_and_its_epoch_only_grows() -> None:
    with Scene(Stage.DUAL_READ, clients=1) as scene:
        conditions = []
        epochs = [scene.fleet.setting.epoch]

        def look(sent: Sent) -> None:
            if sent.method != "write" or sent.call.arguments[0].collection is not CONTROL:
                return
            (write,) = sent.call.arguments
            conditions.append(type(write.condition).__name__)
            if write.key[1] == "control":
                epochs.append(write.fields["epoch"])

        scene.rule(look)
        scene.operator.verify()
        scene.operator.dial(100)
        scene.operator.dial(0)
        scene.operator.go_back()
        assert set(conditions) <= {"Unchanged", "Nothing"}
        assert epochs == sorted(epochs)
        assert epochs[-1] > epochs[0] + 10


@pytest.mark.rule("EPO-2")
def test_an_epoch_waits_for_everybody_and_the_error_names_who_is_missing() -> None:
    with Scene(Stage.DUAL_WRITE, clients=1) as scene:
        scene.operator.copy()
        scene.rule(lambda s: lost(s, 0.2) if s.process == "p2" and s.task == "session" else None)
        impatient = Operator(scene.fleet, scene.operator.member, patience=3.0)
        with pytest.raises(MigrationError, match="not acknowledged by p2"):
            impatient.advance()
        epoch = scene.fleet.setting.epoch
        with pytest.raises(MigrationError, match="p2"):
            impatient.advance()
        assert scene.fleet.setting.epoch == epoch
        scene.fleet.network.rules.clear()
        scene.operator.advance()
        scene.operator.verify()
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("EPO-2")
def test_the_watch_sees_an_epoch_that_was_begun_too_early() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        scene.operator.copy()
        coordinator, member = scene.operator.coordinator, scene.operator.member
        scene.rule(lambda s: lost(s, 0.2) if s.process == "p2" and s.task == "session" else None)
        first = scene.fleet.do(
            member, coordinator.epochs.advanced(scene.fleet.setting, _to(Stage.DUAL_READ))
        )
        with pytest.raises(Violation, match="EPO-2"):
            scene.fleet.do(
                member,
                coordinator.epochs.advanced(first, lambda now: frozen_step(now, BUCKETS, BUCKETS)),
            )


def _to(stage: Stage) -> Callable[[Setting], Setting]:
    return lambda now: after(now, stage)


@pytest.mark.rule("EPO-3")
def test_a_freeze_goes_back_without_waiting() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        fleet, coordinator = scene.fleet, scene.operator.coordinator
        member = scene.operator.member
        scene.rule(lambda s: lost(s, 0.2) if s.process == "p2" and s.task == "session" else None)
        at = fleet.setting
        fleet.do(
            member, coordinator.epochs.advanced(at, lambda now: frozen_step(now, BUCKETS, BUCKETS))
        )
        fleet.do(member, coordinator.abort(REQUEST), 2.0)
        assert (fleet.setting.frozen, fleet.setting.moved) == (None, at.moved)
        fleet.network.rules.clear()
        scene.put(scene.members[0], KEY)
        scene.rest()


@pytest.mark.rule("EPO-4", "MIR-7")
def test_a_backlog_withholds_the_acknowledgement_and_nothing_is_lost() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        fleet, member = scene.fleet, scene.members[0]
        scene.operator.copy()
        scene.rule(lambda s: lost(s, 0.1) if s.process == "p0" and mirrors(s) else None)
        for item in range(1, 4):
            scene.put(member, ("ann", item))
        scene.no_failures()
        task = fleet.spawn(
            scene.operator.member, scene.operator.coordinator.advance(REQUEST), "advance"
        )
        fleet.pass_time(6)
        assert not task.done
        assert scene.at(0).stage is Stage.DUAL_WRITE
        assert scene.at(1).stage is Stage.DUAL_READ
        fleet.network.rules.clear()
        fleet.run_until(lambda: task.done, 10, "the advance")
        scene.rest()


@pytest.mark.rule("EPO-5")
@pytest.mark.parametrize("delay", [0.0, 0.005, 0.02, 0.05, 0.2, 0.6])
def test_who_joins_beside_an_epoch_serves_under_the_newest(delay: float) -> None:
    with Scene(Stage.DUAL_READ, members=2, clients=1) as scene:
        fleet = scene.fleet
        scene.operator.verify()

        def joining(sent: Sent) -> bool:
            return controls(sent) and fleet.members[-1].session.incarnation is None

        # Its look at control is old by the time that its record is written.
        scene.rule(
            lambda s: (
                Fate(apply=0.001, answer=0.4)
                if s.process == "late" and s.method == "read" and joining(s)
                else None
            )
        )
        task = fleet.spawn(
            scene.operator.member, scene.operator.coordinator.dial(100, REQUEST), "dial"
        )
        fleet.pass_time(delay)
        late = fleet.member("late")
        scene.load.start(late)
        fleet.run_until(lambda: task.done, 60, "the dial")
        assert task.error is None
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("EPO-5")
def test_who_joins_with_an_old_look_at_control_does_not_serve_under_it() -> None:
    with Scene(Stage.DUAL_READ, width=BUCKETS) as scene:
        fleet = scene.fleet
        scene.operator.verify()
        scene.once(
            lambda s: Fate(apply=0.001, answer=3.0) if s.process == "late" and controls(s) else None
        )
        late = fleet.member("late")
        write = fleet.spawn(late, scene.load.put(late, KEY), "write")
        fleet.pass_time(0.1)
        turned = scene.operator.coordinator.epochs.turned(
            fleet.setting, BUCKETS, scene.operator.member.group.step
        )
        assert fleet.do(scene.operator.member, turned).moved == BUCKETS
        fleet.run_until(lambda: write.done, 10, "its write")
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("EPO-6")
@pytest.mark.parametrize(("stage", "dial"), [(Stage.PREPARE, 0), (Stage.DUAL_READ, 50)])
def test_who_leaves_has_drained_and_removes_its_slots_and_its_record(
    stage: Stage, dial: float
) -> None:
    with Scene(stage, dial) as scene:
        fleet, member = scene.fleet, scene.members[0]
        name = scene.name(0)
        scene.put(member, KEY)
        member.session.stop()
        fleet.do(member, member.session.leave())
        assert f"member/{name}" not in fleet.watch.members
        for side in (SOURCE, TARGET):
            assert not any(k[0] == name for k in fleet.drivers[side].native()[SLOTS.name].rows)
        fleet.members.remove(member)
        epoch = fleet.setting.epoch
        scene.operator.back() if stage is Stage.PREPARE else scene.operator.dial(0)
        assert fleet.setting.epoch > epoch
        scene.rest()


@pytest.mark.rule("EPO-6")
def test_who_leaves_owing_something_is_recovered_by_others() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        fleet, member = scene.fleet, scene.members[0]
        scene.rule(lambda s: lost(s, 0.1) if s.process == "p0" and mirrors(s) else None)
        scene.put(member, KEY)
        member.session.stop()
        with pytest.raises(OutcomeUnknown):
            fleet.do(member, member.session.leave())
        fleet.crash(member)
        fleet.network.rules.clear()
        fleet.run_until(lambda: scene.stamp(SOURCE, KEY) == scene.stamp(TARGET, KEY), 20, "that")
        scene.rest()


@pytest.mark.rule("EPO-6")
def test_who_leaves_while_an_operation_runs_waits_for_it_or_leaves_it_to_others() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        fleet, member = scene.fleet, scene.members[0]
        scene.rule(
            lambda s: Fate(apply=3.0, answer=0.1) if s.process == "p0" and s.fenced else None
        )
        slow = fleet.spawn(member, scene.load.put(member, KEY), "slow")
        fleet.pass_time(0.1)
        member.session.stop()
        with pytest.raises(OutcomeUnknown):
            fleet.do(member, member.session.leave())
        fleet.crash(member)
        fleet.pass_time(10)
        assert not slow.done
        scene.rest()


@pytest.mark.rule("EPO-11")
@pytest.mark.parametrize("stage", [Stage.ARMED, Stage.DUAL_WRITE, Stage.DUAL_READ])
def test_joining_ends_at_the_callers_deadline_and_goes_on_for_the_next(stage: Stage) -> None:
    with Scene(stage, members=1) as scene:
        fleet = scene.fleet
        late = SimulatedMember(fleet, "late")
        fleet.members.append(late)
        slow = scene.rule(lambda s: Fate(0.2, 0.2) if s.process == "late" else None)
        tries = 0
        while late.session.incarnation is None:
            begun = fleet.scheduler.now
            with suppress(DeadlineExceeded):
                fleet.do(late, late.session.join(begun + 0.5))
            assert fleet.scheduler.now - begun < 0.5 + 0.4 + 0.1  # one call may be on its way
            tries += 1
            assert tries < 10
        assert tries > 1
        fleet.network.rules.remove(slow)
        assert [m for m in fleet.watch.members if "late" in m] == ["member/late.1"]
        late.background = [
            fleet.spawn(late, late.session.run(), "session", vital=True),
            fleet.spawn(late, late.session.beat(), "beat", vital=True),
        ]
        scene.put(late, KEY)
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("EPO-11")
def test_a_write_that_lacks_a_slot_is_over_by_its_deadline() -> None:
    with Scene(Stage.DUAL_WRITE, members=1) as scene:
        fleet, member = scene.fleet, scene.members[0]
        pool = scene.incarnation(0).pools[SOURCE]
        while pool.take() is not None:
            pass
        slow = scene.rule(lambda s: Fate(0.2, 0.2) if s.task == "put" else None)
        begun = fleet.scheduler.now
        put = fleet.spawn(
            member,
            member.operations["items"].put({"owner": "ann", "item": 1, "v": 1}, If.any, 0.5),
            "put",
        )
        fleet.run_until(lambda: put.done, 10, "the write")
        assert fleet.scheduler.now - begun < 0.5 + 0.4 + 0.1
        assert isinstance(put.error, DeadlineExceeded)
        fleet.network.rules.remove(slow)


@pytest.mark.rule("EPO-7")
def test_an_answer_that_comes_after_the_lease_ran_out_is_dropped_and_read_again() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        fleet, reader, writer = scene.fleet, scene.members[0], scene.members[1]
        scene.put(writer, KEY)
        scene.operator.verify()
        # It stands still with the read on its lips; meanwhile the home moves, and the old one
        # falls behind.
        read = fleet.spawn(reader, scene.load.get(reader, KEY), "read")
        fleet.scheduler.pause(reader.process, 25.0)
        scene.operator.dial(100)
        scene.rule(lambda s: held(s, FOR_EVER) if s.call.side == SOURCE and mirrors(s) else None)
        written = scene.put(writer, KEY)
        assert scene.stamp(SOURCE, KEY) != scene.stamp(TARGET, KEY)
        fleet.run_until(lambda: read.done, 40, "the read")
        assert read.result == written.argument
        scene.rest()


@pytest.mark.rule("EPO-7", "RCV-4")
def test_who_was_shut_out_and_does_not_know_reads_until_its_lease_ends_and_no_longer() -> None:
    with Scene(Stage.DUAL_READ, times=Times(lease=7.0), width=BUCKETS) as scene:
        fleet, reader, writer = scene.fleet, scene.members[0], scene.members[1]
        scene.operator.verify()
        fleet.do(scene.operator.member, scene.operator.coordinator.fleet.barrier(within=5))
        scene.rule(lambda s: lost(s, 0.2) if s.process == "p0" and controls(s) else None)
        scene.rule(lambda s: lost(s, 0.2) if s.call.side == SOURCE and mirrors(s) else None)

        async def repeat(
            what: Callable[[SimulatedMember, Key], Any], member: SimulatedMember
        ) -> None:
            while scene.load.running:
                await what(member, KEY)
                await Sleep(0.03)

        fleet.spawn(reader, repeat(scene.load.get, reader), "reader")
        fleet.spawn(writer, repeat(scene.load.put, writer), "writer")
        try:
            fleet.do(
                scene.operator.member,
                scene.operator.coordinator.epochs.turned(
                    fleet.setting, BUCKETS, scene.operator.member.group.step
                ),
            )
        except MigrationError:  # its lease was too long for a freeze
            scene.operator.dial(100)
        fleet.pass_time(3)
        scene.rest()


@pytest.mark.rule("EPO-7")
def test_a_lease_counts_from_before_its_refresh_was_sent() -> None:
    with Scene(Stage.PREPARE, times=Times(lease=2.0)) as scene:
        fleet = scene.fleet
        incarnation = scene.incarnation(0)
        scene.rule(
            lambda s: (
                Fate(apply=0.001, answer=0.9)
                if s.process == "p0" and s.task == "beat" and s.method == "write"
                else None
            )
        )
        before = incarnation.lease_until
        fleet.run_until(lambda: incarnation.lease_until != before, 5, "a refresh")
        assert incarnation.lease_until <= fleet.scheduler.now - 0.9 + 2.0


@pytest.mark.rule("EPO-8")
def test_a_plain_write_without_an_answer_withholds_prepare_for_the_quarantine() -> None:
    with Scene(Stage.ARMED) as scene:
        fleet, member = scene.fleet, scene.members[0]
        scene.once(
            lambda s: (
                held(s, 7.0)
                if s.process == "p0" and s.method == "write" and s.call.side == SOURCE
                else None
            )
        )
        written = scene.put(member, KEY)
        assert written.open
        scene.operator.advance()  # the watch calls a plain write in prepare a violation
        assert fleet.setting.stage is Stage.PREPARE
        fleet.pass_time(8)
        scene.rest()


@pytest.mark.rule("EPO-8")
def test_in_armed_a_process_that_stood_still_writes_and_refuses_nothing_before_it_rejoined() -> (
    None
):
    with Scene(Stage.ARMED) as scene:
        fleet, member = scene.fleet, scene.members[0]
        late = [
            fleet.spawn(member, scene.load.put(member, KEY), "late"),
            fleet.spawn(member, scene.load.get(member, ("ann", 2)), "late"),
        ]
        fleet.scheduler.pause(member.process, 60.0)
        scene.operator.reach(Stage.DUAL_READ)
        fleet.run_until(lambda: all(t.done for t in late), 90, "its operations")
        scene.rest()


@pytest.mark.rule("EPO-8")
def test_idle_a_process_that_stood_still_through_a_start_finds_out_before_it_writes() -> None:
    with Scene(Stage.SOURCE_ONLY) as scene:
        fleet, member = scene.fleet, scene.members[0]
        scene.put(member, KEY)
        late = fleet.spawn(member, scene.load.put(member, KEY), "late")
        fleet.scheduler.pause(member.process, 60.0)
        scene.operator.reach(Stage.DUAL_READ, 100)
        scene.put(scene.members[1], KEY)
        fleet.run_until(lambda: late.done, 90, "its write")
        scene.rest()


@pytest.mark.rule("SHD-3", "MIR-7")
def test_a_mirror_that_hangs_shuts_nobody_out() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        fleet = scene.fleet
        # Each call hangs for longer than two leases.
        scene.rule(lambda s: lost(s, 4.5) if s.call.side == TARGET else None)
        for member in scene.members:
            fleet.spawn(member, scene.load.put(member, KEY), "write")
        fleet.pass_time(25)
        for member in scene.members:
            assert "rejoined" not in member.session.counters.snapshot()
        scene.no_failures()
        scene.rest()


def test_a_control_store_that_is_gone_stops_no_idle_operation() -> None:
    with Scene(Stage.SOURCE_ONLY) as scene:
        scene.rule(lambda s: lost(s, 0.3) if controls(s) else None)
        scene.fleet.pass_time(20)
        written = scene.put(scene.members[0], KEY)
        assert scene.get(scene.members[1], KEY) == written.argument
        scene.no_failures()


def test_polling_is_quick_for_a_while_only() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        looks = 0

        def count(sent: Sent) -> None:
            nonlocal looks
            looks += sent.process == "p0" and sent.task == "session" and controls(sent)

        fleet = scene.fleet
        fleet.do(scene.operator.member, scene.operator.coordinator.fleet.barrier(within=5))
        scene.rule(count)
        fleet.pass_time(5)
        quick, looks = looks, 0
        fleet.pass_time(15)
        looks = 0
        fleet.pass_time(5)
        assert quick > 50
        assert looks < 15


@pytest.mark.rule("EPO-2", "EPO-4")
def test_a_lost_answer_to_the_coordinators_step_is_no_second_step() -> None:
    with Scene(Stage.PREPARE) as scene:
        met = scene.once(
            lambda s: (
                unanswered(s, 0.1)
                if s.process == "operator"
                and s.method == "write"
                and s.call.arguments[0].key[1:] == ("control",)
                else None
            )
        )
        epoch = scene.fleet.setting.epoch
        scene.operator.advance()
        assert met
        assert scene.fleet.setting.epoch == epoch + 1
        scene.rest()
