"""The day when one database is gone for good: on with the other, and what that costs."""

from __future__ import annotations

import pytest

from polystore.errors import GateClosed, IllegalEdge, MigrationError, Unavailable
from polystore.migration.coordinator import Coordinator
from polystore.migration.request import Request
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Setting, Stage
from polystore.migration.status import status_of
from polystore.testing.simulator import REQUEST, Operator, Sent
from polystore.testing.simulator.faults import held, refused
from tests.migration.scene import Scene, deaf, mirrors
from tests.migration.test_history import lines

CASES = [
    (Stage.DUAL_WRITE, 0, SOURCE),
    (Stage.DUAL_READ, 0, SOURCE),
    (Stage.DUAL_READ, 50, SOURCE),
    (Stage.DUAL_READ, 100, SOURCE),
    (Stage.DUAL_WRITE, 0, TARGET),
    (Stage.DUAL_READ, 0, TARGET),
    (Stage.DUAL_READ, 50, TARGET),
    (Stage.DUAL_READ, 100, TARGET),
]
"""Where a group is, and the side that is left."""

NAMES = [f"{stage.value} {dial} on the {kept}" for stage, dial, kept in CASES]


def other(side: str) -> str:
    return TARGET if side == SOURCE else SOURCE


def gone(scene: Scene, side: str) -> None:
    """The database of a side never answers again; the control store lies elsewhere."""
    scene.rule(lambda s: refused(Unavailable("gone")) if s.call.side == side else None)


def force(scene: Scene, kept: str, operator: Operator | None = None) -> Setting:
    who = operator or scene.operator
    return scene.fleet.do(who.member, who.coordinator.force_home(kept, REQUEST))


def calls(scene: Scene, side: str, process: str | None = None) -> list[Sent]:
    """The calls of a side from now on, of one process or of all."""
    found: list[Sent] = []

    def look(sent: Sent) -> None:
        if sent.call.side == side and process in (None, sent.process):
            found.append(sent)

    scene.fleet.network.rules.insert(0, look)
    return found


@pytest.mark.rule("FRC-1", "FRC-2", "FRC-4", "STG-4")
@pytest.mark.parametrize(("stage", "dial", "kept"), CASES, ids=NAMES)
def test_a_group_goes_on_with_the_side_that_is_left(stage: Stage, dial: float, kept: str) -> None:
    with Scene(stage, dial) as scene:
        fleet, lost = scene.fleet, other(kept)
        if stage is Stage.DUAL_WRITE:
            scene.operator.copy()
        fleet.pass_time(2)  # nothing is owed: what was acknowledged is on both sides
        gone(scene, lost)
        before, mine = fleet.setting, calls(scene, lost, "operator")
        setting = force(scene, kept)
        assert setting.stage is (Stage.PREPARE if kept == SOURCE else Stage.TARGET_ONLY)
        assert (setting.lost, setting.frozen, setting.run) == (lost, None, before.run + 1)
        assert mine == []
        fleet.pass_time(3)
        anybody = calls(scene, lost)
        for member in scene.members:
            scene.load.start(member, 2)
        late = fleet.member("late")
        scene.load.start(late, 1)
        fleet.pass_time(5)
        assert fleet.do(late, status_of(late.group)).setting == setting
        fleet.crash(scene.members[1])
        fleet.pass_time(8)
        scene.load.end()
        assert anybody == []
        scene.no_failures()
        scene.rest()
        assert anybody == []


