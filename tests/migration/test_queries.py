"""Queries and scans while two sides are in play: they answer as one store would."""

from __future__ import annotations

from typing import Any

import pytest

from polystore.errors import CursorExpired
from polystore.migration.stages import Stage, frozen_step
from polystore.queries import Between, Position, QueryPlan
from polystore.testing.simulator import ITEMS, REQUEST, Faults, SimulatedMember
from tests.migration.scene import Scene

(INDEX,) = ITEMS.indexes
OWNERS = tuple("abcdefghijkl")
PLANS = [
    QueryPlan(None, ("c",)),
    QueryPlan(None, ("c",), Between(2, 4), True),
    QueryPlan(INDEX, ("open",)),
    QueryPlan(INDEX, ("open",), None, True),
    QueryPlan(INDEX, ("open",), Between(2, 3)),
]


def filled(scene: Scene) -> None:
    """Records of many owners, a third of them deleted again."""
    scene.load.owners = OWNERS
    for owner in OWNERS:
        for item in range(1, 6):
            scene.put(scene.members[item % 3], (owner, item))
            if (ord(owner) + item) % 3 == 0:
                scene.delete(scene.members[0], (owner, item))


def queried(scene: Scene, member: SimulatedMember, plan: QueryPlan, limit: int) -> list[Any]:
    found: list[Any] = []
    after: Position | None = None
    for _ in range(200):
        bound = member.operations["items"].access.bound()
        page = scene.fleet.do(member, member.route.query(bound, plan, after, limit, 10))
        assert len(page.records) <= limit
        found += [dict(record) for record in page.records]
        after = page.next
        if after is None:
            return found
    pytest.fail("the query never ends")


def scanned(scene: Scene, member: SimulatedMember, limit: int) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = None
    while True:
        bound = member.operations["items"].access.bound()
        page = scene.fleet.do(member, member.route.scan(bound, cursor, limit, 10))
        found += [dict(record) for record in page.records]
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.rule("QRY-9", "QRY-8", "QRY-5")
@pytest.mark.parametrize("dial", [0, 10, 37, 50, 100])
@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_a_query_at_any_dial_answers_as_one_store_would(dial: int, limit: int) -> None:
    with Scene(Stage.PREPARE, preload=False) as scene:
        filled(scene)
        member = scene.members[0]
        wanted = [queried(scene, member, plan, 1000) for plan in PLANS]
        assert len(wanted[2]) == 40
        scene.operator.reach(Stage.DUAL_READ, dial)
        scene.fleet.network.faults = Faults(short=40.0)
        assert [queried(scene, member, plan, limit) for plan in PLANS] == wanted


@pytest.mark.rule("QRY-8", "QRY-10")
@pytest.mark.parametrize("dial", [0, 37, 100])
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_a_scan_at_any_dial_meets_each_record_once(dial: int, limit: int) -> None:
    with Scene(Stage.PREPARE, preload=False) as scene:
        filled(scene)
        scene.operator.reach(Stage.DUAL_READ, dial)
        found = scanned(scene, scene.members[0], limit)
        keys = sorted((r["owner"], r["item"]) for r in found)
        assert len(keys) == len(set(keys)) == 40
        assert keys == sorted(
            (r["owner"], r["item"]) for r in queried(scene, scene.members[0], PLANS[2], 1000)
        )


@pytest.mark.rule("QRY-10")
def test_a_scan_goes_on_over_dial_steps_and_ends_with_its_side() -> None:
    with Scene(Stage.PREPARE, preload=False) as scene:
        filled(scene)
        scene.operator.reach(Stage.DUAL_READ, 37)
        member, found = scene.members[0], []
        cursors: list[str | None] = [None]
        for dial in (37, 100, 0, 60, 100):
            scene.operator.dial(dial)
            bound = member.operations["items"].access.bound()
            page = scene.fleet.do(member, member.route.scan(bound, cursors[-1], 8, 10))
            found += [(r["owner"], r["item"]) for r in page.records]
            cursors.append(page.cursor)
        first = next(c for c in cursors if c is not None)
        assert first.startswith("source:")
        while cursors[-1] is not None:
            page = scene.fleet.do(
                member,
                member.route.scan(member.operations["items"].access.bound(), cursors[-1], 8, 10),
            )
            found += [(r["owner"], r["item"]) for r in page.records]
            cursors.append(page.cursor)
        assert len(found) == len(set(found)) == 40
        scene.operator.reach(Stage.TARGET_ONLY)
        with pytest.raises(CursorExpired, match="source"):
            scene.fleet.do(
                member,
                member.route.scan(member.operations["items"].access.bound(), first, 8, 10),
            )


@pytest.mark.rule("QRY-9", "DIA-2")
def test_a_query_waits_while_one_of_its_buckets_is_frozen() -> None:
    with Scene(Stage.DUAL_READ, 0, clients=0) as scene:
        fleet, member = scene.fleet, scene.members[0]
        scene.operator.verify()
        coordinator = scene.operator.coordinator
        at = fleet.setting
        fleet.do(
            scene.operator.member,
            coordinator.epochs.advanced(at, lambda now: frozen_step(now, 64, 64)),
        )
        fleet.run_until(lambda: scene.at(0).frozen is not None, 5, "a freeze")
        bound = member.operations["items"].access.bound()
        whole = fleet.spawn(member, member.route.query(bound, PLANS[2], None, 10, 10), "query")
        fleet.pass_time(0.5)
        assert not whole.done
        fleet.do(scene.operator.member, coordinator.abort(REQUEST))
        fleet.run_until(lambda: whole.done, 5, "the query")
        assert whole.error is None


@pytest.mark.rule("SHD-1")
def test_many_keys_of_both_homes_come_back_in_order() -> None:
    with Scene(Stage.DUAL_READ, 50, preload=False) as scene:
        filled(scene)
        keys = [(o, i) for i in (5, 1, 3) for o in OWNERS]
        got = scene.fleet.do(
            scene.members[0],
            scene.members[0].operations["items"].get_many(keys, "strong", None),
        )
        expected = {
            (r["owner"], r["item"]): r["v"] for r in queried(scene, scene.members[0], PLANS[2], 99)
        }
        assert [None if r is None else r["v"] for r in got] == [expected.get(k) for k in keys]
        commits = scene.fleet.watch.commits
        assert commits > 0
