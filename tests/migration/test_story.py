"""A run that fails is made shorter, and told; the same failure always in the same way."""

from __future__ import annotations

import attrs
import pytest

from polystore.driver import ANYTHING
from polystore.migration import writing
from polystore.testing.simulator import PAIRS, Choices, Trial
from polystore.testing.simulator.shrink import Shown, failing, shown
from polystore.testing.simulator.story import named, told_run

SHORT = attrs.evolve(PAIRS, operations=0, seconds=1.5)


def play(choices: Choices) -> Trial:
    return Trial(choices, SHORT)


def broken(seed: int) -> Shown:
    return shown(play, Choices.seeded(seed), tries=12)


def test_a_failing_seed_is_found_shortened_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "unchanged", lambda _: ANYTHING)  # no commit compares
    seed = next(s for s in range(500) if failing(play, Choices.seeded(s)))
    run = broken(seed)
    assert run.choices < run.whole  # a little, after these few tries
    story = list(told_run(run.text, run.trace))
    assert story == list(told_run(run.text, broken(seed).trace))
    assert len(story) < len(run.trace)
    assert story[0] == run.text
    assert "source" in story[5]
    assert any("o---" in line or "---o" in line for line in story[6:])
    assert any("epoch" in line for line in story)


def test_a_seed_without_its_fault_has_nothing_to_tell() -> None:
    run = broken(1)
    assert run.text == ""
    assert run.choices == run.whole
    assert next(iter(told_run(run.text, run.trace))) == "every promise held"


def test_a_story_is_about_the_keys_that_the_violation_names() -> None:
    assert named("P6: ('items', ('ann', 3)) on the target fell") == {("ann", 3)}
    assert named("no order explains ('pair', 'bob'):") >= {("bob",), ("bob", 0), ("pair", "bob")}
    assert named("waited 60 s in vain") == set()
