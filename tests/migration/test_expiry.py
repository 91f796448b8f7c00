"""Expiry while two databases are in play: the same on both, and hidden on both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
import pytest

from polystore.conditions import If
from polystore.driver import Write
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.records import KEEP, Set
from polystore.testing.simulator import ITEMS
from polystore.values import Fields, Key, moment_at
from tests.migration.scene import Scene
from tests.migration.test_queries import PLANS, queried, scanned

NEVER = None
STAGES = (
    (Stage.SOURCE_ONLY, 0),
    (Stage.ARMED, 0),
    (Stage.PREPARE, 0),
    (Stage.DUAL_WRITE, 0),
    (Stage.DUAL_READ, 0),
    (Stage.DUAL_READ, 50),
    (Stage.DUAL_READ, 100),
    (Stage.TARGET_ONLY, 100),
    (Stage.CLEAN, 100),
)


def fields(key: Key) -> Fields:
    return {"owner": key[0], "item": key[1], "v": 1, "state": "open", "rank": 1}


def after(scene: Scene, seconds: float) -> datetime:
    """A moment of the scene's wall clock."""
    return moment_at(scene.fleet.scheduler.wall() + round(seconds * 1_000_000))


def put(scene: Scene, key: Key, expires_at: datetime | None, when: Any = If.any) -> None:
    member = scene.members[0]
    scene.fleet.do(member, member.operations["items"].put(fields(key), when, None, expires_at))


def update(scene: Scene, key: Key, expires_at: Any = KEEP) -> None:
    member = scene.members[0]
    changes = (*key, Set(v=2))
    verb = member.operations["items"].update(changes, If.present, None, expires_at)
    scene.fleet.do(member, verb)


def expiries(scene: Scene, side: str) -> dict[Key, datetime | None]:
    """When each record of a side expires; tombstones left out."""
    return {
        key: None if stored.expires is None else moment_at(stored.expires)
        for key, stored in scene.fleet.contents(side, "items").items()
        if stored.fields is not None
    }


@pytest.mark.rule("EXP-4", "EXP-1")
def test_the_expiry_goes_with_its_record_through_a_whole_migration() -> None:
    with Scene(preload=False) as scene:
        operator, late = scene.operator, after(scene, 9_999_999)
        expected: dict[Key, datetime | None] = {("old", 1): late, ("old", 2): NEVER}
        unmarked = Write(ITEMS, ("old", 3), fields(("old", 3)), expires=5_000_000_000_000_000)
        scene.fleet.plant(SOURCE, unmarked)  # another program's, whose expiry its driver knows
        expected["old", 3] = moment_at(5_000_000_000_000_000)
        for key in (("old", 1), ("old", 2)):
            put(scene, key, expected[key])
        for number, (stage, dial) in enumerate(STAGES):
            operator.reach(stage, dial)
            home = SOURCE if dial == 0 else TARGET
            for item, moment in ((1, late), (2, NEVER)):
                key = (f"n{number}", item)
                put(scene, key, moment)
                expected[key] = moment
                update(scene, key)
            update(scene, ("old", 1))
            update(scene, ("old", 2), expected["old", 3] if number % 2 else NEVER)
            expected["old", 2] = expected["old", 3] if number % 2 else NEVER
            if dial != 50:
                assert expiries(scene, home) == expected
            if stage is Stage.DUAL_READ:
                assert expiries(scene, SOURCE) == expiries(scene, TARGET) == expected
                verified = operator.verify()["items"]
                assert (verified.suspects, verified.discrepancies) == (0, [])


@pytest.mark.rule("EXP-4", "VER-1", "VER-5")
@pytest.mark.parametrize("dial", [0, 100])
@pytest.mark.parametrize("planted", [None, 2_000_000_000_000_000])
def test_another_expiry_is_a_difference_and_repair_makes_it_the_homes(
    dial: int, planted: int | None
) -> None:
    with Scene(Stage.DUAL_READ, dial, preload=False) as scene:
        home, mirror = (SOURCE, TARGET) if dial == 0 else (TARGET, SOURCE)
        key, late = ("ann", 1), after(scene, 9_999_999)
        put(scene, key, late)
        there = scene.fleet.contents(mirror, "items")[key]
        other = Write(ITEMS, key, there.fields, write_id=there.write_id, stamp=there.stamp)
        scene.fleet.plant(mirror, attrs.evolve(other, expires=planted))
        reported = scene.operator.verify(repair=False)["items"]
        assert {k: n for k, n in reported.kinds().items() if n} == {"different": 1}
        scene.get(scene.members[0], key)  # a shadow read sees it, and it is mended
        scene.fleet.run_until(lambda: expiries(scene, mirror) == {key: late}, 30, "the repair")
        assert expiries(scene, home) == {key: late}
        assert scene.operator.verify()["items"].discrepancies == []


