"""Steps that do not come to their end in time, or whose coordinator dies: back, or forward."""

from __future__ import annotations

import pytest

from polystore.errors import GateClosed, IllegalEdge, MigrationError
from polystore.migration.coordinator import Coordinator
from polystore.migration.stages import BUCKETS, Setting, Stage, after, given_up
from polystore.testing.simulator import REQUEST, Operator, Sent
from tests.migration.scene import Scene, deaf
from tests.migration.test_history import lines

KEY = ("ann", 1)

CHANGES = [
    (Stage.SOURCE_ONLY, Stage.ARMED),
    (Stage.ARMED, Stage.PREPARE),
    (Stage.PREPARE, Stage.DUAL_WRITE),
    (Stage.DUAL_WRITE, Stage.DUAL_READ),
    (Stage.DUAL_READ, Stage.DUAL_WRITE),
    (Stage.DUAL_WRITE, Stage.PREPARE),
    (Stage.PREPARE, Stage.ARMED),
    (Stage.ARMED, Stage.SOURCE_ONLY),
]
"""Every stage change that leads back."""


@pytest.mark.rule("ABT-1", "EPO-3", "STG-3", "STG-4")
@pytest.mark.parametrize(("here", "there"), CHANGES, ids=lambda s: s.value)
@pytest.mark.parametrize("seed", range(2))
def test_a_stage_change_that_one_never_acknowledges_goes_back_and_loses_nothing(
    here: Stage, there: Stage, seed: int
) -> None:
    with Scene(here, seed=seed, clients=2) as scene:
        fleet = scene.fleet
        if here is Stage.DUAL_WRITE and there is Stage.DUAL_READ:
            scene.operator.copy()
        deaf(scene, "p1")
        before = fleet.setting
        hasty = Coordinator(scene.operator.member.group, patience=3.0)
        way = hasty.advance if list(Stage).index(there) > list(Stage).index(here) else hasty.back
        if here is Stage.SOURCE_ONLY:
            scene.operator.preflight()
            way = hasty.start
        with pytest.raises(MigrationError, match=f"the group is back in {here.value}"):
            fleet.do(scene.operator.member, way(REQUEST))
        assert (fleet.setting.stage, fleet.setting.epoch) == (here, before.epoch + 2)
        assert fleet.watch.happened["stage given up"] == 1
        fleet.pass_time(2)
        assert scene.at(0).stage is here
        fleet.network.rules.clear()
        fleet.pass_time(3)
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("ABT-1", "EPO-9")
@pytest.mark.parametrize("calls", range(1, 48))
@pytest.mark.parametrize(
    ("here", "there"),
    [
        (Stage.PREPARE, Stage.DUAL_WRITE),
        (Stage.DUAL_WRITE, Stage.DUAL_READ),
        (Stage.DUAL_WRITE, Stage.PREPARE),
    ],
    ids=lambda s: s.value,
)
def test_a_stage_change_whose_coordinator_dies_at_any_call_is_finished_by_the_others(
    here: Stage, there: Stage, calls: int
) -> None:
    died_at(here, there, calls)


def died_at(here: Stage, there: Stage, calls: int) -> None:
    """Nobody runs a command again: what the members do for each other is enough."""
    with Scene(here, members=2, clients=1) as scene:
        fleet, first = scene.fleet, scene.operator
        if there is Stage.DUAL_READ:
            first.copy()
        before = fleet.setting
        dies_at(scene, first, calls)
        way = first.coordinator.back if there is Stage.PREPARE else first.coordinator.advance
        task = fleet.spawn(first.member, way(REQUEST), "step")
        fleet.run_until(lambda: task.done or not first.member.process.alive, 60, "its death")
        fleet.pass_time(20)
        assert fleet.setting.stage in {here, there}
        assert fleet.setting.epoch <= before.epoch + 1
        assert fleet.watch.all_acked()
        scene.rest()
        scene.no_failures()


def dies_at(scene: Scene, operator: Operator, calls: int) -> None:
    """The process of an operator dies as its step sends its call of this number."""
    sent = 0

    def rule(one: Sent) -> None:
        nonlocal sent
        if one.process == operator.member.name and one.task == "step":
            sent += 1
            if sent == calls:
                scene.fleet.crash(operator.member)

    scene.rule(rule)


@pytest.mark.rule("ABT-2", "EPO-9", "HIS-1")
def test_a_step_that_nobody_coordinates_is_given_up_once_its_time_is_over() -> None:
    with Scene(Stage.PREPARE, clients=1) as scene:
        fleet, first = scene.fleet, scene.operator
        deaf(scene, "p2")
        hasty = Coordinator(first.member.group, patience=4.0)
        fleet.spawn(first.member, hasty.advance(REQUEST), "step")
        fleet.run_until(lambda: fleet.setting.stage is Stage.DUAL_WRITE, 10, "the change")
        fleet.crash(first.member)
        fleet.pass_time(4)
        assert fleet.setting.stage is Stage.DUAL_WRITE
        fleet.run_until(lambda: fleet.setting.stage is Stage.PREPARE, 20, "its end")
        fleet.network.rules.clear()
        fleet.pass_time(3)
        found = dict(lines(scene))
        assert found["advance → dual-write"] == "begun"
        assert found["given up: dual-write"] == "done"
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("ABT-2")
def test_a_step_within_its_time_is_left_to_its_coordinator() -> None:
    with Scene(Stage.PREPARE) as scene:
        fleet, first = scene.fleet, scene.operator
        deaf(scene, "p2")
        task = fleet.spawn(first.member, first.coordinator.advance(REQUEST), "step")
        fleet.run_until(lambda: fleet.setting.stage is Stage.DUAL_WRITE, 10, "the change")
        hasty = Coordinator(Operator(fleet).member.group, patience=0.5)
        other = fleet.spawn(scene.members[0], hasty.finish(REQUEST), "finish")
        fleet.pass_time(15)
        assert fleet.setting.stage is Stage.DUAL_WRITE
        fleet.network.rules.clear()
        fleet.run_until(lambda: task.done and other.done, 20, "both")
        assert (task.error, other.error) == (None, None)


