"""The way back: proven on records that the source has, and changed by nothing of that."""

from __future__ import annotations

import pytest

from polystore.driver import Write
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.testing.simulator import ITEMS, Sent
from polystore.values import Key
from tests.migration.scene import Scene

KEYS = [("ann", 1), ("bob", 1), ("cy", 1)]


@pytest.mark.rule("GATE-13")
def test_canaries_leave_the_source_as_it_is() -> None:
    with Scene(Stage.DUAL_READ) as scene:  # copied: the source's records have no stamp
        scene.put(scene.members[0], KEYS[0])
        scene.delete(scene.members[0], KEYS[1])
        tried: list[object] = []
        scene.rule(lambda s: tried.append(s.call.arguments[0].key) if _back(s) else None)
        before = states(scene)
        found = scene.operator.verify()
        assert states(scene) == before
        records = [len(scene.fleet.contents(TARGET, name)) for name in scene.fleet.collections]
        assert len(tried) == sum(min(4, count) for count in records)
        assert not any(v.way_back for v in found.values())
        assert scene.fleet.setting.proven == scene.fleet.setting.epoch
        scene.rest()


@pytest.mark.rule("GATE-13")
def test_a_write_between_look_and_canary_stays() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        fleet = scene.fleet
        scene.put(scene.members[0], KEYS[0])
        raced: list[object] = []

        def race(sent: Sent) -> None:
            if _back(sent) and not raced:
                write = scene.load.put(scene.members[1], KEYS[0])
                raced.append(fleet.spawn(scene.members[1], write, "race"))

        scene.rule(race)
        scene.operator.verify()
        assert raced
        fleet.pass_time(2)
        assert scene.stamp(SOURCE, KEYS[0]) == scene.stamp(TARGET, KEYS[0]) == 2
        scene.rest()


@pytest.mark.rule("GATE-13")
def test_the_way_back_is_proven_anew_in_each_dual_read_and_not_by_a_sample() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        scene.operator.verify()
        assert scene.fleet.setting.proven
        scene.operator.dial(100)
        proven = scene.fleet.setting.proven
        scene.operator.verify()  # at 100 the way back is in use: nothing is tried
        assert scene.fleet.setting.proven == proven
        scene.operator.dial(0)
        scene.operator.back()
        scene.operator.advance()
        assert not scene.fleet.setting.proven


@pytest.mark.rule("GATE-13")
def test_open_differences_are_no_canaries() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        scene.put(scene.members[0], KEYS[0])
        extra = Write(ITEMS, ("zoe", 9), {"owner": "zoe", "item": 9, "v": 1}, stamp=1 << 41)
        scene.fleet.plant(TARGET, extra)
        before = states(scene)
        found = scene.operator.verify(repair=False)
        assert found["items"].open == 1
        assert states(scene) == before


def states(scene: Scene) -> dict[tuple[str, Key], tuple[object, ...]]:
    """Everything that the source holds."""
    return {
        (name, key): (stored.fields, stored.stamp, stored.write_id, stored.expires)
        for name in scene.fleet.collections
        for key, stored in scene.fleet.contents(SOURCE, name).items()
    }


def _back(sent: Sent) -> bool:
    """Whether a call is a canary."""
    if sent.process != "operator" or sent.method != "write" or sent.call.side != SOURCE:
        return False
    write = sent.call.arguments[0]
    return not write.collection.name.startswith("_ps") and write.stamp is not None
