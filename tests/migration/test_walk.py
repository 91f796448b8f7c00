"""The whole way, forwards and backwards, with clients that never stop."""

from __future__ import annotations

import attrs
import pytest

from polystore.conditions import If
from polystore.driver import Write
from polystore.errors import GateClosed, IllegalEdge
from polystore.migration.clean import Swept
from polystore.migration.coordinator import Coordinator
from polystore.migration.frame import Admitted
from polystore.migration.ledger import SLOTS
from polystore.migration.request import Request
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Setting, Stage, after
from polystore.operations import put_verb
from polystore.pacing.turn import Turn
from polystore.testing.simulator import ITEMS, Sent, Violation
from polystore.testing.simulator.operator import REQUEST
from polystore.values import Fields
from tests.migration.scene import Scene

STAGES = (Stage.ARMED, Stage.PREPARE, Stage.DUAL_WRITE, Stage.DUAL_READ)


@pytest.mark.rule("STG-3", "STG-4", "WR-9", "MIR-3", "MIR-6", "SHD-2", "VER-2")
@pytest.mark.parametrize("seed", range(3))
def test_whole_way_with_load_loses_nothing_and_fails_nothing(seed: int) -> None:
    with Scene(seed=seed, clients=2) as scene:
        operator, fleet = scene.operator, scene.fleet
        fleet.pass_time(2)
        operator.start()
        operator.advance()
        operator.advance()
        fleet.pass_time(1)
        copied = operator.copy()
        assert all(summary.done for summary in copied.values())
        operator.advance()
        assert all(not v.discrepancies for v in operator.verify().values())
        for percent, moved in ((10, 64), (50, 128), (0, 0), (100, BUCKETS)):
            operator.dial(percent)
            assert fleet.setting.moved == (26 if percent == 10 else moved)
            fleet.pass_time(1)
        assert all(not v.discrepancies for v in operator.verify().values())
        operator.advance()
        fleet.pass_time(1)
        operator.advance()
        fleet.pass_time(1)
        operator.advance()
        fleet.pass_time(1)
        assert fleet.setting.stage is Stage.DETACHED
        scene.rest()
        scene.no_failures()
        assert len(scene.load.history) > 500


@pytest.mark.rule("STG-7")
def test_after_target_only_nothing_contacts_the_source() -> None:
    with Scene(Stage.DUAL_READ, 100, clients=2) as scene:
        scene.operator.reach(Stage.TARGET_ONLY)
        gone: list[Sent] = []

        def watch(sent: Sent) -> None:
            if sent.call.side == SOURCE:
                gone.append(sent)

        scene.rule(watch)
        scene.fleet.pass_time(10)
        late = scene.fleet.member("late")  # joins now, and has no slots on the source
        scene.put(late, ("ann", 1))
        victim = scene.members[0]
        scene.fleet.crash(victim)
        scene.fleet.pass_time(10)  # somebody buries it
        scene.operator.advance()
        scene.fleet.pass_time(2)
        assert gone == []
        scene.rest()


@pytest.mark.rule("STG-8", "QRY-8")
def test_clean_leaves_no_tombstones_and_no_slots_and_then_no_control_store_is_needed() -> None:
    with Scene(Stage.DUAL_READ, 100, clients=1) as scene:
        member = scene.members[0]
        scene.put(member, ("ann", 1))
        scene.delete(member, ("ann", 2))
        scene.operator.reach(Stage.CLEAN)
        scene.load.end()
        swept = scene.fleet.do(scene.operator.member, scene.operator.coordinator.swept(REQUEST))
        assert isinstance(swept, Swept)
        assert swept.tombstones > 0
        scene.operator.advance()
        scene.fleet.pass_time(3)
        for name in scene.fleet.collections:
            assert all(s.fields is not None for s in scene.fleet.contents(TARGET, name).values())
        assert scene.fleet.drivers[TARGET].native()[SLOTS.name].rows == {}
        scene.fleet.network.down.add(id(scene.fleet.drivers[SOURCE]))
        scene.fleet.pass_time(20)  # leases would have run out long ago
        written = scene.put(member, ("ann", 3))
        assert scene.get(member, ("ann", 3)) == written.argument
        scene.no_failures()
        scene.load.check()


