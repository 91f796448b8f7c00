"""Group commit: who waits at once in one process shares a commit, and is told the truth (WR-10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from polystore.conditions import If
from polystore.driver import ANYTHING, Write, Written
from polystore.errors import DriverError, OutcomeUnknown
from polystore.migration.grouping import Line, Part
from polystore.migration.home import Fenced
from polystore.migration.ledger import SLOTS
from polystore.migration.sharing import Sharing
from polystore.migration.stages import SOURCE, Stage, bucket_of
from polystore.testing.history import Operation
from polystore.testing.simulator import ITEMS, Choices, Fate, Plan, Sent, Trial
from polystore.testing.simulator.batch import played
from polystore.testing.simulator.faults import lost, refused, unanswered
from polystore.testing.simulator.scheduler import Task
from tests.migration.scene import Scene, commits

pytestmark = pytest.mark.rule("WR-10")

FIRST, KEYS = ("bob", 1), (("ann", 1), ("ann", 2), ("cy", 1))


def written(sent: Sent) -> list[Write]:
    """The records of a commit."""
    return [w for w in sent.call.arguments[0] if w.collection is not SLOTS]


def together(scene: Scene, fate: Callable[[Sent], Fate | None] = lambda _: None) -> list[Any]:
    """A put of a first key on its way, and of three more that wait meanwhile; all commits seen."""
    seen: list[Any] = []

    def rule(sent: Sent) -> Fate | None:
        if not commits(sent) or sent.process != "p0":
            return None
        seen.append(sent)
        if len(seen) == 1:
            return Fate(apply=0.02)
        return fate(sent) if len(written(sent)) == len(KEYS) else None

    for key in (FIRST, *KEYS):
        scene.put(scene.members[0], key)
    scene.rule(rule)
    return seen


def begin(scene: Scene, *, wait: float = 0.01) -> list[Task]:
    """Send the four puts: the first, then the others."""
    fleet, member = scene.fleet, scene.members[0]
    tasks = [fleet.spawn(member, scene.load.put(member, FIRST), "first")]
    fleet.pass_time(wait)
    tasks += [fleet.spawn(member, scene.load.put(member, k), f"put{k}") for k in KEYS]
    return tasks


def ended(scene: Scene, tasks: list[Task]) -> list[Operation]:
    return [scene.fleet.finish(task) for task in tasks]


def rested(scene: Scene) -> None:
    """No slot or ticket has stayed behind, and the sides agree."""
    scene.fleet.run_until(scene.fleet.settled, 10, "the mirror to follow")
    incarnation = scene.incarnation(0)
    assert {s.state for pool in incarnation.pools.values() for s in pool.slots} == {"free"}
    assert all(line.waiting == [] and line.going == 0 for line in incarnation.lines.values())
    scene.rest()


@pytest.mark.rule("WR-3")
@pytest.mark.parametrize("stage", [Stage.PREPARE, Stage.DUAL_WRITE, Stage.TARGET_ONLY])
def test_who_waits_shares_one_commit_and_one_slot_that_names_all(stage: Stage) -> None:
    with Scene(stage) as scene:
        seen = together(scene)
        ended(scene, begin(scene))
        assert [len(written(sent)) for sent in seen] == [1, 3]
        (slot,) = [w for w in seen[1].call.arguments[0] if w.collection is SLOTS]
        assert {(name, *key) for name, *key in slot.fields["intent"]} == {
            ("items", *key) for key in KEYS
        }
        scene.no_failures()
        rested(scene)


def test_a_lone_writer_waits_for_nobody() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        seen = together(scene)
        before = scene.fleet.scheduler.now
        scene.put(scene.members[0], KEYS[0])
        assert [len(sent.call.arguments[0]) for sent in seen] == [2]
        assert scene.fleet.scheduler.now - before < 0.2
        rested(scene)


def test_a_commit_that_hangs_holds_nobody_up() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        seen = together(scene)
        scene.fleet.network.rules.clear()
        scene.once(lambda s: lost(s, 2.0) if commits(s, FIRST) else None)
        before = scene.fleet.scheduler.now
        tasks = begin(scene)
        ended(scene, tasks[1:])
        assert scene.fleet.scheduler.now - before < 0.5
        assert not tasks[0].done
        ended(scene, tasks)
        assert seen == []
        rested(scene)


@pytest.mark.parametrize("muted", [False, True])
def test_one_that_is_refused_is_taken_out_and_the_others_stand(muted: bool) -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        spoilt: list[Sent] = []

        def spoil(sent: Sent) -> Fate | None:
            """Another process writes one of the keys just before."""
            if not spoilt:
                spoilt.append(sent)
                stored = scene.fleet.contents(SOURCE, "items")[KEYS[1]]
                again = Write(
                    ITEMS, stored.key, stored.fields, write_id="other", stamp=stored.stamp
                )
                scene.fleet.drivers[SOURCE].write(again)
            return Fate(muted=muted)

        seen = together(scene, spoil)
        ended(scene, begin(scene))
        assert [len(written(sent)) for sent in seen] == [1, 3, 2, 1]
        scene.no_failures()
        rested(scene)


def test_what_fails_for_one_record_fails_for_no_other() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        seen = together(scene, lambda _: refused(DriverError("injected")))
        ended(scene, begin(scene))
        assert [len(written(sent)) for sent in seen] == [1, 3, 1, 1, 1]
        scene.no_failures()
        rested(scene)


@pytest.mark.rule("WR-9", "UNK-1")
@pytest.mark.parametrize("fate", [unanswered, lost])
def test_a_lost_answer_is_found_out_for_all(fate: Callable[[Sent], Fate]) -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        met: list[Sent] = []

        def once(sent: Sent) -> Fate | None:
            met.append(sent)
            return fate(sent) if len(met) == 1 else None

        together(scene, once)
        for operation in ended(scene, begin(scene)):
            assert scene.get(scene.members[1], operation.cell) == operation.argument  # type: ignore[arg-type]
        assert met
        scene.no_failures()
        rested(scene)


@pytest.mark.rule("WR-6")
def test_a_slot_that_is_closed_meanwhile_applies_nothing_and_all_try_again() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        closed: list[Sent] = []

        def close(sent: Sent) -> Fate | None:
            if not closed:
                closed.append(sent)
                (slot,) = [w for w in sent.call.arguments[0] if w.collection is SLOTS]
                stored = scene.slots()[slot.key]
                fields = {**(stored.fields or {}), "closed": True}
                scene.fleet.drivers[SOURCE].write(
                    attrs.evolve(slot, fields=fields, condition=ANYTHING, write_id="closer")
                )
            return None

        together(scene, close)
        before = scene.name(0)
        ended(scene, begin(scene))
        assert scene.name(0) != before
        scene.no_failures()
        scene.rest()


@pytest.mark.rule("WR-9", "UNK-1")
@pytest.mark.parametrize("fate", [unanswered, lost])
def test_a_leader_that_is_cancelled_leaves_the_others_the_truth(
    fate: Callable[[Sent, float], Fate],
) -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        led: list[Sent] = []

        def hang(sent: Sent) -> Fate | None:
            led.append(sent)
            return fate(sent, 5.0) if len(led) == 1 else None

        together(scene, hang)
        tasks = begin(scene)
        scene.fleet.run_until(lambda: bool(led), 5, "the shared commit")
        scene.fleet.pass_time(0.01)
        (leader,) = [t for t in tasks if t.name == led[0].task]
        operation = scene.load.history[-len(tasks) + tasks.index(leader)]
        leader.procedure.close()
        leader.done = True
        leader.turn += 1
        before = scene.fleet.scheduler.now
        others = [t for t in tasks if t is not leader]
        for other in ended(scene, others):
            assert other.outcome == "done"
        assert scene.fleet.scheduler.now - before < 1
        assert operation.open
        scene.no_failures()
        rested(scene)


def gives_up_early() -> None:
    """Its own ticket is gone then; that of the commit keeps its bucket from being handed over.

    With this seed another one leads.
    """
    with Scene(Stage.DUAL_WRITE, seed=2) as scene:
        fleet, load, member = scene.fleet, scene.load, scene.members[0]
        seen = together(scene, lambda s: unanswered(s, 2.0))
        tasks = [fleet.spawn(member, load.put(member, FIRST), "first")]
        fleet.pass_time(0.01)
        tasks += [fleet.spawn(member, load.put(member, k), f"put{k}") for k in KEYS[:2]]
        key = KEYS[2]
        fields = {"owner": key[0], "item": key[1], "v": load.value(), "state": "x", "rank": 1}
        put = member.operations["items"].put(fields, If.any, 0.3)
        hasty = fleet.do(member, load._write(member, key, "put", fields["v"], put))
        assert hasty.open
        assert isinstance(load.failed[-1][1], OutcomeUnknown)
        assert [len(written(sent)) for sent in seen] == [1, 3]
        bucket = bucket_of(key, 1)
        assert not member.session.latch.idle((bucket, bucket + 1))
        ended(scene, tasks)
        fleet.pass_time(2)
        assert member.session.latch.idle((bucket, bucket + 1))
        rested(scene)


@pytest.mark.rule("WR-9", "EPO-4")
def test_who_gives_up_early_does_not_know_and_the_commit_is_drained_all_the_same() -> None:
    gives_up_early()


def test_busy_clients_of_the_simulator_share_commits() -> None:
    """The trials of the simulator cover it: with many clients in a process."""
    trial = Trial(Choices.seeded(3), Plan(threads=6, think=0.03, seconds=6.0))
    trial.run()
    counted = [m.group.counters.snapshot() for m in trial.fleet.members]
    assert sum(c.get("commits_shared", 0) for c in counted) > 10


@pytest.mark.rule("WR-10", "WR-4")
def test_a_leader_that_gets_no_slot_hears_from_who_took_it_along() -> None:
    """Its member was closed while it asked for a slot; its write was committed by another."""
    pair = ("datastore", "memory")
    played(pair, Choices.seeded(785, *pair)).run()  # of 1,000 seeds a pair the one that found it
    with Scene(Stage.DUAL_WRITE) as scene:
        member = scene.members[0]
        part = Part(Line(member.process.signal), Write(ITEMS, ("ann", 1), None), scene.at(0))

        async def closed(*_: Any) -> Any:
            raise Fenced

        async def asked() -> Any:
            return await Sharing(member.session, closed)._own_slot(at, home, part)

        at: Any = None
        home = member.group.sides[SOURCE]
        with pytest.raises(Fenced):
            scene.fleet.do(member, asked())
        part.outcome = Written(None)
        assert scene.fleet.do(member, asked()) is None
