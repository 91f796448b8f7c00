"""Ranges of the source that cannot be read, records that the target does not take: narrowed."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from polystore.driver import Driver, Segment
from polystore.errors import DriverError, PolystoreError, Unavailable
from polystore.migration.backfill import MOST_HALVINGS, Copier, _retired
from polystore.migration.poison import asides
from polystore.migration.progress import SegmentProgress, Summary, segments
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.migration.status import status_of
from polystore.testing.simulator import Fate, Operator, Sent
from polystore.testing.simulator.faults import lost, refused
from polystore.testing.simulator.imitation import Imitation
from polystore.values import Key
from tests.migration.scene import Scene
from tests.migration.test_backfill import full

POISON: Key = ("old", 117)


def copied(scene: Scene, page: int = 8, parallel: int = 2) -> Summary:
    member = scene.operator.member
    copier = Copier(member.group, page=page, parallel=parallel)
    return scene.fleet.do(member, copier.run(), 600)["items"]


def unreadable(scene: Scene, *keys: Key, error: type[PolystoreError] = Unavailable) -> list[Sent]:
    """No page of the source that holds one of these keys is ever read; the calls that asked."""
    met: list[Sent] = []
    table = scene.fleet.drivers[SOURCE]

    def rule(sent: Sent) -> Fate | None:
        if sent.method != "scan" or sent.call.side != SOURCE or sent.process == "observer":
            return None
        collection, segment, cursor, limit = sent.call.arguments
        if collection.name != "items":
            return None
        page = table.scan(collection, segment, cursor, limit)
        if not any(stored.key in keys for stored in page.records):
            return None
        met.append(sent)
        return refused(error("injected"))

    scene.rule(rule)
    return met


def untaken(scene: Scene, *keys: Key, error: type[PolystoreError] = Unavailable) -> None:
    """No batch that holds one of these keys is ever taken by the target."""

    def rule(sent: Sent) -> Fate | None:
        if sent.method != "write_many" or sent.call.side != TARGET:
            return None
        (writes,) = sent.call.arguments
        return refused(error("injected")) if any(w.key in keys for w in writes) else None

    scene.rule(rule)


def parts(scene: Scene) -> list[SegmentProgress]:
    member = scene.operator.member
    return scene.fleet.do(member, segments(member.group.ledger, scene.fleet.setting, "items"))


@pytest.mark.rule("BF-9", "BF-5", "BF-6")
@pytest.mark.parametrize("error", [Unavailable, DriverError])
@pytest.mark.parametrize("keys", [(POISON,), (POISON, ("old", 118), ("old", 139)), (("old", 100),)])
def test_records_that_the_target_never_takes_are_set_aside_and_all_others_are_copied(
    keys: tuple[Key, ...], error: type[PolystoreError]
) -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        full(scene)
        untaken(scene, *keys, error=error)
        summary = copied(scene)
        source = scene.fleet.contents(SOURCE, "items")
        assert summary.ended == summary.segments
        assert summary.reconciles
        assert (summary.scanned, summary.rejected) == (len(source), len(keys))
        assert set(source) - set(scene.fleet.contents(TARGET, "items")) == set(keys)
        member = scene.operator.member
        (aside,) = scene.fleet.do(
            member, asides(member.group.ledger, scene.fleet.setting, ["items"])
        )
        assert {record.key for record in aside.records} == set(keys)
        assert not summary.done  # somebody has to answer for them first


@pytest.mark.rule("BF-9")
@pytest.mark.parametrize("dies", [0, 9, 12])
def test_a_target_that_takes_nothing_ends_the_copy_and_sets_nothing_aside(dies: int) -> None:
    """From the beginning, or while single records are looked for."""
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        full(scene)
        untaken(scene, POISON)
        failed = 0

        def rule(sent: Sent) -> Fate | None:
            nonlocal failed
            if sent.call.side != TARGET or sent.method not in ("write", "write_many"):
                return None
            first = sent.call.arguments[0]
            failed += isinstance(first, list) and any(w.key == POISON for w in first)
            return refused(Unavailable("down")) if failed >= dies else None

        scene.fleet.network.rules.insert(0, rule)
        with pytest.raises(Unavailable):
            copied(scene, parallel=1)
        assert sum(part.rejected for part in parts(scene)) == 0
        scene.fleet.network.rules.clear()
        assert copied(scene).done
        scene.rest()


@pytest.mark.rule("BF-10", "BF-5", "BF-6")
@pytest.mark.parametrize("error", [Unavailable, DriverError])
@pytest.mark.parametrize("keys", [(POISON,), (POISON, ("old", 118), ("old", 139))])
def test_a_segment_that_cannot_be_read_is_halved_until_only_what_is_wrong_is_left(
    keys: tuple[Key, ...], error: type[PolystoreError]
) -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        full(scene)
        met = unreadable(scene, *keys, error=error)
        summary = copied(scene)
        assert met
        source = scene.fleet.contents(SOURCE, "items")
        assert set(source) - set(scene.fleet.contents(TARGET, "items")) == set(keys)
        assert summary.ended == summary.segments
        assert summary.reconciles
        assert (summary.scanned, summary.rejected) == (len(source), len(keys))
        places = [part for part in parts(scene) if part.rejected]
        assert all(len(part.path) == MOST_HALVINGS for part in places)
        member = scene.operator.member
        status = scene.fleet.do(member, status_of(member.group, parts=True))
        assert status.copied["items"] == summary
        assert sum(part.split for part in status.parts) == summary.segments - 2
        scene.fleet.network.rules.clear()


@pytest.mark.rule("BF-10", "BF-3")
@pytest.mark.parametrize("calls", range(20, 320, 30))
def test_a_copier_that_dies_while_it_halves_is_taken_up(calls: int) -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        full(scene)
        unreadable(scene, POISON)
        first, sent = scene.operator, 0

        def dies(one: Sent) -> None:
            nonlocal sent
            if one.process == "operator" and one.task.startswith("copy"):
                sent += 1
                if sent == calls:
                    scene.fleet.crash(first.member)

        scene.fleet.network.rules.insert(0, dies)
        copier = Copier(first.member.group, page=8, parallel=2)
        task = scene.fleet.spawn(first.member, copier.run(), "copy")
        scene.fleet.run_until(lambda: task.done or not first.member.process.alive, 600, "the end")
        scene.operator = Operator(scene.fleet, scene.fleet.member("second"))
        summary = copied(scene)
        assert summary.ended == summary.segments
        assert (summary.scanned, summary.rejected) == (
            len(scene.fleet.contents(SOURCE, "items")),
            1,
        )


@pytest.mark.rule("BF-10", "BF-4")
def test_several_copiers_that_halve_the_same_segment_agree() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        full(scene)
        unreadable(scene, POISON)
        tasks = [
            scene.fleet.spawn(m, Copier(m.group, page=8, parallel=2).run(), "copy")
            for m in scene.members
        ]
        scene.fleet.run_until(lambda: all(task.done for task in tasks), 600, "all copies")
        assert [task.error for task in tasks] == [None] * 3
        summary = copied(scene)
        assert (summary.scanned, summary.rejected) == (
            len(scene.fleet.contents(SOURCE, "items")),
            1,
        )


@pytest.mark.rule("BF-10")
def test_a_source_that_is_silent_as_a_whole_is_not_halved() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        full(scene)
        scene.rule(
            lambda s: (
                lost(s, 0.2)
                if s.call.side == SOURCE and s.process == "operator" and s.method != "halve"
                else None
            )
        )
        with pytest.raises(PolystoreError):
            copied(scene)
        scene.fleet.network.rules.clear()
        assert not any(part.split or part.path for part in parts(scene))
        assert copied(scene).done
        scene.rest()


@pytest.mark.rule("BF-10")
def test_a_source_that_cannot_halve_says_what_it_could_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Imitation, "halve", Driver.halve)
    with Scene(Stage.DUAL_WRITE) as scene:
        full(scene)
        unreadable(scene, POISON)
        with pytest.raises(Unavailable, match="injected"):
            copied(scene)


@pytest.mark.rule("DRV-16")
def test_the_halves_of_a_segment_are_disjoint_and_together_it() -> None:
    def leaves(segment: Segment, depth: int) -> Iterator[Segment]:
        if depth == 0:
            yield segment
        for half in segment.halves() if depth else ():
            yield from leaves(half, depth - 1)

    for count in (1, 3, 4):
        places = [leaf.modulo() for i in range(count) for leaf in leaves(Segment(i, count), 3)]
        assert sorted(places) == [(i, 8 * count) for i in range(8 * count)]


@pytest.mark.rule("BF-10")
def test_a_segment_that_another_has_ended_is_not_split_any_more() -> None:
    part = SegmentProgress(collection="items", index=1, count=4, pages=3, scanned=9, written=9)
    split = _retired(part.to_fields())
    assert split is not None
    assert SegmentProgress.from_fields(split) == attrs.evolve(part, split=True)
    assert _retired(split) is None
    assert _retired(attrs.evolve(part, done=True).to_fields()) is None