@pytest.mark.rule("STG-10")
def test_nothing_is_swept_before_all_have_acknowledged_clean() -> None:
    with Scene(Stage.TARGET_ONLY, 100, clients=2) as scene:
        fleet, operator = scene.fleet, scene.operator
        early: list[Sent] = []

        def watch(sent: Sent) -> None:
            removes = sent.method == "write_many" and sent.process == operator.member.name
            if removes and any(scene.at(n).stage is not Stage.CLEAN for n in range(3)):
                early.append(sent)

        def changed_by_one_who_dies() -> object:
            return fleet.do(
                operator.member,
                operator.coordinator.group.ledger.change_setting(lambda s: after(s, Stage.CLEAN)),
            )

        fleet.pass_time(1)
        changed_by_one_who_dies()
        scene.rule(watch)
        operator.advance()
        assert early == []
        assert fleet.setting.stage is Stage.DETACHED
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("STG-11", "STG-3", "WR-9")
@pytest.mark.parametrize("clients", [0, 2])
def test_what_a_run_that_was_given_up_has_left_is_removed_and_another_begins(clients: int) -> None:
    with Scene(Stage.DUAL_READ, 50, clients=clients) as scene:
        fleet, operator = scene.fleet, scene.operator
        scene.put(scene.members[0], ("ann", 1))
        scene.delete(scene.members[0], ("ann", 2))
        fleet.crash(scene.members[2])  # recovered on the way: its slots have no owner
        operator.go_back()
        known: Fields = {"owner": "dee", "item": 1, "v": 7, "state": "open", "rank": 1}
        fleet.plant(TARGET, Write(ITEMS, ("dee", 1), known))  # no run has written it

        def swept(request: Request, *, copies: bool) -> Swept:
            procedure = operator.coordinator.swept(request, copies=copies)
            return fleet.do(operator.member, procedure, limit=200)

        before = set(fleet.contents(TARGET, "items"))
        with pytest.raises(GateClosed, match="copies-named"):
            swept(attrs.evolve(REQUEST, confirm=""), copies=True)
        first = swept(REQUEST, copies=False)
        assert first.copies == 0
        assert first.tombstones > 0 or clients  # who may have put them again
        assert all(s.fields is not None for s in fleet.contents(SOURCE, "items").values())
        assert set(fleet.contents(TARGET, "items")) == before
        slots = {key[0] for key in scene.slots()}
        assert slots <= {scene.name(0), scene.name(1), operator.member.session.incarnation.id}  # type: ignore[union-attr]
        second = swept(REQUEST, copies=True)
        assert second.copies > 0
        assert [*fleet.contents(TARGET, "items")] == [("dee", 1)]
        fleet.plant(TARGET, Write(ITEMS, ("dee", 1), None))
        operator.reach(Stage.DUAL_READ, 100)
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("STG-11")
def test_tombstones_of_a_run_that_was_given_up_outlive_every_late_call() -> None:
    """A late call of a mirror must not put back what is deleted: only a stamp keeps it out."""
    with Scene(Stage.DUAL_READ, 100) as scene:
        fleet, operator = scene.fleet, scene.operator
        scene.delete(scene.members[1], ("ann", 1))
        operator.go_back()
        removed: list[float] = []

        def watch(sent: Sent) -> None:
            if sent.method == "write_many" and sent.process == operator.member.name:
                removed.append(fleet.scheduler.now)

        scene.rule(watch)
        acknowledged = fleet.scheduler.now
        fleet.do(operator.member, operator.coordinator.swept(REQUEST))
        assert removed[0] >= acknowledged + operator.member.group.config.quarantine - 1.0
        assert scene.get(scene.members[0], ("ann", 1)) is None
        scene.rest()


@pytest.mark.rule("STG-11")
def test_where_nothing_was_given_up_nothing_is_swept() -> None:
    for stage in (Stage.SOURCE_ONLY, Stage.PREPARE, Stage.DUAL_READ):
        with Scene(stage) as scene, pytest.raises(IllegalEdge, match="given up"):
            scene.fleet.do(scene.operator.member, scene.operator.coordinator.swept(REQUEST))