@pytest.mark.rule("EXP-2", "EXP-3")
@pytest.mark.parametrize(("stage", "dial"), [STAGES[i] for i in (1, 3, 5, 6, 8)])
def test_what_has_expired_is_gone_in_every_stage(stage: Stage, dial: int) -> None:
    with Scene(preload=False, members=1) as scene:
        member, items = scene.members[0], scene.members[0].operations["items"]
        keys = [("c", 2), ("c", 3), ("d", 1)]
        soon = after(scene, 600)
        for key in keys[:2]:
            put(scene, key, soon)
        scene.operator.reach(stage, dial)
        put(scene, keys[2], soon)
        put(scene, ("e", 1), NEVER)

        def look() -> list[list[Key]]:
            found = [queried(scene, member, plan, limit) for plan in PLANS for limit in (1, 9)]
            found += [scanned(scene, member, 1), scanned(scene, member, 9)]
            got = scene.fleet.do(member, items.get_many([*keys, ("e", 1)], "strong", None))
            found.append([record for record in got if record is not None])
            return [sorted((r["owner"], r["item"]) for r in rows) for rows in found]

        assert look()[-1] == sorted([*keys, ("e", 1)])
        scene.fleet.pass_time(601)
        one: list[Key] = [("e", 1)]
        assert look() == [[]] * 4 + [one] * 4 + [[]] * 2 + [one] * 3
        put(scene, keys[0], NEVER, If.absent)
        put(scene, keys[1], after(scene, 600))
        scene.fleet.do(member, items.delete(keys[2], If.absent, None))
        assert look()[-1] == sorted([*keys[:2], ("e", 1)])
        if stage is Stage.DUAL_READ:
            assert scene.fleet.differences() == []
        scene.no_failures()


@pytest.mark.rule("EXP-8", "STG-5")
@pytest.mark.parametrize(("stage", "dial"), [STAGES[i] for i in (1, 2, 5, 8)])
def test_a_purge_leaves_tombstones_where_the_stage_wants_them(stage: Stage, dial: int) -> None:
    with Scene(preload=False, members=1) as scene:
        member = scene.members[0]
        items = member.operations["items"]
        put(scene, ("c", 1), after(scene, 600))
        scene.operator.reach(stage, dial)
        put(scene, ("d", 1), after(scene, 600))
        for key, moment in ((("e", 1), after(scene, 900)), (("e", 2), NEVER)):
            put(scene, key, moment)
        scene.fleet.pass_time(601)
        stamped = not scene.fleet.setting.stage.plain
        sides = [SOURCE] if dial == 0 else [TARGET]
        sides = [SOURCE, TARGET] if stage is Stage.DUAL_READ else sides
        before = [dict(scene.fleet.contents(side, "items")) for side in sides]
        assert scene.fleet.do(member, items.purge(None, None)) == 2
        assert scene.fleet.do(member, items.purge(None, None)) == 0
        scene.fleet.run_until(scene.fleet.settled, 30, "the mirror")
        for side, old in zip(sides, before, strict=True):
            now = scene.fleet.contents(side, "items")
            assert set(expiries(scene, side)) == {("e", 1), ("e", 2)}
            for key in (("c", 1), ("d", 1)):
                assert (key in now) is stamped
                if stamped:
                    assert (now[key].stamp or 0) > (old[key].stamp or 0)
        assert scene.get(member, ("e", 1)) == 1


@pytest.mark.rule("EXP-8", "WR-9")
@pytest.mark.parametrize("seed", range(8))
def test_what_is_written_anew_during_a_purge_stays(seed: int) -> None:
    with Scene(Stage.DUAL_READ, 50, seed=seed, members=2, preload=False) as scene:
        one, other = scene.members
        keys = [(owner, 1) for owner in "abcdef"]
        for key in keys:
            put(scene, key, after(scene, 30))
        scene.fleet.pass_time(31)
        purge = scene.fleet.spawn(one, one.operations["items"].purge(None, None), "purge")
        for key in keys[::2]:
            verb = other.operations["items"].put(fields(key), If.absent, None)
            scene.fleet.do(other, verb)
        scene.fleet.finish(purge)
        scene.fleet.run_until(scene.fleet.settled, 30, "the mirror")
        assert set(expiries(scene, SOURCE)) == set(expiries(scene, TARGET)) == set(keys[::2])
        assert scene.fleet.differences() == []
        scene.no_failures()
