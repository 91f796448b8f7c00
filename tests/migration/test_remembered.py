"""A write is tried on what this process wrote last, or on "absent"; the commit decides (WR-11)."""

from __future__ import annotations

from typing import Any

import pytest

from polystore.conditions import If
from polystore.driver import ANYTHING, Write
from polystore.driver.contract import Stored
from polystore.migration.remembered import MOST, SURE, Remembered
from polystore.migration.stages import SOURCE, Stage
from polystore.operations import delete_verb, put_verb
from polystore.testing.simulator import ITEMS, Fate, Sent
from tests.migration.scene import Scene

pytestmark = pytest.mark.rule("WR-11")

KEY = ("ann", 1)
STAMPED = [Stage.PREPARE, Stage.DUAL_WRITE, Stage.TARGET_ONLY]


def home_calls(scene: Scene) -> list[str]:
    """The methods that the first process calls at the home, from now on."""
    seen: list[str] = []

    def rule(sent: Sent) -> Fate | None:
        if sent.process == "p0" and sent.call.side in ("source", "target") and "task" in sent.task:
            name = getattr(sent.call.arguments[0], "name", None)
            if sent.method == "commit" or name == "items":
                seen.append(sent.method)
        return None

    scene.rule(rule)
    return seen


@pytest.mark.parametrize("stage", STAMPED)
def test_a_put_of_what_was_just_written_is_one_call(stage: Stage) -> None:
    with Scene(stage) as scene:
        member = scene.members[0]
        scene.put(member, KEY)
        seen = home_calls(scene)
        scene.put(member, KEY)
        scene.delete(member, KEY)
        scene.put(member, KEY)
        assert seen == ["commit"] * 3
        scene.no_failures()
        scene.rest()


def test_what_rests_on_the_version_just_written_is_one_call() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        member = scene.members[0]
        items = member.operations["items"]

        def put(value: int, when: Any) -> Any:
            fields = {"owner": "ann", "item": 1, "v": value, "state": "x", "rank": 1}
            return scene.load._write(member, KEY, "put", value, items.put(fields, when, None))

        scene.fleet.do(member, put(scene.load.value(), If.any))
        stored = scene.fleet.contents(SOURCE, "items")[KEY]
        assert stored.write_id is not None
        record = scene.fleet.do(member, items.get(KEY, "strong", None))
        assert record is not None
        seen = home_calls(scene)
        scene.fleet.do(member, put(scene.load.value(), If.version(record.version)))
        assert seen == ["commit"]
        scene.no_failures()
        scene.rest()


@pytest.mark.rule("WR-5")
@pytest.mark.parametrize("muted", [False, True])
def test_a_wrong_guess_costs_a_call_and_nothing_else(muted: bool) -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        member, other = scene.members[:2]
        scene.put(member, KEY)
        scene.put(other, KEY)
        seen = home_calls(scene)
        met = scene.once(
            lambda s: Fate(muted=muted) if s.method == "commit" and s.process == "p0" else None
        )
        operation = scene.put(member, KEY)
        assert met
        assert seen.count("commit") == 2
        assert scene.get(other, KEY) == operation.argument
        scene.no_failures()
        scene.rest()


@pytest.mark.rule("REC-3", "CON-1")
def test_an_insert_of_what_another_wrote_is_refused_on_what_is_there() -> None:
    with Scene(Stage.DUAL_WRITE, preload=False) as scene:
        member, other = scene.members[:2]
        first = scene.put(other, KEY)
        fields = {"owner": "ann", "item": 1, "v": scene.load.value(), "state": "x", "rank": 1}
        put = member.operations["items"].put(fields, If.absent, None)
        told = scene.fleet.do(member, scene.load._write(member, KEY, "insert", fields["v"], put))
        assert told.outcome == "refused"
        assert scene.get(member, KEY) == first.argument
        scene.rest()


def test_guesses_are_learnt_and_bounded() -> None:
    remembered = Remembered()
    place, put = (SOURCE, "items", KEY), put_verb({}, If.any)
    assert remembered.guess(place, put) is None
    for _ in range(SURE):
        remembered.saw(place, None)
    guess = remembered.guess(place, put)
    assert guess is not None
    assert guess.stored is None
    assert remembered.guess(place, delete_verb(If.any)) is None, (
        "a delete of nothing writes nothing"
    )
    remembered.wrong(place, guess)
    assert remembered.guess(place, put) is None
    for item in range(MOST + 5):
        write = Write(ITEMS, ("bob", item), {}, ANYTHING, "w", 1)
        remembered.wrote(SOURCE, write, item)
    assert len(remembered._states) == MOST
    last = (SOURCE, "items", ("bob", MOST + 4))
    assert remembered.guess(last, put) is not None
    remembered.saw(last, Stored(("bob", MOST + 4), {}, "another"))
    assert remembered.guess(last, put) is None