@pytest.mark.rule("FRC-1", "STG-3", "STG-4")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("stage", [Stage.DUAL_WRITE, Stage.DUAL_READ], ids=lambda s: s.value)
def test_nothing_fails_and_nothing_is_lost_where_the_mirror_is_gone(
    stage: Stage, seed: int
) -> None:
    with Scene(stage, seed=seed, clients=2) as scene:
        gone(scene, TARGET)
        scene.fleet.pass_time(6)
        price = scene.fleet.do(scene.operator.member, scene.operator.coordinator.price(SOURCE))
        assert (price.buckets, price.lines()[-1]) == (
            0,
            "no acknowledged write is lost: the source is home of every bucket",
        )
        force(scene, SOURCE)
        scene.fleet.pass_time(4)
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("FRC-3")
def test_the_price_counts_what_only_the_side_that_is_gone_has() -> None:
    with Scene(Stage.DUAL_READ, 100) as scene:
        fleet, member = scene.fleet, scene.members[0]
        scene.put(member, ("ann", 1))
        before = fleet.contents(SOURCE, "items")[("ann", 1)]
        scene.rule(lambda s: refused(Unavailable("slow")) if mirrors(s) else None)
        for _ in range(3):
            scene.put(member, ("ann", 1))
        fleet.pass_time(3)
        gone(scene, TARGET)
        price = fleet.do(scene.operator.member, scene.operator.coordinator.price(SOURCE))
        assert (price.buckets, price.silent) == (BUCKETS, 0)
        assert price.unmirrored >= 1
        assert f"up to {price.unmirrored}" in price.text()
        force(scene, SOURCE)
        shown = scene.fleet.contents(SOURCE, "items")[("ann", 1)]
        assert shown.fields == before.fields  # and the acknowledged writes since are lost, as told
        scene.fleet.network.rules.clear()
        assert "LOST" in str(dict(lines(scene))["force-home source"])


@pytest.mark.rule("FRC-3")
def test_the_price_tells_of_an_unfinished_copy_and_of_members_that_died() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        fleet, operator = scene.fleet, scene.operator
        gone(scene, SOURCE)
        fleet.crash(scene.members[2])
        fleet.pass_time(8)
        price = fleet.do(operator.member, operator.coordinator.price(TARGET))
        assert set(price.uncopied) == set(operator.member.group.collections)
        assert price.buckets == BUCKETS
        assert price.silent == 1
        force(scene, TARGET)
        assert fleet.setting.stage is Stage.TARGET_ONLY


@pytest.mark.rule("FRC-3", "GATE-1")
def test_without_the_name_nothing_is_done_and_nobody_goes_on_with_a_side_that_is_silent() -> None:
    with Scene(Stage.DUAL_READ, clients=1) as scene:
        fleet, operator = scene.fleet, scene.operator
        before = fleet.setting
        nameless = Request("operator", "gone", confirm="shopp")
        with pytest.raises(GateClosed, match="loss-named"):
            fleet.do(operator.member, operator.coordinator.force_home(SOURCE, nameless))
        gone(scene, TARGET)
        with pytest.raises(Unavailable):  # the wrong one was named
            force(scene, TARGET)
        assert fleet.setting == before
        assert not [what for what, _ in lines(scene) if "force-home" in str(what)]


@pytest.mark.rule("FRC-2")
@pytest.mark.parametrize("stage", [Stage.SOURCE_ONLY, Stage.PREPARE, Stage.TARGET_ONLY])
def test_where_one_side_alone_is_in_use_there_is_nothing_to_force(stage: Stage) -> None:
    with Scene(stage, 100) as scene:
        for side in (SOURCE, TARGET):
            with pytest.raises(IllegalEdge, match="one side alone is in use"):
                force(scene, side)


@pytest.mark.rule("FRC-4", "EPO-9")
@pytest.mark.parametrize("at", range(1, 60, 3))
@pytest.mark.parametrize("by", ["members", "command"])
def test_what_a_coordinator_left_that_died_is_finished(at: int, by: str) -> None:
    with Scene(Stage.DUAL_READ, 50, members=2) as scene:
        fleet, first = scene.fleet, scene.operator
        fleet.pass_time(2)
        gone(scene, SOURCE)
        sent = 0

        def dies(one: Sent) -> None:
            nonlocal sent
            if one.process == "operator" and one.task == "force":
                sent += 1
                if sent == at:
                    fleet.crash(first.member)

        fleet.network.rules.insert(0, dies)
        task = fleet.spawn(first.member, first.coordinator.force_home(TARGET, REQUEST), "force")
        fleet.run_until(lambda: task.done or not first.member.process.alive, 60, "its death")
        begun = fleet.setting.lost is not None
        if by == "command":
            force(scene, TARGET, Operator(fleet, fleet.member("second")))
        elif begun:
            fleet.run_until(lambda: fleet.setting.frozen is None, 60, "the members")
        if begun or by == "command":
            assert (fleet.setting.stage, fleet.setting.lost) == (Stage.TARGET_ONLY, SOURCE)
            for member in fleet.alive():
                scene.load.start(member, 1)
            fleet.pass_time(3)
            scene.no_failures()
            scene.rest()