@pytest.mark.rule("STG-9")
@pytest.mark.parametrize("saw", [True, False])
@pytest.mark.parametrize("after", [0.0, 5.0, 20.0])
def test_clean_waits_the_quarantine_from_when_target_only_was_seen_acknowledged(
    after: float, saw: bool
) -> None:
    with Scene(Stage.DUAL_READ, 100) as scene:
        fleet, member = scene.fleet, scene.operator.member
        turned: dict[Stage, float] = {}

        def coordinator() -> Coordinator:
            def told(setting: Setting) -> None:
                turned[setting.stage] = fleet.scheduler.now

            return Coordinator(member.group, told=told)

        scene.operator.verify()
        first = coordinator()
        awake = fleet.scheduler.now + 1.0
        fleet.scheduler.pause(scene.members[0].process, 1.0)
        fleet.do(member, first.advance(REQUEST))
        acknowledged = fleet.scheduler.now
        fleet.pass_time(after)
        asked = fleet.scheduler.now
        fleet.do(member, (first if saw else coordinator()).advance(REQUEST))
        quarantine = member.group.config.quarantine
        cleaned = turned[Stage.CLEAN]
        assert cleaned >= awake + quarantine, "the last to acknowledge counts"
        if saw:
            assert cleaned <= max(acknowledged + quarantine, asked) + 1.0
        else:
            assert cleaned >= asked + quarantine


@pytest.mark.rule("STG-6", "STG-3", "STG-4", "DIA-5")
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("seed", range(2))
def test_every_stage_leads_back_and_nothing_is_lost(stage: Stage, seed: int) -> None:
    dial = 50.0 if stage is Stage.DUAL_READ else 0.0
    with Scene(stage, dial, seed=seed, clients=2) as scene:
        scene.fleet.pass_time(2)
        scene.operator.go_back()
        scene.fleet.pass_time(2)
        assert scene.fleet.setting.stage is Stage.SOURCE_ONLY
        scene.rest()
        scene.no_failures()
        shown = scene.fleet.shown(SOURCE)
        for operation in scene.load.history[-len(scene.load.owners) :]:
            if operation.verb == "get":
                held = shown.get(("items", operation.cell))  # type: ignore[arg-type]
                assert operation.outcome == (held and held["v"])


@pytest.mark.rule("STG-6", "GATE-3", "WR-4")
def test_second_run_after_an_abandoned_first() -> None:
    with Scene(Stage.DUAL_READ, 0, clients=1, preload=True) as scene:
        first = scene.fleet.setting.run
        scene.operator.go_back()
        member = scene.members[0]
        scene.put(member, ("ann", 1))  # takes the stamp away
        scene.delete(member, ("ann", 2))
        scene.operator.start()
        assert scene.fleet.setting.run > first
        scene.operator.advance()
        with pytest.raises(Exception, match="target-empty"):
            scene.operator.advance()
        for name in scene.fleet.collections:
            scene.fleet.empty(TARGET, name)
        scene.operator.reach(Stage.DUAL_READ, 100)
        floor = scene.fleet.setting.floor()
        for name in scene.fleet.collections:
            stamps = [s.stamp or 0 for s in scene.fleet.contents(TARGET, name).values()]
            assert min(stamps) >= floor
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("STG-5", "WR-4")
def test_from_prepare_on_writes_have_write_id_stamp_and_slot_and_deletes_leave_tombstones() -> None:
    with Scene(Stage.PREPARE, preload=False) as scene:
        member, key = scene.members[0], ("ann", 1)
        scene.put(member, key)
        (first,) = scene.fleet.contents(SOURCE, "items").values()
        scene.delete(member, key)
        (second,) = scene.fleet.contents(SOURCE, "items").values()
        floor = scene.fleet.setting.floor()
        assert (first.stamp, second.stamp) == (floor + 1, floor + 2)
        assert second.fields is None
        assert first.write_id
        assert second.write_id
        assert first.write_id != second.write_id
        assert scene.get(member, key) is None
        slots = scene.fleet.drivers[SOURCE].native()[SLOTS.name].rows
        assert any(
            row.fields and row.fields["intent"] == [["items", "ann", 1]] for row in slots.values()
        )


def test_the_simulator_sees_an_unfenced_plain_write_after_prepare() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        member = scene.members[0]
        incarnation = member.session.incarnation
        assert incarnation is not None
        # As if a call of long ago landed now.
        group, session = member.route.group, member.session
        at = Admitted(scene.fleet.setting, incarnation, Turn(1e9), group, session)
        route = member.route._plain_route(at)
        bound = member.operations["items"].access.bound()
        verb = put_verb({"owner": "ann", "item": 1, "v": 1}, If.any)
        plain = route.attempt(bound, ("ann", 1), verb, again=False)
        with pytest.raises(Violation, match="EPO-8"):
            scene.fleet.do(member, plain)
