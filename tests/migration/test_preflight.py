"""The preflight: each record is looked at once, kills cost a page, the gate knows what is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs
import pytest

from polystore.capabilities import Capabilities, Limit
from polystore.conditions import Always
from polystore.driver import Write
from polystore.errors import IllegalEdge, InvalidRequest, Unavailable
from polystore.migration.preflight.checkpoints import run_of
from polystore.migration.preflight.report import Report, report_of
from polystore.migration.preflight.scan import Scan
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.schema import Collection
from polystore.testing.simulator import ITEMS, REQUEST, Fate, Operator, Sent, SimulatedMember
from polystore.testing.simulator.faults import lost, refused, unanswered
from polystore.testing.simulator.imitation import Imitation
from polystore.values import Fields, Value
from tests.migration.scene import Scene
from tests.migration.test_gates import refused as shut

SIZE = "items/records.size@memory"
GIVES_WAY = refused(Unavailable("injected"))


class Small(Imitation):
    """A database that takes no record over 400 bytes."""

    most = 400

    def capabilities(self, collection: Collection) -> Capabilities:
        promised = super().capabilities(collection)
        if collection.name.startswith("_ps_"):
            return promised
        limit = Limit(self.most, "bytes", "the record", "this test")
        return attrs.evolve(promised, records=attrs.evolve(promised.records, size=limit))


def plant(scene: Scene, count: int, pad: int = 0) -> None:
    """Records that were there before, on the source; the last ones are the largest."""
    for item in range(count):
        fields: Fields = {"owner": "old", "item": item, "v": 1, "pad": "x" * (pad + item)}
        scene.fleet.plant(SOURCE, Write(ITEMS, ("old", item), fields))


@contextmanager
def scene_with_small_target(count: int = 3) -> Iterator[tuple[Scene, Operator]]:
    """A source with so many records that are too large, an operator who opened it so."""
    with Scene(preload=False) as scene:
        scene.fleet.drivers[TARGET].__class__ = Small
        plant(scene, count, pad=1000)
        yield scene, Operator(scene.fleet, scene.fleet.member("another"))


def known(operator: Operator) -> Report:
    """What any process can read."""
    group = operator.member.group
    return operator.fleet.do(operator.member, report_of(group, operator.fleet.setting))


@pytest.mark.rule("PRE-1", "PRE-2")
def test_every_record_is_looked_at_and_told_by_key_and_size() -> None:
    with scene_with_small_target(14) as (_, operator):
        report = operator.preflight()
        (finding,) = report.unsettled
        assert (finding.name, finding.cases.count, finding.live) == (SIZE, 14, 0)
        assert (finding.cases.limit, finding.cases.unit) == (400, "bytes")
        keys = [key for _, key in finding.cases.examples]
        assert keys == [("old", item) for item in range(13, 3, -1)]  # the ten largest
        sizes = [size for size, _ in finding.cases.examples]
        assert finding.cases.worst == sizes[0] > sizes[-1] > 1000
        assert "xxx" not in str(report)
        (items, totals) = report.looked
        assert (items.scanned, items.target.usage.records) == (14, 14)
        assert totals.findings == ()
        assert not report.clean
        assert SIZE in report.verdict()


@pytest.mark.rule("PRE-3")
@pytest.mark.parametrize("pages", [1, 3, 6])
def test_a_killed_scan_goes_on_and_counts_no_record_twice(pages: int) -> None:
    with Scene(preload=False) as scene:
        scene.fleet.drivers[TARGET].__class__ = Small
        plant(scene, 40, pad=1000)
        fleet, first = scene.fleet, fleet_member(scene)
        looked: list[int] = []

        def told(_: str, records: int) -> None:
            looked.append(records)
            if len(looked) == pages and first.member.process.alive:
                fleet.crash(first.member)

        scan = Scan(first.member.group, parallel=2, page=4, progress=told)
        fleet.spawn(first.member, first.coordinator.preflight(REQUEST, scan), "scan")
        fleet.run_until(lambda: not first.member.process.alive, 30, "its death")
        before = known(fleet_member(scene))
        assert not before.clean
        assert "it goes on" in before.verdict()
        second = fleet_member(scene)
        again = Scan(second.member.group, parallel=9, page=4, progress=told)
        report = fleet.do(second.member, second.coordinator.preflight(REQUEST, again))
        assert [f.cases.count for f in report.unsettled] == [40]
        assert report.looked[0].scanned == 40
        assert 40 <= sum(looked) <= 40 + 2 * 4, "more than the pages in flight were read again"


def fleet_member(scene: Scene) -> Operator:
    """Another process that opened the group as it is now."""
    return Operator(scene.fleet, scene.fleet.member("another"))


@pytest.mark.rule("PRE-3")
def test_a_scan_goes_on_over_moments_in_which_the_source_gives_way() -> None:
    with Scene(preload=False) as scene:
        plant(scene, 20)
        failed = iter([True, False, True, True] + [False] * 100)
        scene.rule(lambda s: GIVES_WAY if s.method == "scan" and next(failed) else None)
        report = scene.operator.preflight(page=3)
        assert report.clean
        assert report.looked[0].scanned == 20


@pytest.mark.rule("PRE-4")
def test_a_scan_keeps_to_its_rate_however_many_segments_it_reads_at_once() -> None:
    with Scene(preload=False) as scene:
        plant(scene, 60)
        began = scene.fleet.scheduler.now
        scan = Scan(scene.operator.member.group, parallel=4, page=5, rate=10.0)
        scene.fleet.do(scene.operator.member, scene.operator.coordinator.preflight(REQUEST, scan))
        seconds = scene.fleet.scheduler.now - began
        assert 6.0 <= seconds <= 7.0


@pytest.mark.rule("PRE-5", "GATE-8")
def test_prepare_needs_a_preflight_of_this_run() -> None:
    with Scene(Stage.ARMED) as scene:
        scene.operator.advance()
        scene.operator.go_back()
        coordinator, member = scene.operator.coordinator, scene.operator.member
        scene.fleet.do(member, coordinator.start(REQUEST))
        text = shut(scene, scene.operator.advance, "preflight")
        assert "polystore preflight" in text
        scene.operator.preflight()
        scene.operator.advance()


@pytest.mark.rule("PRE-5", "GATE-8", "GATE-1")
def test_findings_are_settled_or_signed_off_before_prepare() -> None:
    with scene_with_small_target() as (scene, operator):
        operator.start()
        text = shut(scene, operator.advance, "preflight")
        assert f"{SIZE}: 3 cases" in text
        why = attrs.evolve(REQUEST, why="they are rubbish")
        with pytest.raises(InvalidRequest, match=SIZE):
            scene.fleet.do(operator.member, operator.coordinator.sign_off(["items/other"], why))
        report = scene.fleet.do(operator.member, operator.coordinator.sign_off([SIZE], why))
        assert report.clean
        history = scene.fleet.do(operator.member, operator.member.group.ledger.history())
        assert [h["why"] for h in history if SIZE in str(h["what"])] == ["they are rubbish"]
        plant(scene, 4, pad=1000)
        operator.preflight()
        shut(scene, operator.advance, "preflight")  # one more than was answered for
        scene.fleet.empty(SOURCE, "items")
        assert operator.preflight().clean
        operator.advance()


@pytest.mark.rule("PRE-6")
def test_what_was_found_on_another_basis_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with scene_with_small_target() as (scene, operator):
        operator.start()
        monkeypatch.setattr(Small, "most", 5000)
        settled = fleet_member(scene)
        text = shut(scene, settled.advance, "preflight")
        assert "has changed" in text
        assert settled.preflight().clean
        settled.advance()


@pytest.mark.rule("PRE-9")
def test_an_indexed_field_of_several_types_is_told_and_holds_nothing_up() -> None:
    with Scene(preload=False) as scene:
        states: list[Value] = ["open", "open", 7, None, [1], "done"]
        for item, state in enumerate(states):
            fields: Fields = {"owner": "old", "item": item, "state": state, "rank": item}
            scene.fleet.plant(SOURCE, Write(ITEMS, ("old", item), fields))
        report = scene.operator.preflight()
        assert report.clean
        (note,) = report.looked[0].findings
        assert (note.name, note.cases.count) == ("items/indexes.mixed:state", 2)
        assert {key for _, key in note.cases.examples} == {("old", 2), ("old", 3)}
        assert "1 int, 1 null, 3 str" in note.cases.says


@pytest.mark.rule("PRE-3")
def test_a_second_scan_begins_anew_and_leaves_nothing_of_the_first() -> None:
    with Scene(preload=False) as scene:
        plant(scene, 5)
        first, second = scene.operator.preflight(), scene.operator.preflight()
        assert first.begun is not None
        assert second.begun is not None
        assert (first.begun.number, second.begun.number) == (1, 2)
        assert second.looked[0].scanned == 5
        ledger = scene.operator.member.group.ledger
        items = scene.fleet.do(scene.operator.member, ledger.all("preflight/"))
        parts = {str(s.key[1]) for s in items if "/part/" in str(s.key[1])}
        root = f"preflight/{run_of(scene.fleet.setting):05d}/part/00002/"
        assert parts
        assert all(item.startswith(root) for item in parts)


@pytest.mark.rule("PRE-1")
def test_there_is_no_preflight_once_the_source_is_not_the_home_of_all() -> None:
    with Scene(Stage.DUAL_READ) as scene, pytest.raises(IllegalEdge, match="dual-read"):
        scene.operator.preflight()


def saw(scene: Scene, name: str, item: int) -> SimulatedMember:
    """A new process of the application, in which one record was put that is too large."""
    member = scene.fleet.member(name)
    large: Fields = {"owner": "ann", "item": item, "v": 1, "pad": "y" * 900}
    scene.fleet.do(member, member.operations["items"].put(large, Always(), 10.0))
    return member


def says(sent: Sent) -> bool:
    """Whether a call brings what a member saw to the control store."""
    return sent.method == "write" and "/observed/" in str(sent.call.arguments[0].key[-1])


@pytest.mark.rule("PRE-2", "CAP-8")
@pytest.mark.parametrize("fault", [lost, unanswered])
def test_what_a_member_saw_is_said_once_whatever_becomes_of_the_call(
    fault: Callable[[Sent], Fate],
) -> None:
    with scene_with_small_target(0) as (scene, operator):
        met = scene.once(lambda s: fault(s) if says(s) else None)
        saw(scene, "new", 1)
        scene.fleet.pass_time(15.0)
        assert met
        assert [f.cases.count for f in known(operator).unsettled] == [1]


@pytest.mark.rule("PRE-2", "CAP-8")
def test_a_member_that_leaves_says_first_what_it_saw() -> None:
    with scene_with_small_target(0) as (scene, operator):
        member = saw(scene, "first", 1)
        scene.fleet.pass_time(1.0)
        large: Fields = {"owner": "ann", "item": 2, "v": 1, "pad": "y" * 900}
        scene.fleet.do(member, member.operations["items"].put(large, Always(), 10.0))
        assert [f.cases.count for f in known(operator).unsettled] == [1]
        scene.fleet.do(member, member.session.leave())
        assert [f.cases.count for f in known(operator).unsettled] == [2]


@pytest.mark.rule("PRE-2", "CAP-8")
def test_what_members_saw_of_live_writes_is_joined() -> None:
    with scene_with_small_target(1) as (scene, operator):
        fleet = scene.fleet
        for number in (1, 2):
            saw(scene, f"new{number}", number)
        fleet.pass_time(6.0)
        (finding,) = known(operator).unsettled
        assert (finding.name, finding.cases.count, finding.live) == (SIZE, 2, 2)
        assert {key for _, key in finding.cases.examples} == {("ann", 1), ("ann", 2)}
        (finding,) = operator.preflight().unsettled
        assert (finding.cases.count, finding.live) == (5, 2)
        forgotten = operator.coordinator.forget_observed(REQUEST)
        fleet.do(operator.member, forgotten)
        assert [f.live for f in known(operator).unsettled] == [0]
