"""The dial: freezes, hand-overs, laggards, and what transactions may span."""

from __future__ import annotations

import pytest

from polystore.conditions import If
from polystore.errors import IllegalEdge, InvalidRequest, MigrationError, MixedHome, Unavailable
from polystore.migration.coordinator import Coordinator
from polystore.migration.epochs import FREEZE_SECONDS
from polystore.migration.ledger import CONTROL
from polystore.migration.stages import (
    BUCKETS,
    SOURCE,
    TARGET,
    Stage,
    bucket_of,
    frozen_step,
    moved_at,
)
from polystore.testing.simulator import REQUEST, Fate, Operator, Sent
from polystore.testing.simulator.faults import lost, refused, unanswered
from polystore.transaction import Draft
from tests.migration.scene import Scene, acknowledges, controls


@pytest.mark.rule("DIA-1", "DIA-2", "DIA-5", "STG-3", "STG-4")
@pytest.mark.parametrize("seed", range(3))
def test_dial_turns_either_way_under_load(seed: int) -> None:
    with Scene(Stage.DUAL_READ, seed=seed, clients=3) as scene:
        scene.operator.verify()
        for percent in (37, 100, 60, 0, 100, 0):
            scene.operator.dial(percent)
            scene.fleet.pass_time(1)
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("DIA-1")
def test_each_key_is_written_at_its_home_alone() -> None:
    with Scene(Stage.DUAL_READ, 50) as scene:
        before = scene.fleet.watch.commits
        for owner in scene.load.owners:
            home = TARGET if bucket_of((owner,), 1) < 128 else SOURCE
            sides: list[str] = []

            def look(sent: Sent, sides: list[str] = sides) -> None:
                if sent.fenced:
                    sides.append(sent.call.side)

            scene.rule(look)
            scene.put(scene.members[0], (owner, 1))
            assert sides == [home]
            scene.fleet.network.rules.clear()
        assert scene.fleet.watch.commits == before + 3


