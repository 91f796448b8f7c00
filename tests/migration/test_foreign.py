"""Writers past the library; what comparisons leave out; the paths of what differs."""

from __future__ import annotations

import attrs
import pytest

from polystore.comparing import Compare
from polystore.driver import ANYTHING, Write
from polystore.errors import ConfigError, GateClosed
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.migration.status import status_of
from polystore.observe import Event
from polystore.observe.events import DISCREPANCY
from polystore.schema import ADOPT, HALT, Collection
from polystore.testing.simulator import ITEMS, TOTALS
from polystore.testing.simulator.faults import lost
from polystore.values import Fields
from tests.migration.scene import Scene

KEY = ("ann", 1)


def fields(value: object, rank: int = 1) -> Fields:
    return {"owner": "ann", "item": 1, "v": value, "state": "open", "rank": rank}  # type: ignore[dict-item]


def halting(scene: Scene) -> None:
    """Foreign records stop the run, as every process of it is configured."""
    for member in (*scene.members, scene.operator.member):
        member.group.config = attrs.evolve(member.group.config, foreign=HALT)


@pytest.mark.rule("VER-8", "GATE-14")
def test_a_foreign_record_stops_a_run_that_halts() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        halting(scene)
        operator = scene.operator
        scene.put(scene.members[0], KEY)
        scene.fleet.plant(SOURCE, Write(ITEMS, KEY, fields(7)))
        before = scene.fleet.contents(TARGET, "items")[KEY].fields
        found = operator.verify()["items"]
        assert (found.kinds()["foreign"], found.open, found.repaired) == (1, 1, 0)
        assert scene.fleet.contents(TARGET, "items")[KEY].fields == before
        assert scene.fleet.contents(SOURCE, "items")[KEY].fields == fields(7)
        with pytest.raises(GateClosed) as raised:
            operator.dial(10.0)
        assert "no-foreign" in raised.value.gates
        scene.put(scene.members[0], KEY)  # the writer was stopped; the application goes on
        operator.verify()
        operator.dial(10.0)
        scene.rest()


@pytest.mark.rule("VER-8")
def test_a_shadow_read_that_meets_a_foreign_record_stops_the_run_too() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        halting(scene)
        scene.put(scene.members[0], KEY)
        scene.operator.verify()
        scene.operator.dial(10.0)
        side = scene.fleet.setting.home(scene.members[0].group.bucket(KEY))
        scene.fleet.plant(side, Write(ITEMS, KEY, fields(7)))
        scene.get(scene.members[0], KEY)
        scene.fleet.pass_time(10)
        with pytest.raises(GateClosed) as raised:
            scene.operator.dial(50.0)
        assert raised.value.gates == ("no-foreign",)
        scene.operator.dial(0.0)  # what leads back stays open


@pytest.mark.rule("VER-8", "GATE-14")
def test_what_is_met_behind_the_back_of_a_verification_stays_noted() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        halting(scene)
        operator, fleet, member = scene.operator, scene.fleet, scene.members[0]
        scene.put(member, KEY)
        operator.verify()
        late = scene.rule(
            lambda s: lost(s, 3.0) if s.method == "scan" and s.call.arguments[0] is TOTALS else None
        )
        task = fleet.spawn(operator.member, operator.verifier().run(), "verify")
        fleet.pass_time(2.0)  # this collection has been walked
        fleet.plant(SOURCE, Write(ITEMS, KEY, fields(7)))
        scene.get(member, KEY)
        fleet.pass_time(10.0)
        fleet.network.rules.remove(late)
        found = fleet.finish(task, 120.0)["items"]
        assert found.discrepancies == []
        with pytest.raises(GateClosed) as raised:
            operator.dial(10.0)
        assert "no-foreign" in raised.value.gates
        assert operator.verify()["items"].kinds()["foreign"] == 1


