"""The status: what another process sees of members, buckets on their way, the copy and the sums."""

from __future__ import annotations

from contextlib import suppress

import attrs
import pytest

from polystore.errors import MigrationError
from polystore.migration import upkeep
from polystore.migration.reckoning import Reckoning
from polystore.migration.stages import Stage
from polystore.migration.status import Status, status_of
from polystore.testing.simulator import REQUEST, Operator
from polystore.testing.simulator.faults import lost
from tests.migration.scene import Scene, acknowledges, mirrors

KEY = ("ann", 1)


def seen(scene: Scene, *, parts: bool = False) -> Status:
    """The status, as a process sees it that has nothing to do with the group."""
    member = Operator(scene.fleet).member
    return scene.fleet.do(member, status_of(member.group, parts=parts))


def sums(scene: Scene) -> Reckoning:
    """The sum of all members, once all have told of their last writes."""
    scene.fleet.pass_time(3)
    now = seen(scene)
    for member in now.members:
        found = Reckoning.of(member)
        assert found.reconciles
        assert found.acknowledged == (
            found.mirrored + found.caught_up + found.open + found.under_way
        )
    return now.reckoning


@pytest.mark.rule("STA-2")
def test_writes_that_wait_for_the_mirror_are_open_and_then_caught_up() -> None:
    with Scene(Stage.DUAL_WRITE, members=2) as scene:
        scene.put(scene.members[0], KEY)
        assert attrs.astuple(sums(scene)) == (1, 1, 0, 0, 0, 0)
        scene.rule(lambda s: lost(s) if mirrors(s) else None)
        for item in (1, 2, 3):
            scene.put(scene.members[1], ("bob", item))
        found = sums(scene)
        assert (found.acknowledged, found.mirrored, found.open) == (4, 1, 3)
        scene.fleet.network.rules.clear()
        scene.rest()
        assert attrs.astuple(sums(scene)) == (4, 1, 3, 0, 0, 0)


@pytest.mark.rule("STA-2", "MIR-10")
def test_writes_that_spilled_are_open_until_the_backlog_is_drained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "MOST_SLOTS", 4)
    with Scene(Stage.DUAL_WRITE, members=1, items=12) as scene:
        scene.rule(lambda s: lost(s) if mirrors(s) else None)
        for item in range(12):
            scene.put(scene.members[0], (("ann", "bob", "cy")[item % 3], 1 + item // 3))
        found = sums(scene)
        assert (found.acknowledged, found.mirrored, found.open) == (12, 0, 12)
        scene.fleet.network.rules.clear()
        scene.rest()
        assert attrs.astuple(sums(scene)) == (12, 0, 12, 0, 0, 0)


@pytest.mark.rule("STA-2")
@pytest.mark.parametrize("seed", range(3))
def test_under_load_and_a_mirror_that_fails_the_sums_add_up_behind_a_barrier(seed: int) -> None:
    with Scene(Stage.DUAL_READ, seed=seed, clients=2) as scene:
        flaky = scene.fleet.scheduler.choices
        scene.rule(lambda s: lost(s) if mirrors(s) and flaky.below(4) == 0 else None)
        scene.fleet.pass_time(4)
        scene.rest()
        found = sums(scene)
        assert found.open == found.under_way == 0
        assert found.acknowledged == found.mirrored + found.caught_up > 20
        assert found.caught_up > 0


@pytest.mark.rule("STA-1")
def test_buckets_on_their_way_are_shown_with_who_has_acknowledged() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        scene.operator.verify()
        epoch = scene.fleet.setting.epoch + 1
        scene.rule(lambda s: lost(s, 2.0) if acknowledges(s, "p1", epoch) else None)
        fleet, operator = scene.fleet, scene.operator
        watcher = Operator(fleet).member
        fleet.pass_time(3)
        task = fleet.spawn(operator.member, operator.coordinator.dial(50, REQUEST), "dial")
        fleet.run_until(lambda: fleet.setting.frozen is not None, 30.0, "a freeze")
        fleet.pass_time(0.3)
        now = fleet.do(watcher, status_of(watcher.group))
        assert now.handover is not None
        assert now.data()["handover"] == attrs.asdict(now.handover)
        first, last, to, acked, members = attrs.astuple(now.handover)
        assert (first, last, to) == (0, fleet.setting.frozen[1] - 1, "target")  # type: ignore[index]
        assert 0 < acked < members
        assert f"{acked} of {members}" in now.handover.text()
        fleet.network.rules.clear()
        with suppress(MigrationError):
            fleet.finish(task)
        assert seen(scene).handover is None
        scene.operator.dial(50)
        task = fleet.spawn(operator.member, operator.coordinator.dial(0, REQUEST), "dial")
        fleet.run_until(lambda: fleet.setting.frozen is not None, 30.0, "a freeze")
        back = fleet.do(watcher, status_of(watcher.group)).handover
        assert back is not None
        assert (back.last, back.to) == (127, "source")
        fleet.finish(task)


@pytest.mark.rule("STA-1")
def test_each_segment_each_member_and_the_gates_of_both_ways_are_shown() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        scene.operator.copy()
        scene.operator.advance()
        before = scene.fleet.setting
        now = seen(scene, parts=True)
        assert scene.fleet.setting == before
        assert {(p.collection, p.index) for p in now.parts if p.done} == {
            (name, index) for name in now.copied for index in range(now.copied[name].segments)
        }
        assert seen(scene).parts == []
        names = {g.name for g in now.dial_gates}
        assert {"verified", "backlog-young", "reads-agree"} < names
        assert "dial-at-100" in {g.name for g in now.gates}
        data = now.data()
        assert {m["id"] for m in data["members"]} >= {"p0.1", "p1.1", "p2.1"}
        assert all(m["writes"]["reconciles"] for m in data["members"])