@pytest.mark.rule("DIA-2", "STG-3")
def test_frozen_buckets_serve_nothing_and_what_waits_runs_once() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        fleet, laggard = scene.fleet, scene.members[2]
        scene.operator.verify()
        scene.rule(lambda s: lost(s, 0.4) if s.process == "p2" and controls(s) else None)
        coordinator = scene.operator.coordinator
        task = fleet.spawn(scene.operator.member, coordinator.dial(100, REQUEST), "dial")
        frozen = fleet.spawn(
            scene.members[0], scene.load.put(scene.members[0], ("ann", 1)), "later"
        )
        fleet.run_until(lambda: frozen.done, 5, "the write before the freeze")
        fleet.run_until(lambda: fleet.setting.frozen is not None, 30, "a freeze")
        fleet.run_until(lambda: scene.at(0).frozen is not None, 5, "p0 to freeze")
        lo, hi = fleet.setting.frozen or (0, 0)
        owner = next(
            o for o in ("ann", "bob", "cy", "d", "e", "f", "g") if lo <= bucket_of((o,), 1) < hi
        )
        commits = fleet.watch.commits
        write = fleet.spawn(scene.members[0], scene.load.put(scene.members[0], (owner, 1)), "write")
        read = fleet.spawn(scene.members[0], scene.load.get(scene.members[0], (owner, 1)), "read")
        fleet.scheduler.run(lambda: fleet.setting.frozen is None, 1.0)
        assert not write.done
        assert not read.done
        assert fleet.watch.commits == commits
        fleet.network.rules.clear()
        fleet.run_until(lambda: write.done and read.done, 15, "what waited")
        assert fleet.watch.commits == commits + 1
        fleet.run_until(lambda: task.done, 60, "the dial")
        assert laggard.process.alive
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("DIA-3", "EPO-2")
def test_a_laggard_is_shut_out_and_the_freeze_given_up_in_time() -> None:
    with Scene(Stage.DUAL_READ, clients=1, width=BUCKETS) as scene:
        fleet = scene.fleet
        scene.operator.verify()
        fleet.do(scene.operator.member, scene.operator.coordinator.fleet.barrier(within=10))
        epoch = fleet.setting.epoch
        # It lives and beats, but never looks.
        scene.rule(
            lambda s: (
                lost(s, 0.3)
                if s.task == "session" and s.process == "p1" and s.method == "read"
                else None
            )
        )
        at = fleet.setting
        with pytest.raises(MigrationError, match="freeze was not acknowledged"):
            fleet.do(
                scene.operator.member,
                scene.operator.coordinator.epochs.turned(
                    at, BUCKETS, scene.operator.member.group.step
                ),
            )
        assert fleet.setting.moved == 0
        assert fleet.setting.frozen is None
        assert fleet.setting.epoch == epoch + 2
        fleet.network.rules.clear()
        scene.operator.dial(100)
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("DIA-3")
def test_a_freeze_whose_coordinator_died_is_given_up_by_others() -> None:
    with Scene(Stage.DUAL_READ, clients=1) as scene:
        fleet, operator = scene.fleet, scene.operator
        operator.verify()
        fleet.spawn(operator.member, operator.coordinator.dial(100, REQUEST), "dial")
        fleet.run_until(lambda: scene.at(0).frozen is not None, 30, "p0 to freeze")
        fleet.crash(operator.member)
        fleet.run_until(lambda: fleet.setting.frozen is None, 4 * FREEZE_SECONDS, "its end")
        assert fleet.setting.moved == 0
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("EPO-9")
@pytest.mark.parametrize("calls", range(5, 200, 15))
def test_another_coordinator_takes_up_the_work_at_any_step(calls: int) -> None:
    with Scene(Stage.DUAL_READ, members=2, clients=1) as scene:
        fleet, first = scene.fleet, scene.operator
        first.verify()
        sent = 0

        def dies(one: Sent) -> None:
            nonlocal sent
            if one.process == "operator" and one.task == "dial":
                sent += 1
                if sent == calls:
                    fleet.crash(first.member)

        scene.rule(dies)
        task = fleet.spawn(first.member, first.coordinator.dial(100, REQUEST), "dial")
        fleet.run_until(lambda: task.done or not first.member.process.alive, 60, "its death")
        second = Operator(fleet, fleet.member("second"))
        second.dial(100)
        assert fleet.setting.moved == BUCKETS
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("EPO-5", "DIA-2")
def test_who_joins_during_a_freeze_waits_with_the_others() -> None:
    with Scene(Stage.DUAL_READ, members=2, clients=1) as scene:
        fleet = scene.fleet
        scene.operator.verify()
        at = fleet.setting
        frozen = fleet.do(
            scene.operator.member,
            scene.operator.coordinator.epochs.advanced(
                at, lambda now: frozen_step(now, BUCKETS, BUCKETS)
            ),
        )
        assert frozen.frozen == (0, BUCKETS)
        late = fleet.member("late")
        write = fleet.spawn(late, scene.load.put(late, ("ann", 1)), "write")
        fleet.pass_time(1.0)
        assert not write.done
        fleet.do(scene.operator.member, scene.operator.coordinator.abort(REQUEST))
        fleet.run_until(lambda: write.done, 5, "its write")
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("DIA-4")
def test_without_colocation_the_dial_knows_0_and_100() -> None:
    with Scene(Stage.DUAL_READ, colocate=None, clients=1) as scene:
        for percent in (1, 50, 99):
            with pytest.raises(IllegalEdge, match="colocate"):
                scene.operator.dial(percent)
        scene.operator.verify()
        scene.operator.dial(100)
        scene.operator.dial(0)
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("TX-6", "TX-4", "STG-3")
def test_a_transaction_over_two_homes_is_refused_and_one_in_a_bucket_never_is() -> None:
    with Scene(Stage.DUAL_READ, 50, clients=2) as scene:
        member = scene.members[0]
        by_home: dict[str, str] = {}
        for owner in ("ann", "bob", "cy", "dee", "eve", "flo", "gus", "hal"):
            by_home.setdefault(TARGET if bucket_of((owner,), 1) < 128 else SOURCE, owner)
        commits = scene.fleet.watch.commits

        async def over_two(draft: Draft) -> None:
            for owner in by_home.values():
                fields = {"owner": owner, "item": 9, "v": 1, "state": "x", "rank": 1}
                await draft.collection("items").put(fields, If.any)

        with pytest.raises(MixedHome):
            scene.fleet.do(member, scene.load._transaction(member, over_two))
        for side in (SOURCE, TARGET):
            assert not any(key[1] == 9 for key in scene.fleet.contents(side, "items"))
        assert scene.fleet.watch.commits >= commits
        for percent in (60, 30, 100):
            scene.operator.dial(percent)
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("EPO-4")
def test_an_acknowledgement_without_an_answer_counts() -> None:
    """Written, but never answered: nothing may go on under the old homes."""
    with Scene(Stage.DUAL_READ, clients=2, width=BUCKETS) as scene:
        scene.operator.verify()
        epoch = scene.fleet.setting.epoch + 1
        silent = False

        def rule(sent: Sent) -> Fate | None:
            nonlocal silent
            if acknowledges(sent, "p0", epoch) and not silent:
                (write,) = sent.call.arguments
                row = scene.fleet.drivers[SOURCE].native()[CONTROL.name].rows[write.key]
                silent = row.token == write.condition.token
                return unanswered(sent, 0.01) if silent else None
            if silent and sent.process == "p0" and sent.task == "session":
                return refused(Unavailable("injected"))
            return None

        scene.rule(rule)
        with_trouble = scene.fleet.spawn(
            scene.operator.member,
            scene.operator.coordinator.epochs.turned(
                scene.fleet.setting, BUCKETS, scene.operator.member.group.step
            ),
            "turn",
        )
        scene.fleet.run_until(lambda: with_trouble.done, 60, "the step")
        scene.fleet.pass_time(15)  # until it gives up asking
        scene.rest()


