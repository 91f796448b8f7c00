"""What a caller sees while the mirror is slow or down, by the policy of its collection."""

from __future__ import annotations

from typing import Any

import pytest

from polystore.conditions import If
from polystore.errors import Declined, MirrorPending, Unavailable
from polystore.migration.breaker import FAILURES, PAUSE_SECONDS, SOFT_WAIT_SECONDS, Breaker
from polystore.migration.request import Request
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.migration.status import status_of
from polystore.records import Version
from polystore.testing.simulator import Fate, Sent
from polystore.testing.simulator.faults import refused
from tests.migration.scene import Scene, mirrors

KEY = ("ann", 1)


def down(sent: Sent) -> Fate | None:
    """The target is down."""
    return refused(Unavailable("injected")) if sent.call.side == TARGET else None


def set_policy(scene: Scene, policy: str) -> None:
    coordinator = scene.operator.coordinator
    change = coordinator.set_load(
        lambda load: load.overloaded("items", policy), "policy", Request("tester", "to see")
    )
    scene.fleet.do(scene.operator.member, change)
    scene.fleet.pass_time(2.0)  # everybody has looked


def put(scene: Scene, key: tuple[str, int] = KEY, timeout: float = 3.0) -> Any:
    member = scene.members[0]
    record = {"owner": key[0], "item": key[1], "state": "a", "rank": 1, "v": 1}
    return scene.fleet.do(member, member.operations["items"].put(record, If.any, timeout))


@pytest.mark.rule("MIR-8", "THR-10")
def test_fail_waits_for_the_mirror_and_then_says_that_the_write_stands() -> None:
    with Scene(Stage.DUAL_WRITE, members=1) as scene:
        set_policy(scene, "fail")
        scene.rule(down)
        begun = scene.fleet.scheduler.now
        with pytest.raises(MirrorPending) as raised:
            put(scene)
        assert raised.value.applied
        assert 2.5 < scene.fleet.scheduler.now - begun < 3.5
        stored = scene.fleet.contents(SOURCE, "items")[KEY]
        assert raised.value.version == Version(stored.write_id or "")
        scene.fleet.network.rules.clear()
        scene.fleet.run_until(scene.fleet.settled, 20, "the mirror")
        assert scene.stamp(SOURCE, KEY) == scene.stamp(TARGET, KEY)
        assert put(scene) == Version(scene.fleet.contents(TARGET, "items")[KEY].write_id or "")


@pytest.mark.rule("MIR-8")
def test_fail_succeeds_where_the_mirror_comes_back_in_time() -> None:
    with Scene(Stage.DUAL_WRITE, members=1) as scene:
        set_policy(scene, "fail")
        scene.rule(down)
        scene.fleet.scheduler.later(1.0, scene.fleet.network.rules.clear)
        assert put(scene) == Version(scene.fleet.contents(TARGET, "items")[KEY].write_id or "")


@pytest.mark.rule("MIR-8", "THR-2", "THR-9")
def test_decline_calls_no_store_while_the_mirror_does_not_answer() -> None:
    with Scene(Stage.DUAL_WRITE, members=1, seed=2) as scene:
        set_policy(scene, "decline")
        scene.rule(down)
        for _ in range(FAILURES):
            put(scene)  # so many it takes to find out
        calls: list[Sent] = []
        scene.rule(lambda s: calls.append(s) if s.task == "task" else None)
        with pytest.raises(Declined) as raised:
            put(scene)
        assert calls == []
        assert raised.value.retry.seconds is not None
        scene.fleet.do(
            scene.members[0], scene.members[0].operations["items"].get(KEY, "strong", None)
        )
        scene.fleet.network.rules.clear()
        scene.fleet.run_until(scene.fleet.settled, 20, "the mirror")
        scene.fleet.pass_time(PAUSE_SECONDS)  # its last answer may have been late
        put(scene)
        assert scene.members[0].group.counters.snapshot()["declined:target"] == 1


@pytest.mark.rule("MIR-11", "MIR-7")
def test_queue_does_not_try_a_mirror_that_does_not_answer() -> None:
    with Scene(Stage.DUAL_WRITE, members=1) as scene:
        tried: list[Sent] = []
        scene.rule(lambda s: tried.append(s) if s.task == "task" and mirrors(s) else None)
        scene.rule(down)
        for item in range(1, 4 * FAILURES):
            put(scene, ("ann", item))
        assert 0 < len(tried) <= FAILURES  # what the background tried counts too
        scene.fleet.pass_time(3.0)
        status = scene.fleet.do(scene.operator.member, status_of(scene.operator.member.group))
        assert status.counts["breaker-opened:target"] == 1
        assert status.counts["open"] == 4 * FAILURES - 1 == status.counts["pending"]
        scene.fleet.network.rules.clear()
        scene.fleet.run_until(scene.fleet.settled, 20, "the mirror")
        put(scene)
        assert scene.stamp(SOURCE, KEY) == scene.stamp(TARGET, KEY)


@pytest.mark.rule("MIR-11")
def test_a_breaker_opens_on_failures_in_a_row_and_one_caller_tries_when_nobody_else_does() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(0.0)
    breaker.answered(0.0)
    for _ in range(FAILURES - 1):
        breaker.answered(1.0, 2 * SOFT_WAIT_SECONDS)
    assert breaker.allows(1.0)
    breaker.failed(1.0)
    assert breaker.shut_off(1.0)
    assert not breaker.allows(1.0 + PAUSE_SECONDS - 0.1)
    assert breaker.allows(1.0 + PAUSE_SECONDS)
    assert not breaker.allows(1.0 + PAUSE_SECONDS)  # half open: one only
    breaker.answered(1.0 + PAUSE_SECONDS, SOFT_WAIT_SECONDS / 2)
    assert breaker.allows(1.0 + PAUSE_SECONDS)
    assert breaker.opened == 1