@pytest.mark.rule("FRC-1", "RCV-4")
def test_a_member_that_never_looks_is_shut_out_and_nothing_is_served_before_its_lease_ends() -> (
    None
):
    with Scene(Stage.DUAL_READ, 50) as scene:
        fleet = scene.fleet
        fleet.pass_time(2)
        deaf(scene, "p1")
        gone(scene, SOURCE)
        stalled = scene.incarnation(1)
        served: list[float] = []

        def look(setting: Setting) -> None:
            if setting.lost is not None and setting.frozen is None:
                served.append(fleet.scheduler.now)

        fleet.watch.stepped = look
        force(scene, TARGET)
        assert stalled.lease_until <= served[0]
        fleet.network.rules.clear()
        gone(scene, SOURCE)
        scene.load.start(scene.members[1], 1)
        fleet.pass_time(3)
        scene.no_failures()
        scene.rest()


@pytest.mark.rule("FRC-5")
def test_after_the_target_is_gone_the_way_leads_back_and_another_run_begins() -> None:
    with Scene(Stage.DUAL_READ, 50, clients=1) as scene:
        fleet, operator = scene.fleet, scene.operator
        scene.load.end()
        fleet.pass_time(3)
        gone(scene, TARGET)
        force(scene, SOURCE)
        with pytest.raises(IllegalEdge, match="given up"):
            operator.advance()
        with pytest.raises(IllegalEdge, match="given up for good"):
            fleet.do(operator.member, operator.coordinator.abort(REQUEST))
        operator.go_back()
        assert fleet.setting.stage is Stage.SOURCE_ONLY
        fleet.network.rules.clear()  # another target, empty
        for collection in operator.member.group.collections:
            fleet.empty(TARGET, collection)
        operator.reach(Stage.DUAL_READ, 100)
        assert fleet.setting.lost is None
        scene.rest()


@pytest.mark.rule("FRC-5")
def test_after_the_source_is_gone_the_way_leads_on_to_the_end() -> None:
    with Scene(Stage.DUAL_READ, 50) as scene:
        fleet, operator = scene.fleet, scene.operator
        fleet.pass_time(2)
        gone(scene, SOURCE)
        force(scene, TARGET)
        operator.reach(Stage.DETACHED)
        assert fleet.setting.lost == SOURCE
        with pytest.raises(MigrationError):
            operator.back()


@pytest.mark.rule("FRC-1")
def test_a_late_mirror_write_of_the_lost_side_replaces_nothing_newer() -> None:
    """It was on its way when the other side died, and lands after its key was written anew."""
    with Scene(Stage.DUAL_READ, 100) as scene:
        fleet, writer, again = scene.fleet, scene.members[0], scene.members[1]
        key = ("ann", 1)
        met = scene.once(lambda s: held(s, 20.0) if mirrors(s) and s.process == "p0" else None)
        scene.put(writer, key)
        assert met
        gone(scene, TARGET)
        force(scene, SOURCE)
        fleet.watch.ignored = frozenset({"P8"})  # that it comes late is told in the price
        written = scene.put(again, key)
        fleet.pass_time(25)
        shown = fleet.contents(SOURCE, "items")[key].fields
        assert shown is not None
        assert shown["v"] == written.argument


@pytest.mark.rule("FRC-1", "FRC-4")
def test_nothing_is_served_while_one_is_not_shut_out_and_recovered() -> None:
    with Scene(Stage.DUAL_READ, 50) as scene:
        fleet, member = scene.fleet, scene.operator.member
        fleet.pass_time(2)
        for name in ("p0", "p1", "p2"):
            deaf(scene, name)
        gone(scene, SOURCE)
        hasty = Coordinator(member.group, patience=1.5)
        with pytest.raises(MigrationError, match="not shut out and recovered yet"):
            fleet.do(member, hasty.force_home(TARGET, REQUEST))
        assert fleet.setting.frozen == (0, BUCKETS)
        assert force(scene, TARGET).frozen is None
        fleet.network.rules.clear()
        gone(scene, SOURCE)
        scene.rest()
