"""The copy: beside live writes, killed, resumed, doubled, late."""

from __future__ import annotations

from contextlib import suppress

import pytest

from polystore.driver import Write
from polystore.errors import CursorExpired, GateClosed, MigrationError, Unavailable
from polystore.migration.backfill import Copier
from polystore.migration.progress import SegmentProgress
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.testing.simulator import ITEMS, ROUGH, Operator
from polystore.testing.simulator.faults import held, lost, refused
from polystore.values import Fields
from tests.migration.scene import Scene

KEY = ("ann", 1)


def full(scene: Scene, count: int = 40) -> None:
    """Records that were there before, on the source."""
    for item in range(100, 100 + count):
        fields: Fields = {"owner": "old", "item": item, "v": item, "state": "open", "rank": item}
        scene.fleet.plant(SOURCE, Write(ITEMS, ("old", item), fields))


@pytest.mark.rule("BF-1")
def test_no_copy_before_all_have_acknowledged_dual_write() -> None:
    with Scene(Stage.PREPARE) as scene:
        with pytest.raises(MigrationError, match="dual-write"):
            scene.operator.copy()
        scene.rule(lambda s: lost(s, 0.3) if s.process == "p0" and s.task == "session" else None)
        scene.announce(Stage.DUAL_WRITE)
        scene.fleet.pass_time(0.5)
        with pytest.raises(MigrationError, match="have not acknowledged"):
            scene.operator.copy()


@pytest.mark.rule("BF-1")
def test_a_write_of_prepare_behind_an_early_copier_is_not_left_behind() -> None:
    with Scene(Stage.PREPARE) as scene:
        scene.put(scene.members[0], KEY)
        scene.rule(lambda s: lost(s, 0.3) if s.process == "p0" and s.task == "session" else None)
        scene.announce(Stage.DUAL_WRITE)
        scene.fleet.pass_time(0.5)
        with suppress(MigrationError):
            scene.operator.copy()
        scene.put(scene.members[0], KEY)
        scene.fleet.network.rules.clear()
        scene.fleet.pass_time(2)
        scene.operator.reach(Stage.DUAL_READ)
        scene.rest()


@pytest.mark.rule("THR-12")
@pytest.mark.parametrize("counted", ["waited:target", "throttled:source", "declined:target", None])
def test_a_copy_gives_way_where_operations_of_any_process_have_no_room(counted: str | None) -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        fleet, operator = scene.fleet, scene.operator.member
        full(scene, 200)
        copy = fleet.spawn(operator, Copier(operator.group, page=5, rate=40.0).run(), "copy")
        begun = fleet.scheduler.now
        for _ in range(4):
            fleet.pass_time(1.0)
            if counted is not None:
                scene.members[0].group.counters.add(counted)
        fleet.run_until(lambda: copy.done, 120, "the copy")
        seconds = fleet.scheduler.now - begun
        assert copy.error is None
        assert seconds < 7 if counted is None else seconds > 8
        scene.rest()


@pytest.mark.rule("BF-2", "BF-5", "VER-4")
def test_records_from_before_lie_at_the_start_of_the_run() -> None:
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        full(scene)
        scene.put(scene.members[0], KEY)
        scene.delete(scene.members[0], ("old", 100))
        summary = scene.operator.copy()["items"]
        assert summary.done
        assert summary.reconciles
        assert (summary.scanned, summary.written, summary.newer) == (41, 39, 2)
        stamps = {k: scene.stamp(TARGET, k) for k in scene.fleet.contents(TARGET, "items")}
        assert stamps.pop(KEY) == 1
        assert stamps.pop(("old", 100)) == 1
        assert set(stamps.values()) == {0}
        scene.operator.advance()
        assert all(v.suspects == 0 for v in scene.operator.verify().values())
        scene.rest()


@pytest.mark.rule("BF-3", "BF-5")
@pytest.mark.parametrize("pages", [1, 3, 6])
def test_a_killed_copy_goes_on_and_repeats_only_pages_in_flight(pages: int) -> None:
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        full(scene)
        fleet, first = scene.fleet, scene.operator.member
        sent: list[tuple[str, int, str | None]] = []
        confirmed = 0

        def begun(part: SegmentProgress) -> None:
            sent.append((part.collection, part.index, part.cursor))

        def told(_: SegmentProgress) -> None:
            nonlocal confirmed
            confirmed += 1
            if confirmed == pages and first.process.alive:
                fleet.crash(first)

        copier = Copier(first.group, parallel=2, page=4, begun=begun, progress=told)
        fleet.spawn(first, copier.run(), "copy")
        fleet.run_until(lambda: not first.process.alive, 30, "its death")
        second = Operator(fleet, fleet.member("second"))
        again = Copier(second.member.group, parallel=2, page=4, begun=begun)
        summary = fleet.do(second.member, again.run())["items"]
        assert summary.done
        doubled = len(sent) - len(set(sent))
        assert doubled <= 2, "more than one page a segment was copied twice"
        scene.rest()


