"""The strength of the suite: what is broken is caught by the rule that names its mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.kills import KILLS, NAMED
from tests.mutants.procedures import PROCEDURES
from tests.mutants.sessions import hunted, session

pytestmark = pytest.mark.slow

PARTS = 6
"""Some twenty seconds each, so that no run of the tests waits for one of minutes."""


@pytest.mark.rule("CNF-5")
@pytest.mark.parametrize("part", range(PARTS))
def test_each_broken_driver_is_caught_by_its_rule(tmp_path: Path, part: int) -> None:
    chosen = f"--hunt-part={part}/{PARTS}"
    told = hunted("tests.mutants.hunt", tmp_path, "--polystore-profile=smoke", chosen)
    escaped = {
        name: f"{KILLS[NAMED[name]]}, {told['ran'][name]} tests"
        for name in [*NAMED][part::PARTS]
        if name not in told["caught"]
    }
    assert escaped == {}


@pytest.mark.rule("CNF-5")
def test_each_broken_procedure_is_caught_by_its_rule(tmp_path: Path) -> None:
    told = hunted("tests.mutants.hunt_pairs", tmp_path, "--polystore-profile=default")
    escaped = {
        name: f"{broken.rule}, {told['ran'][name]} cases"
        for name, broken in PROCEDURES.items()
        if name not in told["caught"]
    }
    assert escaped == {}


@pytest.mark.rule("CNF-5", "CNF-4")
def test_a_sound_driver_that_promises_the_least_passes(tmp_path: Path) -> None:
    done = session(
        "tests.mutants.sound", tmp_path, "--polystore=least", "--polystore-profile=smoke"
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr


def test_there_are_60_and_more() -> None:
    assert len(KILLS) + len(PROCEDURES) >= 60
