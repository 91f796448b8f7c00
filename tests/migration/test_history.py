"""The history: before what is done, how it ended, at a cost that does not grow."""

from __future__ import annotations

import attrs
import pytest

from polystore.driver import Write
from polystore.errors import GateClosed, InvalidRequest, MigrationError
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.load import Load
from polystore.migration.request import MOST_WHO, MOST_WHY, Request
from polystore.migration.stages import TARGET, Stage
from polystore.testing.simulator import ITEMS, REQUEST, Operator, Sent
from polystore.testing.simulator.faults import lost
from polystore.values import Fields
from tests.migration.scene import Scene, controls, deaf, mirrors

KEY = ("ann", 1)


def told(scene: Scene) -> list[Fields]:
    """All of the history, as another process reads it."""
    member = Operator(scene.fleet).member
    return scene.fleet.do(member, member.group.ledger.history())


def lines(scene: Scene) -> list[tuple[object, object]]:
    return [(e["what"], e["outcome"]) for e in told(scene)]


@pytest.mark.rule("HIS-1")
def test_the_whole_way_is_in_the_history_in_order_with_who_why_when_and_the_end() -> None:
    with Scene() as scene:
        operator = scene.operator
        operator.reach(Stage.DETACHED)
        events = told(scene)
        whats = [str(e["what"]) for e in events]
        assert [w for w in whats if "→" in w] == [
            "start → armed",
            "advance → prepare",
            "advance → dual-write",
            "advance → dual-read",
            "advance → target-only",
            "advance → clean",
            "advance → detached",
        ]
        assert whats.count("verify") == 2
        assert {"dial 100", "sweep"} < set(whats)
        assert all(str(e["outcome"]).startswith("done") for e in events)
        assert {e["who"] for e in events if e["what"] != "verify"} == {"operator"}
        times = [e["at"] for e in events]
        assert times == sorted(times)  # type: ignore[type-var]
        assert times[0] != times[-1]


@pytest.mark.rule("HIS-1")
def test_rates_sign_offs_and_repairs_are_recorded() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        operator = scene.operator
        scene.put(scene.members[0], KEY)
        scene.fleet.plant(TARGET, Write(ITEMS, KEY, None))
        operator.verify()
        scene.fleet.do(
            operator.member,
            operator.coordinator.set_load(lambda load: load, "rate copy 5", REQUEST),
        )
        with pytest.raises(InvalidRequest):
            scene.fleet.do(
                operator.member, operator.coordinator.set_load(_refused, "rate copy -5", REQUEST)
            )
        found = lines(scene)
        assert ("rate copy 5", "done") in found
        assert "rate copy -5" not in dict(found)
        assert "items 1 repaired, 0 open" in str(dict(found)["verify"])


def _refused(_: Load) -> Load:
    raise InvalidRequest("there is no such rate")


@pytest.mark.rule("HIS-2")
def test_what_dies_on_the_way_is_recorded_and_what_fails_says_so() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        operator = scene.operator
        operator.verify()
        dying = Operator(scene.fleet)
        seen = scene.once(lambda s: lost(s) if _changes_the_setting(s, dying) else None)
        scene.fleet.spawn(dying.member, dying.coordinator.dial(10, REQUEST), "dial")
        scene.fleet.run_until(lambda: bool(seen), 30.0, "the change to be sent")
        scene.fleet.crash(dying.member)
        assert ("dial 10", "begun") in lines(scene)
        scene.fleet.pass_time(20)
        scene.rule(lambda s: lost(s) if mirrors(s) else None)
        scene.put(scene.members[0], KEY)
        hasty = Coordinator(operator.member.group, patience=0.5)
        with pytest.raises(MigrationError):
            scene.fleet.do(operator.member, hasty.dial(20, REQUEST))
        assert str(lines(scene)[-1][1]).startswith("migration: barrier")


def _changes_the_setting(sent: Sent, operator: Operator) -> bool:
    return (
        sent.process == operator.member.name
        and controls(sent)
        and sent.method == "write"
        and sent.call.arguments[0].key[1] == "control"
    )


@pytest.mark.rule("HIS-2")
def test_an_override_is_recorded_only_where_the_step_is_taken() -> None:
    with Scene(Stage.ARMED) as scene:
        request = attrs.evolve(REQUEST, sole=False, override=frozenset({"preflight"}))
        coordinator = scene.operator.coordinator
        with pytest.raises(GateClosed):
            scene.fleet.do(scene.operator.member, coordinator.advance(request))
        assert not [what for what, _ in lines(scene) if "override" in str(what)]


@pytest.mark.rule("HIS-3")
@pytest.mark.parametrize(
    ("who", "why"),
    [("x" * (MOST_WHO + 1), "y"), ("x", "y" * (MOST_WHY + 1)), ("\ud800", "y"), ("x", "\ud800")],
)
def test_who_and_why_that_the_history_cannot_hold_are_refused(who: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=r"history takes|valid text"):
        Request(who, why)


