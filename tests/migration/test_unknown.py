"""Answers that never come: what the application is told is true, and nothing is applied twice."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from polystore.conditions import If
from polystore.driver import Stored, Write
from polystore.errors import OutcomeUnknown, Unavailable
from polystore.migration.ledger import SLOTS
from polystore.migration.slots import UNKNOWN
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.records import Increment
from polystore.testing.simulator import ITEMS, REQUEST, Fate, Sent
from polystore.testing.simulator.faults import held, lost, refused, unanswered
from tests.migration.scene import Scene, commits, slot_write

KEY = ("ann", 1)
STAMPED = [
    (Stage.PREPARE, 0),
    (Stage.DUAL_WRITE, 0),
    (Stage.DUAL_READ, 100),
    (Stage.TARGET_ONLY, 0),
]


@pytest.mark.rule("UNK-1", "UNK-2", "WR-9")
@pytest.mark.parametrize(("stage", "dial"), STAMPED)
@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_answer_is_found_out_and_an_increment_happens_once(
    stage: Stage, dial: float, applied: bool
) -> None:
    with Scene(stage, dial) as scene:
        member = scene.members[0]
        scene.put(member, KEY)
        before = scene.get(member, KEY)
        met = scene.once(
            lambda s: (unanswered(s) if applied else lost(s)) if commits(s, KEY) else None
        )
        update = member.operations["items"].update((*KEY, Increment("v")), If.present, None)
        scene.fleet.do(member, scene.load._write(member, KEY, "add", 1, update))
        assert met
        assert scene.get(member, KEY) == before + 1
        scene.no_failures()
        scene.rest()


@pytest.mark.rule("UNK-2", "WR-9")
def test_what_was_told_as_not_applied_is_not_applied_when_the_call_lands_late() -> None:
    with Scene(Stage.DUAL_WRITE, seed=2) as scene:
        member = scene.members[0]
        scene.put(member, KEY)
        scene.once(lambda s: held(s) if commits(s, KEY) else None)
        written = scene.put(member, KEY)  # the first attempt is held, the bump is before it
        assert not written.open
        scene.put(scene.members[1], KEY)
        value = scene.get(member, KEY)
        assert scene.fleet.network.release() == 1
        assert scene.get(member, KEY) == value
        scene.rest()


@pytest.mark.rule("UNK-2", "WR-9")
def test_what_was_told_as_not_applied_and_never_tried_again_stays_so() -> None:
    with Scene(Stage.DUAL_WRITE, seed=3) as scene:
        member = scene.members[0]
        scene.put(member, KEY)
        before = scene.get(member, KEY)
        scene.once(lambda s: held(s, timeout=0.5) if commits(s, KEY) else None)
        fields = {"owner": "ann", "item": 1, "v": scene.load.value(), "state": "x", "rank": 1}
        put = member.operations["items"].put(fields, If.any, 0.502)
        scene.fleet.do(member, scene.load._write(member, KEY, "put", fields["v"], put))
        assert type(scene.load.failed[-1][1]).__name__ == "Contention"
        scene.fleet.network.release()
        assert scene.get(member, KEY) == before
        scene.rest()


@pytest.mark.rule("UNK-3")
def test_with_no_time_left_the_slot_stays_taken_and_no_epoch_is_acknowledged() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        fleet, member = scene.fleet, scene.members[0]
        scene.put(member, KEY)
        silent = True

        def rule(sent: Sent) -> Fate | None:
            if silent and sent.process == "p0" and (commits(sent) or slot_write(sent)):
                return held(sent, timeout=0.3) if commits(sent) else lost(sent, 0.3)
            return None

        scene.rule(rule)
        written = scene.put(member, KEY)
        assert written.open
        assert isinstance(scene.load.failed[-1][1], OutcomeUnknown)
        incarnation = member.session.incarnation
        assert incarnation is not None
        assert [s.state for s in incarnation.unsettled()] == [UNKNOWN]
        scene.operator.copy()
        task = fleet.spawn(
            scene.operator.member, scene.operator.coordinator.advance(REQUEST), "advance"
        )
        fleet.pass_time(8)
        assert not task.done, "an epoch was acknowledged over an open outcome"
        assert scene.at(0).stage is Stage.DUAL_WRITE
        silent = False
        fleet.run_until(lambda: task.done, 30, "the advance")
        assert task.error is None
        fleet.network.release()
        scene.rest()


@pytest.mark.rule("WR-7")
@pytest.mark.parametrize("muted", [False, True])
def test_a_repetition_on_the_wire_is_ones_own_success(muted: bool) -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        member = scene.members[0]
        scene.put(member, KEY)
        before = scene.get(member, KEY)
        met = scene.once(lambda s: Fate(twice=True, muted=muted) if commits(s, KEY) else None)
        update = member.operations["items"].update((*KEY, Increment("v")), If.present, None)
        scene.fleet.do(member, scene.load._write(member, KEY, "add", 1, update))
        assert met
        assert scene.get(member, KEY) == before + 1
        scene.no_failures()
        scene.rest()


@pytest.mark.rule("WR-7", "UNK-1")
def test_a_refusal_whose_reason_cannot_be_read_is_an_unknown_outcome() -> None:
    """Else the slot keeps its number, and the next attempt takes the intent for its own."""
    with Scene(Stage.DUAL_WRITE) as scene:
        member, other = scene.members[0], ("bob", 1)
        scene.put(member, KEY)
        scene.once(lambda s: Fate(twice=True, muted=True) if commits(s, KEY) else None)
        scene.once(
            lambda s: (
                refused(Unavailable("injected"))
                if s.method == "read" and s.call.arguments[0] is SLOTS
                else None
            )
        )
        first = scene.put(member, KEY)
        assert first.outcome == "done"
        second = scene.put(member, other)
        assert scene.get(scene.members[1], other) == second.argument
        assert scene.get(scene.members[1], KEY) == first.argument
        scene.rest()


@pytest.mark.rule("WR-5", "WR-9")
def test_a_lost_race_is_tried_again_and_at_the_deadline_nothing_was_applied() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        member = scene.members[0]
        scene.put(member, KEY)
        always = True

        def rule(sent: Sent) -> Fate | None:
            if always and sent.process == "p0" and commits(sent, KEY):
                stored = scene.fleet.contents(SOURCE, "items")[KEY]
                # Another writer is quicker each time.
                assert stored.fields is not None
                scene.fleet.drivers[SOURCE].write(_again(stored))
            return None

        scene.rule(rule)
        written = scene.put(member, KEY)
        assert written not in scene.load.history
        assert type(scene.load.failed[-1][1]).__name__ == "Contention"
        always = False
        assert scene.get(member, KEY) != written.argument
        scene.put(member, KEY)
        scene.rest()


def _again(stored: Stored) -> Write:
    return Write(ITEMS, stored.key, stored.fields, write_id=stored.write_id, stamp=stored.stamp)


@pytest.mark.rule("MIR-5", "UNK-1")
def test_an_unknown_outcome_at_the_mirror_is_repeated_without_harm() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        member = scene.members[0]
        fates: list[Callable[[Sent], Fate]] = [unanswered, lost, held]
        for fate in fates:
            scene.once(partial(_at_the_mirror, fate))
            scene.put(member, KEY)
        scene.no_failures()
        scene.fleet.run_until(scene.fleet.settled, 10, "the mirror to follow")
        assert scene.stamp(SOURCE, KEY) == scene.stamp(TARGET, KEY)
        scene.rest()


def _at_the_mirror(fate: Callable[[Sent], Fate], sent: Sent) -> Fate | None:
    return fate(sent) if sent.call.side == TARGET and sent.method == "write" else None