@pytest.mark.rule("VER-8", "VER-11")
@pytest.mark.parametrize("halts", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_what_somebody_wrote_to_the_target_is_foreign(known: bool, halts: bool) -> None:
    key = KEY if known else ("eve", 1)
    with Scene(Stage.DUAL_READ) as scene:
        if halts:
            halting(scene)
        scene.put(scene.members[0], KEY)
        at_home = scene.fleet.contents(SOURCE, "items")[KEY].fields if known else None
        theirs: Fields = {**fields(7), "owner": key[0]}
        scene.fleet.plant(TARGET, Write(ITEMS, key, theirs))
        found = scene.operator.verify()["items"]
        assert {kind: n for kind, n in found.kinds().items() if n} == {"foreign": 1}
        assert found.open == halts
        wanted = theirs if halts else at_home
        assert scene.fleet.contents(TARGET, "items")[key].fields == wanted


@pytest.mark.rule("VER-8")
def test_it_is_adopted_where_nothing_else_is_said() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        scene.put(scene.members[0], KEY)
        scene.fleet.plant(SOURCE, Write(ITEMS, KEY, fields(7)))
        assert scene.operator.verify()["items"].repaired == 1
        assert scene.fleet.contents(TARGET, "items")[KEY].fields == fields(7)
        scene.operator.verify()
        scene.operator.dial(10.0)


@pytest.mark.rule("VER-8")
@pytest.mark.parametrize(
    ("of_group", "of_collection", "halts"),
    [(ADOPT, HALT, True), (HALT, ADOPT, False), (HALT, None, True), (ADOPT, None, False)],
)
def test_a_collection_may_say_otherwise(
    of_group: str, of_collection: str | None, halts: bool
) -> None:
    items = attrs.evolve(ITEMS, foreign=of_collection)
    with Scene(Stage.DUAL_READ, collections=(items, TOTALS)) as scene:
        group = scene.operator.member.group
        group.config = attrs.evolve(group.config, foreign=of_group)
        scene.put(scene.members[0], KEY)
        scene.fleet.plant(SOURCE, Write(items, KEY, fields(7)))
        assert scene.operator.verify()["items"].open == halts


@pytest.mark.rule("VER-8")
def test_a_word_that_is_neither_is_refused() -> None:
    with pytest.raises(ConfigError, match="'x': foreign is adopt or halt"):
        Collection("x", ["id"], foreign="ignore")
    with Scene() as scene, pytest.raises(ConfigError, match="foreign is adopt or halt"):
        attrs.evolve(scene.members[0].group.config, foreign="ignore")


@pytest.mark.rule("VER-7", "SHD-4")
def test_what_is_left_out_is_no_difference_and_what_differs_is_named_by_path() -> None:
    compare = Compare(ignore=["v"], normalise={"state": ["casefold"]})
    items = attrs.evolve(ITEMS, compare=compare)
    with Scene(Stage.DUAL_READ, collections=(items, TOTALS)) as scene:
        told: list[Event] = []
        for member in (*scene.members, scene.operator.member):
            member.group._notify = told.append
        scene.put(scene.members[0], KEY)
        at = scene.fleet.contents(TARGET, "items")[KEY]
        assert at.fields is not None
        state = str(at.fields["state"]).upper()
        alike: Fields = {**at.fields, "v": -1, "state": state}
        planted = Write(items, KEY, alike, ANYTHING, at.write_id, at.stamp, at.expires)
        scene.fleet.plant(TARGET, planted)
        assert scene.operator.verify()["items"].discrepancies == []
        scene.get(scene.members[0], KEY)
        scene.fleet.pass_time(5)
        assert scene.fleet.contents(TARGET, "items")[KEY].fields == alike, "it is left as it is"
        differing: Fields = {**alike, "rank": 99}
        planted.fields = differing
        scene.fleet.plant(TARGET, planted)
        scene.get(scene.members[0], KEY)
        scene.fleet.pass_time(10)
        (event,) = [e for e in told if e.kind == DISCREPANCY]
        assert event.details["paths"] == ("rank",)
        assert event.details["repaired"]
        assert "99" not in str(event.details["paths"])
        repaired = scene.fleet.contents(TARGET, "items")[KEY].fields
        home = scene.fleet.contents(SOURCE, "items")[KEY].fields
        assert repaired == home, "a repair writes the true record"
        scene.fleet.pass_time(5)
        counts = scene.fleet.do(scene.members[0], status_of(scene.members[0].group)).counts
        assert counts["differs:items.rank"] == 1
        scene.rest(alarms=True)
