"""Verification, shadow reads and repair: every planted difference, and no false one."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import attrs
import pytest

from polystore.comparing import Compare
from polystore.config import Agreed
from polystore.driver import ScanPage, Stored, Unreadable, Write
from polystore.driver.side import read_one
from polystore.errors import InvalidRequest, MigrationError, Unavailable, Unsupported
from polystore.migration import repair, verify
from polystore.migration import walk as walking
from polystore.migration.compare import summary
from polystore.migration.mirror import mirror_write, put_if_older
from polystore.migration.stages import SOURCE, TARGET, Setting, Stage
from polystore.migration.verify import Verifier
from polystore.migration.walk import Sample, Verified, Walk
from polystore.testing.simulator import ITEMS, ROUGH, Operator, Sent, Violation
from polystore.testing.simulator.faults import lost, refused
from polystore.values import Fields
from tests.migration.scene import Scene

KEY = ("ann", 1)


def fields(value: int) -> Fields:
    return {"owner": "ann", "item": 1, "v": value, "state": "open", "rank": 1}


def plant(scene: Scene, kind: str, home: str, mirror: str) -> None:
    """Make one difference of a kind, past the library."""
    at = scene.fleet.contents(home, "items")[KEY]
    stamp = at.stamp
    assert stamp is not None
    write: dict[str, Callable[[], tuple[str, Write]]] = {
        "missing": lambda: (mirror, Write(ITEMS, KEY, None)),
        "stale": lambda: (mirror, Write(ITEMS, KEY, fields(7), write_id="x", stamp=stamp - 1)),
        "different": lambda: (mirror, Write(ITEMS, KEY, fields(7), write_id="x", stamp=stamp)),
        "ahead": lambda: (mirror, Write(ITEMS, KEY, fields(7), write_id="x", stamp=stamp + 5)),
        "extra": lambda: (home, Write(ITEMS, KEY, None)),
        "foreign": lambda: (home, Write(ITEMS, KEY, fields(7))),
    }
    side, one = write[kind]()
    scene.fleet.plant(side, one)


KINDS = ("missing", "stale", "different", "ahead", "extra", "foreign")


@pytest.mark.rule("VER-1", "VER-5")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dial", [0, 100])
def test_each_planted_difference_is_found_and_repaired_from_the_home(kind: str, dial: int) -> None:
    with Scene(Stage.DUAL_READ, dial) as scene:
        home, mirror = (SOURCE, TARGET) if dial == 0 else (TARGET, SOURCE)
        scene.put(scene.members[0], KEY)
        scene.put(scene.members[0], KEY)
        before = scene.fleet.contents(home, "items")[KEY].fields
        plant(scene, kind, home, mirror)
        reported = scene.operator.verify(repair=False)["items"]
        assert {k: n for k, n in reported.kinds().items() if n} == {kind: 1}
        assert reported.open == 1
        found = scene.operator.verify()["items"]
        assert {k: n for k, n in found.kinds().items() if n} == {kind: 1}
        assert (found.open, found.repaired) == (0, 1)
        assert scene.operator.verify()["items"].discrepancies == []
        wanted = {"extra": None, "foreign": fields(7)}.get(kind, before)
        for side in (home, mirror):
            stored = scene.fleet.contents(side, "items")[KEY]
            assert stored.fields == wanted
        assert scene.fleet.differences() == []


@pytest.mark.rule("VER-5")
def test_copying_back_from_the_mirror_is_what_the_watch_would_see() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        scene.put(scene.members[0], KEY)
        plant(scene, "ahead", SOURCE, TARGET)

        async def copied_back() -> None:
            group = scene.operator.member.group
            stored = await read_one(group.sides[TARGET], ITEMS, KEY)
            assert stored is not None
            await put_if_older(
                group.sides[SOURCE], mirror_write(ITEMS, stored, scene.fleet.setting)
            )

        with pytest.raises(Violation, match=r"P5|P8"):
            scene.fleet.do(scene.operator.member, copied_back())


@pytest.mark.rule("VER-2", "VER-3", "VER-4", "STG-3")
@pytest.mark.parametrize("seed", range(3))
def test_live_writes_make_no_false_alarm(seed: int) -> None:
    with Scene(Stage.DUAL_READ, seed=seed, clients=3, faults=ROUGH) as scene:
        verified = 0
        for _ in range(20):
            try:
                found = scene.operator.verify()
            except (Unavailable, MigrationError):
                continue
            verified += 1
            for one in found.values():
                assert one.discrepancies == []
                assert one.equal + one.suspects >= one.walked[SOURCE]
        assert verified >= 3
        scene.rest()


@pytest.mark.rule("VER-1", "VER-5")
def test_differences_are_found_and_repaired_beside_live_writes() -> None:
    with Scene(Stage.DUAL_READ, clients=2) as scene:
        stamp = scene.fleet.setting.floor() + 1
        for item, kind in enumerate(("missing", "extra")):
            key = ("quiet", item)
            write = Write(
                ITEMS, key, {"owner": "quiet", "item": item, "v": 1, "state": "x", "rank": 1},
                write_id="x", stamp=stamp,
            )  # fmt: skip
            scene.fleet.plant(SOURCE if kind == "missing" else TARGET, write)
        found = scene.operator.verify()["items"]
        assert sorted(d.kind for d in found.discrepancies) == ["extra", "missing"]
        assert found.open == 0
        assert scene.fleet.contents(TARGET, "items")["quiet", 0].fields is not None
        assert scene.fleet.contents(TARGET, "items")["quiet", 1].fields is None
        scene.rest()
        scene.no_failures()


@pytest.mark.rule("VER-3")
def test_every_record_that_was_walked_is_compared_or_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = Setting(run=1, epoch=3, stage=Stage.DUAL_READ)
    records = [Stored(("ann", i), {"v": i}, None, "w", at.floor() + 1) for i in range(4)]

    def meets(side: str, stored: Stored) -> bool:
        walk.arrived(side, ScanPage([stored], None), 1)
        return walk.meets(side, stored.key, summary(at, stored))

    walk = Walk(at, ITEMS, {SOURCE: [], TARGET: []})
    monkeypatch.setattr(walking, "MOST_KEPT", 3)
    assert meets(SOURCE, records[0])
    assert meets(TARGET, records[0]), "its partner was kept"
    assert meets(TARGET, records[1])
    assert meets(SOURCE, attrs.evolve(records[1], stamp=at.floor() + 2)), "whichever came first"
    assert meets(SOURCE, records[2])
    assert meets(TARGET, records[0]), "a second time it is left over"
    assert meets(TARGET, records[3])
    assert meets(TARGET, records[3]), "what is kept needs no more room"
    assert not meets(TARGET, attrs.evolve(records[1], key=("bob", 1))), "no room"
    walk.compared(TARGET, ("bob", 1), equal=True)
    unreadable = Unreadable(("bob", 2), Unsupported("no"))
    walk.arrived(SOURCE, ScanPage([records[2]] * 2, None, [unreadable] * 2), 1)
    assert meets(SOURCE, records[2]), "it came again"
    left = {side: walk.left_over(side) for side in walk.kept}
    assert [key for key, _ in left[SOURCE]] == [("ann", 2)]
    assert [key for key, _ in left[TARGET]] == [("ann", 0), ("ann", 3)]
    with pytest.raises(MigrationError, match="the run has failed"):
        walk.reconcile()
    for side, kept in left.items():
        for key, _ in kept:
            walk.compared(side, key, equal=True)
    assert walk.found.equal == 2, "of the source"
    assert list(walk.suspects) == [("ann", 1)]


@pytest.mark.rule("VER-3")
@pytest.mark.parametrize("side", [SOURCE, TARGET])
@pytest.mark.parametrize("lossy", ["meets", "compared", "left_over", "arrived"])
def test_a_verification_that_loses_a_record_has_failed(
    lossy: str, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part of the walk in turn drops its first record, of one side."""
    part, dropped = getattr(Walk, lossy), list[object]()

    def dropping(walk: Walk, name: str, *more: Any, **equal: bool) -> object:
        if name != side or dropped or (lossy == "arrived" and not more[1]):
            return part(walk, name, *more, **equal)
        if lossy != "left_over":
            dropped.append(name)
            return True
        left = part(walk, name)
        dropped.extend(left[:1])
        return left[1:]

    with Scene(Stage.DUAL_READ) as scene:
        scene.put(scene.members[0], KEY)
        plant(scene, "missing" if side == SOURCE else "extra", SOURCE, TARGET)
        monkeypatch.setattr(Walk, lossy, dropping)
        with pytest.raises(MigrationError, match="the run has failed"):
            scene.operator.verify()
        assert dropped
        assert scene.fleet.setting.verified == 0