@pytest.mark.rule("BF-4", "BF-2")
@pytest.mark.parametrize("seed", range(3))
def test_several_copiers_at_once_under_faults_do_no_harm(seed: int) -> None:
    with Scene(Stage.DUAL_WRITE, seed=seed, clients=1) as scene:
        full(scene)
        fleet = scene.fleet
        fleet.network.faults = ROUGH
        tasks = [
            fleet.spawn(m, Copier(m.group, parallel=3, page=5).run(), "copy") for m in scene.members
        ]
        fleet.run_until(lambda: all(t.done for t in tasks), 120, "all copiers")
        scene.rest()


@pytest.mark.rule("BF-2", "BF-4", "MIR-4", "MIR-1")
@pytest.mark.parametrize("stage", [Stage.DUAL_WRITE, Stage.DUAL_READ, Stage.TARGET_ONLY])
def test_a_copier_that_wakes_with_an_old_page_changes_nothing(stage: Stage) -> None:
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        full(scene, 3)
        fleet, member = scene.fleet, scene.members[0]
        scene.put(member, KEY)
        stale = fleet.member("stale")
        scene.rule(lambda s: held(s) if s.process == "stale" and s.method == "write_many" else None)
        fleet.spawn(stale, Copier(stale.group, parallel=1, page=50).run(), "copy")
        fleet.pass_time(1)
        assert fleet.network.held
        scene.put(member, KEY)
        scene.delete(member, KEY)
        scene.delete(member, ("old", 100))
        fleet.crash(stale)
        fleet.network.rules.clear()
        if stage is not Stage.DUAL_WRITE:
            scene.operator.reach(stage)
        fleet.network.release()
        assert fleet.contents(TARGET, "items")[KEY].fields is None
        assert fleet.contents(TARGET, "items")["old", 100].fields is None
        scene.rest()


@pytest.mark.rule("BF-2")
def test_what_was_written_between_two_copies_arrives_too() -> None:
    """In prepare nothing is mirrored: "insert if absent" would leave the target behind."""
    with Scene(Stage.DUAL_WRITE) as scene:
        member = scene.members[0]
        scene.put(member, KEY)
        scene.put(member, ("ann", 2))
        scene.operator.copy()
        scene.operator.back()
        scene.put(member, KEY)
        scene.delete(member, ("ann", 2))
        scene.operator.advance()
        with pytest.raises(GateClosed, match="copied"):
            scene.operator.advance()
        scene.operator.copy()
        assert scene.stamp(TARGET, KEY) == scene.stamp(SOURCE, KEY)
        assert scene.fleet.contents(TARGET, "items")["ann", 2].fields is None
        scene.rest()


@pytest.mark.rule("BF-3")
def test_a_target_that_fails_for_good_ends_the_copy_and_it_can_be_run_again() -> None:
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        full(scene)
        scene.rule(lambda s: refused(Unavailable("injected")) if s.method == "write_many" else None)
        with pytest.raises(Unavailable):
            scene.operator.copy()
        scene.fleet.network.rules.clear()
        assert scene.operator.copy()["items"].done


@pytest.mark.rule("BF-4")
def test_a_copier_says_no_to_a_target_that_others_wrote() -> None:
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        full(scene, 3)
        fields: Fields = {"owner": "old", "item": 101, "v": 1, "state": "x", "rank": 1}
        scene.fleet.plant(TARGET, Write(ITEMS, ("old", 101), fields))
        with pytest.raises(MigrationError, match="did not write"):
            scene.operator.copy()


def test_the_copy_stops_where_it_is_told_to() -> None:
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        full(scene)
        pages = 0

        def running() -> bool:
            nonlocal pages
            pages += 1
            return pages < 4

        group = scene.operator.member.group
        copier = Copier(group, parallel=1, page=4, running=running)
        assert not scene.fleet.do(scene.operator.member, copier.run())["items"].done
        assert scene.operator.copy()["items"].done


@pytest.mark.rule("BF-11", "BF-5")
def test_an_expired_cursor_begins_the_segment_again_and_each_record_is_counted_once() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        full(scene, 60)
        met = scene.once(
            lambda s: (
                refused(CursorExpired("injected"))
                if s.method == "scan"
                and s.process == "operator"
                and s.call.arguments[0].name == "items"
                and s.call.arguments[2] is not None
                else None
            )
        )
        summary = scene.operator.copy()["items"]
        assert met
        assert summary.done
        assert summary.scanned == len(scene.fleet.contents(SOURCE, "items"))
        scene.rest()