def test_the_longest_that_it_can_hold_is_kept_whole() -> None:
    with Scene(Stage.ARMED, members=1) as scene:
        request = attrs.evolve(REQUEST, who="ä" * MOST_WHO, why="€" * MOST_WHY)
        scene.fleet.do(scene.operator.member, scene.operator.coordinator.advance(request))
        (event,) = [e for e in told(scene) if e["what"] == "advance → prepare"]
        assert (event["who"], event["why"]) == (request.who, request.why)


@pytest.mark.rule("HIS-4")
def test_an_entry_costs_the_same_however_many_there_are() -> None:
    with Scene(Stage.ARMED, members=1) as scene:
        member, fleet = scene.operator.member, scene.fleet
        ledger = member.group.ledger
        calls: list[str] = []
        scene.rule(
            lambda s: calls.append(s.method) if s.process == member.name and historic(s) else None
        )
        for number in range(300):
            before = len(calls)
            fleet.do(member, ledger.record(fleet.setting, f"entry {number}", "who", "why"))
            assert len(calls) - before == 2, number  # the newest one, and the new one
        assert [e["what"] for e in told(scene)][-300:] == [f"entry {n}" for n in range(300)]


def historic(sent: Sent) -> bool:
    """Whether a call concerns the history."""
    first, *rest = sent.call.arguments
    return "history/" in f"{getattr(first, 'key', '')}{rest}"


@pytest.mark.rule("HIS-5")
def test_who_was_closed_and_recovered_is_told_once_with_by_whom_and_why() -> None:
    with Scene(Stage.DUAL_WRITE, members=4) as scene:
        operator = scene.operator
        operator.copy()
        scene.rule(lambda s: lost(s) if mirrors(s) else None)
        scene.put(scene.members[3], KEY)
        scene.fleet.network.rules.clear()
        dead = scene.name(3)
        scene.fleet.crash(scene.members[3])
        scene.fleet.pass_time(10)
        found = [e for e in told(scene) if dead in str(e["what"])]
        assert [e["what"] for e in found] == [f"closed {dead}", f"recovered {dead}"]
        assert found[0]["why"] == "its heartbeat stood still"
        assert found[1]["why"] == "1 keys in its slots, 1 brought to the mirror"
        assert all(str(e["who"]).startswith("member p") for e in found)
        scene.rest()


@pytest.mark.rule("HIS-5", "DIA-3")
def test_a_laggard_of_a_freeze_and_a_freeze_that_a_member_gave_up_are_told() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        fleet, operator = scene.fleet, scene.operator
        operator.verify()
        fleet.spawn(operator.member, operator.coordinator.dial(100, REQUEST), "dial")
        fleet.run_until(lambda: scene.at(0).frozen is not None, 30, "p0 to freeze")
        fleet.crash(operator.member)
        fleet.run_until(lambda: fleet.setting.frozen is None, 20, "its end")
        fleet.pass_time(2)
        given = [e for e in told(scene) if e["what"] == "given up: a freeze"]
        assert [str(e["who"]).startswith("member p") for e in given] == [True]
        assert given[0]["outcome"] == "done"
        second = Operator(fleet)
        second.verify()
        fleet.do(second.member, second.coordinator.fleet.barrier(within=10))
        deaf(scene, "p1")
        with pytest.raises(MigrationError, match="freeze was not acknowledged"):
            fleet.do(second.member, second.coordinator.epochs.turned(fleet.setting, 256, 256))
        (closed,) = [e for e in told(scene) if str(e["what"]) == f"closed {scene.name(1)}"]
        assert closed["why"] == "it had not acknowledged when all else waited for it"
        assert closed["who"] == "a command"


@pytest.mark.rule("HIS-5", "SHD-2")
def test_repairs_after_reads_are_one_count_a_run() -> None:
    with Scene(Stage.DUAL_READ, members=1) as scene:
        for item in (1, 2):
            scene.put(scene.members[0], ("ann", item))
        scene.fleet.pass_time(2)
        for item in (1, 2):
            scene.fleet.plant(TARGET, Write(ITEMS, ("ann", item), None))
            scene.get(scene.members[0], ("ann", item))
            scene.fleet.pass_time(5)
        (entry,) = [e for e in told(scene) if e["what"] == "repairs after reads"]
        assert (entry["outcome"], entry["who"]) == ("2 repaired", f"member {scene.name(0)}")


@pytest.mark.rule("HIS-5")
def test_a_copy_is_told_from_its_beginning_with_its_end() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        fleet, member = scene.fleet, scene.operator.member
        dying = Operator(fleet)
        fleet.spawn(dying.member, Copier(dying.member.group, request=REQUEST).run(), "copy")
        fleet.run_until(lambda: "backfill" in dict(lines(scene)), 10, "its entry")
        fleet.crash(dying.member)
        assert dict(lines(scene))["backfill"] == "begun"
        fleet.do(member, Copier(member.group, request=REQUEST).run())
        (_, second) = [e for e in told(scene) if e["what"] == "backfill"]
        assert str(second["outcome"]).startswith("done; items: ")
        assert "segments" in str(second["outcome"])