@pytest.mark.rule("VER-1", "VER-3")
@pytest.mark.parametrize("room", [0, 1, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_without_room_partners_are_looked_up(
    kind: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "MOST_KEPT", room)
    with Scene(Stage.DUAL_READ) as scene:
        scene.put(scene.members[0], KEY)
        scene.put(scene.members[0], KEY)
        clean = scene.operator.verify()["items"]
        assert (clean.suspects, clean.equal) == (0, clean.walked[SOURCE])
        plant(scene, kind, SOURCE, TARGET)
        found = scene.operator.verify()["items"]
        assert {k: n for k, n in found.kinds().items() if n} == {kind: 1}


@pytest.mark.rule("VER-6")
def test_a_sample_compares_a_share_of_both_sides() -> None:
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        for item in range(400):
            scene.fleet.plant(SOURCE, Write(ITEMS, ("old", item), {**fields(1), "item": item}))
        scene.operator.copy()
        scene.operator.advance()
        stamp = scene.fleet.setting.floor() + 1
        for item in range(400):  # on the target alone
            extra = Write(ITEMS, ("new", item), fields(1), write_id="x", stamp=stamp)
            scene.fleet.plant(TARGET, extra)
        for item in range(0, 400, 2):
            scene.fleet.plant(TARGET, Write(ITEMS, ("old", item), None))

        def sampled(share: float, seed: int) -> Verified:
            fleet, session = scene.operator.coordinator.fleet, scene.operator.member.session
            verifier = Verifier(session, fleet, repair=False, sample=Sample(share=share, seed=seed))
            return scene.fleet.do(scene.operator.member, verifier.run())["items"]

        one, again, other = sampled(20, 1), sampled(20, 1), sampled(20, 2)
        assert {d.key for d in one.discrepancies} == {d.key for d in again.discrepancies}
        assert {d.key for d in one.discrepancies} != {d.key for d in other.discrepancies}
        for found in (one, other):
            assert 40 <= found.walked[SOURCE] <= 120
            assert 60 <= found.walked[TARGET] <= 180
            assert min(found.kinds()[kind] for kind in ("missing", "extra")) >= 10
            assert sum(found.kinds().values()) == found.open
        assert sampled(100, 1).kinds() == {**dict.fromkeys(KINDS, 0), "missing": 200, "extra": 400}


@pytest.mark.rule("VER-6")
def test_a_clean_sample_opens_no_gate() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        member = scene.operator.member
        scene.fleet.do(
            member,
            member.group.ledger.change_setting(lambda now: attrs.evolve(now, verified=0)),
        )
        verifier = Verifier(
            member.session, scene.operator.coordinator.fleet, sample=Sample(share=100)
        )
        assert scene.fleet.do(member, verifier.run())["items"].open == 0
        assert scene.fleet.setting.verified == 0


@pytest.mark.rule("VER-3")
def test_a_walk_that_does_not_end_is_a_failed_run() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        down = id(scene.fleet.drivers[TARGET])
        scene.fleet.network.down.add(down)
        with pytest.raises(Unavailable):
            scene.operator.verify()
        assert scene.fleet.setting.verified == 0
        scene.fleet.network.down.clear()
        scene.operator.verify()
        assert scene.fleet.setting.verified > 0


def test_a_home_that_moves_meanwhile_fails_the_verification() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        scene.operator.verify()
        fleet, other = scene.fleet, Operator(scene.fleet, scene.fleet.member("other"))
        scene.rule(
            lambda s: lost(s, 3.0) if s.task.startswith("verify") and s.method == "scan" else None
        )
        task = fleet.spawn(
            other.member,
            Verifier(other.member.session, scene.operator.coordinator.fleet).run(),
            "verify",
        )
        fleet.pass_time(1.0)
        scene.operator.dial(100)
        fleet.network.rules.clear()
        fleet.run_until(lambda: task.done, 60, "the verification")
        assert isinstance(task.error, MigrationError)


@pytest.mark.rule("SHD-1", "SHD-2")
def test_shadow_reads_find_a_difference_and_it_is_repaired() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        member = scene.members[0]
        written = scene.put(member, KEY)
        plant(scene, "different", SOURCE, TARGET)
        assert scene.get(member, KEY) == written.argument, "the answer is the home's"
        scene.fleet.run_until(lambda: scene.fleet.differences() == [], 30, "its repair")
        scene.fleet.run_until(lambda: bool(member.keeper.discrepancies), 5, "the report")
        (found,) = member.keeper.discrepancies
        assert (found.kind, found.repaired) == ("different", True)
        assert scene.get(member, KEY) == written.argument
        scene.rest(alarms=True)


@pytest.mark.rule("SHD-1")
@pytest.mark.parametrize("share", [0, 30, 100])
def test_the_set_share_of_reads_is_compared(share: int) -> None:
    with Scene(Stage.DUAL_READ, preload=False) as scene:
        member, fleet = scene.members[0], scene.fleet
        fleet.do(
            scene.operator.member,
            scene.operator.member.group.ledger.change_setting(
                lambda now: attrs.evolve(now, shadow=share)
            ),
        )
        scene.operator.verify()
        scene.operator.dial(100)  # the share goes with the next epoch
        scene.operator.dial(0)
        asked: list[Sent] = []

        def count(sent: Sent) -> None:
            if sent.method == "read" and sent.call.side == TARGET and sent.process == "p0":
                asked.append(sent)

        scene.rule(count)
        for item in range(200):
            scene.get(member, ("ann", item))
        assert share - 12 <= len(asked) / 2 <= share + 12
        assert len(asked) == 2 * share or 0 < share < 100


@pytest.mark.rule("SHD-3")
def test_a_mirror_that_is_gone_fails_no_read() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        member = scene.members[0]
        written = scene.put(member, KEY)
        for rule in (
            lambda s: refused(Unavailable("injected")) if s.call.side == TARGET else None,
            lambda s: lost(s) if s.call.side == TARGET else None,
        ):
            scene.rule(rule)
            assert scene.get(member, KEY) == written.argument
            scene.fleet.network.rules.clear()
        scene.no_failures()
        scene.rest()


@pytest.mark.rule("VER-2")
def test_a_side_that_is_left_is_no_discrepancy() -> None:
    """The suspects of dual-read are looked at when target-only has begun."""
    with Scene(Stage.DUAL_READ, 100) as scene:
        member = scene.operator.member
        scene.put(scene.members[0], KEY)
        plant(scene, "stale", TARGET, SOURCE)
        scene.operator.verify()
        plant(scene, "stale", TARGET, SOURCE)
        scene.operator.advance()
        found = scene.fleet.do(
            member,
            repair.certain(member.group, scene.operator.coordinator.fleet, [("items", KEY)]),
        )
        assert found == []


def many(scene: Scene, count: int = 60) -> None:
    """Records of the source, enough for several pages."""
    for item in range(count):
        scene.fleet.plant(SOURCE, Write(ITEMS, ("old", item), {**fields(1), "item": item}))


def verifying(scene: Scene, **how: Any) -> Verifier:
    operator = scene.operator
    return Verifier(operator.member.session, operator.coordinator.fleet, **how)


class Died(Exception):
    """The process of a verification."""


@pytest.mark.rule("VER-9", "VER-3", "VER-1")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dies", [6, 9, 14])
def test_a_verification_that_died_is_gone_on_with_and_reconciles(
    kind: str, dies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "PAGE", 5)
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        many(scene)
        scene.operator.copy()
        scene.operator.advance()
        scene.put(scene.members[0], KEY)
        scene.put(scene.members[0], KEY)
        plant(scene, kind, SOURCE, TARGET)
        scanned: list[str] = []

        def until_it_dies(_name: str, side: str, _count: int) -> None:
            scanned.append(side)
            if len(scanned) == dies:
                raise Died

        member = scene.operator.member
        first = verifying(scene, checkpoint=0.0, progress=until_it_dies)
        with pytest.raises(Died):
            scene.fleet.do(member, first.run())
        pages: list[str] = []
        second = verifying(scene, progress=lambda _name, side, _count: pages.append(side))
        found = scene.fleet.do(member, second.run())["items"]
        whole: list[str] = []
        third = verifying(scene, progress=lambda _name, side, _count: whole.append(side))
        again = scene.fleet.do(member, third.run())["items"]
        assert len(pages) < len(whole), "what was walked is not walked again"
        assert again.discrepancies == []
        assert found.walked[SOURCE] >= again.walked[SOURCE] - 1
        assert [(d.key, d.kind, d.repaired) for d in found.discrepancies] == [(KEY, kind, True)]
        assert scene.fleet.setting.verified > 0
        assert scene.fleet.differences() == []


@pytest.mark.rule("VER-9")
@pytest.mark.parametrize("why", ["fresh", "old", "dial", "repair", "rules", "copy"])
def test_what_cannot_be_gone_on_with_is_begun_anew(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "PAGE", 5)
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        many(scene)
        scene.operator.copy()
        scene.operator.advance()
        member, pages = scene.operator.member, list[str]()
        if why == "old":
            agreed = Agreed(verified=20.0)
            member.group.config = attrs.evolve(member.group.config, gates=agreed)

        def count(_name: str, side: str, _count: int) -> None:
            pages.append(side)
            if len(pages) == 9:
                raise Died

        with pytest.raises(Died):
            scene.fleet.do(member, verifying(scene, checkpoint=0.0, progress=count).run())
        if why == "old":
            scene.fleet.pass_time(25.0)
        if why == "dial":
            scene.operator.verify()
            scene.operator.dial(50.0)
        if why == "rules":
            items = attrs.evolve(ITEMS, compare=Compare(ignore=["rank"]))
            collections = {**member.group.collections, "items": items}
            member.group.collections = MappingProxyType(collections)
        if why == "copy":
            for _ in range(2):
                scene.operator.back()
            scene.operator.reach(Stage.DUAL_READ)
        whole: list[str] = []
        how = {"fresh": why == "fresh", "repair": why != "repair"}
        progress = lambda _name, side, _count: whole.append(side)  # noqa: E731
        found = scene.fleet.do(member, verifying(scene, progress=progress, **how).run())["items"]
        assert found.walked == {SOURCE: 60, TARGET: 60}
        again: list[str] = []
        progress = lambda _name, side, _count: again.append(side)  # noqa: E731
        scene.fleet.do(member, verifying(scene, progress=progress, fresh=True).run())
        assert len(whole) == len(again)


@pytest.mark.rule("VER-9")
def test_of_two_that_go_on_with_one_run_both_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "PAGE", 5)
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        many(scene)
        scene.operator.copy()
        scene.operator.advance()
        scene.fleet.plant(TARGET, Write(ITEMS, ("old", 3), None))
        member, other = scene.operator.member, Operator(scene.fleet)
        one = scene.fleet.spawn(member, verifying(scene, checkpoint=0.0).run(), "one")
        fleet = other.coordinator.fleet
        verifier = Verifier(other.member.session, fleet, checkpoint=0.0)
        two = scene.fleet.spawn(other.member, verifier.run(), "two")
        for task in (one, two):
            found = scene.fleet.finish(task, 120.0)["items"]
            assert found.open == 0
            assert found.walked[SOURCE] == 60
        assert scene.fleet.differences() == []


@pytest.mark.rule("VER-10")
def test_what_was_touched_is_compared_with_less_reading() -> None:
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        many(scene)
        scene.operator.copy()
        scene.operator.advance()
        scene.put(scene.members[0], KEY)
        scene.fleet.plant(TARGET, Write(ITEMS, KEY, None))
        scene.fleet.plant(TARGET, Write(ITEMS, ("old", 3), None))  # nobody has written it
        verified = scene.fleet.setting.verified
        reads: list[int] = []
        scene.rule(
            lambda s: (
                reads.append(len(s.call.arguments[1]))
                if s.method == "read" and s.call.side == TARGET
                else None
            )
        )
        member = scene.operator.member
        found = scene.fleet.do(member, verifying(scene, touched=True).run())["items"]
        assert [(d.key, d.kind) for d in found.discrepancies] == [(KEY, "missing")]
        assert found.walked == {SOURCE: 61, TARGET: 0}
        assert sum(reads) < 10
        assert scene.fleet.setting.verified == verified
        rest = scene.operator.verify()["items"]
        assert [(d.key, d.kind) for d in rest.discrepancies] == [(("old", 3), "missing")]
        scene.operator.dial(50.0)
        found = scene.fleet.do(member, verifying(scene, touched=True).run())["items"]
        assert found.discrepancies == []
        assert min(found.walked.values()) > 0, "each side for the keys that have their home there"


@pytest.mark.rule("VER-10")
def test_a_sample_of_what_was_touched_is_refused() -> None:
    with Scene(Stage.DUAL_READ) as scene, pytest.raises(InvalidRequest, match="one of the two"):
        verifying(scene, touched=True, sample=Sample(share=10))