@pytest.mark.rule("ABT-1")
def test_a_step_that_was_given_up_meanwhile_is_not_told_as_done() -> None:
    with Scene(Stage.PREPARE) as scene:
        fleet, first = scene.fleet, scene.operator
        deaf(scene, "p2")
        task = fleet.spawn(first.member, first.coordinator.advance(REQUEST), "step")
        fleet.run_until(lambda: fleet.setting.stage is Stage.DUAL_WRITE, 10, "the change")
        fleet.do(scene.members[0], Coordinator(scene.members[0].group).abort(REQUEST))
        fleet.network.rules.clear()
        fleet.run_until(lambda: task.done, 20, "the step")
        assert isinstance(task.error, MigrationError)
        assert fleet.setting.stage is Stage.PREPARE


@pytest.mark.rule("ABT-3", "HIS-1")
def test_abort_goes_back_at_once_and_is_recorded() -> None:
    with Scene(Stage.PREPARE, clients=1) as scene:
        fleet, operator = scene.fleet, scene.operator
        deaf(scene, "p2")
        scene.announce(Stage.DUAL_WRITE)
        began = fleet.scheduler.now
        setting = fleet.do(operator.member, operator.coordinator.abort(REQUEST))
        assert setting.stage is Stage.PREPARE
        assert fleet.scheduler.now - began < 1.0
        assert dict(lines(scene))["abort of dual-write"].startswith("done")  # type: ignore[attr-defined]
        with pytest.raises(IllegalEdge):  # never twice: who goes back is waited for
            fleet.do(operator.member, operator.coordinator.abort(REQUEST))
        with pytest.raises(GateClosed, match="p2"):
            fleet.do(operator.member, Coordinator(operator.member.group, patience=1).finish())
        fleet.network.rules.clear()
        operator.advance()
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("ABT-3")
@pytest.mark.parametrize("stage", [Stage.PREPARE, Stage.DUAL_WRITE, Stage.DUAL_READ])
def test_what_everybody_has_acknowledged_is_not_aborted(stage: Stage) -> None:
    with Scene(stage) as scene:
        before = scene.fleet.setting
        with pytest.raises(IllegalEdge, match=r"no step is under way|leads nowhere back"):
            scene.fleet.do(scene.operator.member, scene.operator.coordinator.abort(REQUEST))
        assert scene.fleet.setting == before


@pytest.mark.rule("ABT-4")
def test_the_point_of_no_return_is_not_given_up_though_one_never_acknowledges() -> None:
    with Scene(Stage.DUAL_READ, 100) as scene:
        fleet, operator = scene.fleet, scene.operator
        operator.verify()
        deaf(scene, "p2")
        hasty = Coordinator(operator.member.group, patience=3.0)
        with pytest.raises(MigrationError, match="try again"):
            fleet.do(operator.member, hasty.advance(REQUEST))
        assert fleet.setting.stage is Stage.TARGET_ONLY
        with pytest.raises(IllegalEdge, match="leads nowhere back"):
            fleet.do(operator.member, hasty.abort(REQUEST))
        fleet.network.rules.clear()
        assert fleet.do(operator.member, hasty.finish()).stage is Stage.TARGET_ONLY
        scene.rest()


@pytest.mark.rule("ABT-5")
def test_a_dial_step_has_no_more_time_than_it_is_given() -> None:
    with Scene(Stage.DUAL_READ, width=BUCKETS) as scene:
        fleet, operator = scene.fleet, scene.operator
        operator.verify()
        hasty = Coordinator(operator.member.group, patience=0.3)
        fleet.do(operator.member, hasty.fleet.barrier(within=10))
        deaf(scene, "p1")
        frozen: list[float] = []

        def look(setting: Setting) -> None:
            frozen.append(fleet.scheduler.now if setting.frozen else -fleet.scheduler.now)

        fleet.watch.stepped = look
        with pytest.raises(MigrationError, match=r"within 0.3 s"):
            fleet.do(operator.member, hasty.epochs.turned(fleet.setting, BUCKETS, BUCKETS))
        assert 0.3 <= -sum(frozen) < 0.6
        assert (fleet.setting.frozen, fleet.setting.moved) == (None, 0)
        fleet.network.rules.clear()
        scene.rest()


@pytest.mark.rule("ABT-1")
@pytest.mark.parametrize(("here", "there"), CHANGES, ids=lambda s: s.value)
def test_what_is_given_up_is_a_step_along_a_legal_edge(here: Stage, there: Stage) -> None:
    setting = after(Setting(run=3, epoch=7, stage=here, copied=2), there)
    back = given_up(setting)
    assert (back.stage, back.epoch, back.left) == (here, setting.epoch + 1, None)
    assert back.copied == after(setting, here).copied  # a copy that some did not mirror for is none
    with pytest.raises(IllegalEdge):
        given_up(back)
