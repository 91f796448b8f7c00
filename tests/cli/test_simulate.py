"""``polystore simulate``: a seed once more."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from polystore.cli.commands import main
from polystore.driver import ANYTHING
from polystore.migration import writing


def test_a_seed_runs_again_and_its_story_is_told() -> None:
    run = CliRunner().invoke(main, ["simulate", "--seed", "1", "--story"])
    assert run.exit_code == 0, run.output
    assert "every promise held" in run.output
    assert "o---" in run.output
    again = CliRunner().invoke(main, ["simulate", "--seed", "1", "--story", "--json"])
    assert json.loads(again.output)["broken"] == ""


def test_a_seed_that_breaks_a_promise_exits_with_1_and_shows_how(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing, "unchanged", lambda _: ANYTHING)
    told = ["simulate", "--tries", "2", "--seed"]
    runs = (CliRunner().invoke(main, [*told, str(seed)]) for seed in range(40))
    run = next(run for run in runs if run.exit_code)
    assert run.exit_code == 1
    assert "choices of" in run.output


def test_only_known_databases_are_imitated() -> None:
    run = CliRunner().invoke(main, ["simulate", "--seed", "1", "--pair", "memory,oracle"])
    assert run.exit_code == 2
    assert "dynamodb" in run.output