def test_coordinators_of_two_minds_do_no_harm() -> None:
    with Scene(Stage.DUAL_READ, 50, clients=2) as scene:
        fleet = scene.fleet
        other = Operator(fleet, fleet.member("other"))
        tasks = [
            fleet.spawn(scene.operator.member, scene.operator.coordinator.dial(100, REQUEST), "up"),
            fleet.spawn(other.member, Coordinator(other.member.group).dial(0, REQUEST), "down"),
        ]
        fleet.run_until(lambda: all(t.done for t in tasks), 120, "both")
        scene.rest()


@pytest.mark.rule("DIA-6")
def test_a_step_may_be_of_one_bucket_and_freeze_no_more_at_a_time() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        scene.operator.verify()
        fleet, member, coordinator = scene.fleet, scene.operator.member, scene.operator.coordinator
        widths: list[int] = []

        def look(sent: Sent) -> None:
            fields = sent.call.arguments[0].fields if sent.method == "write" else None
            if controls(sent) and fields and fields.get("frozen_to"):
                widths.append(fields["frozen_to"] - fields["frozen_from"])

        scene.rule(look)
        for buckets in range(BUCKETS + 1):  # a percentage hits each of them exactly
            assert moved_at(100 * buckets / BUCKETS) == buckets
        fleet.do(member, coordinator.dial(100 / BUCKETS, REQUEST))
        assert fleet.setting.moved == 1
        assert set(widths) == {1}
        widths.clear()
        fleet.do(member, coordinator.dial(700 / BUCKETS, REQUEST, 3))
        assert fleet.setting.moved == 7
        fleet.do(member, coordinator.dial(0, REQUEST, 4))
        assert fleet.setting.moved == 0
        assert widths == [3, 3, 4, 3]
        for batch in (0, -1, BUCKETS + 1):
            before = fleet.setting
            with pytest.raises(InvalidRequest, match="1 to 256"):
                fleet.do(member, coordinator.dial(50, REQUEST, batch))
            assert fleet.setting == before
        scene.rest()


@pytest.mark.rule("DIA-4", "DIA-6")
def test_without_colocation_no_batch_can_be_asked_for() -> None:
    with Scene(Stage.DUAL_READ, colocate=None) as scene:
        scene.operator.verify()
        coordinator = scene.operator.coordinator
        with pytest.raises(InvalidRequest, match="all buckets move at once"):
            scene.fleet.do(scene.operator.member, coordinator.dial(100, REQUEST, 16))
