"""The figure of verification, small: every kind of fault is found and repaired, under load."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.figures.protocol.verification import verified
from polystore.migration.compare import KINDS


@pytest.mark.rule("VER-1", "VER-2", "VER-3", "VER-5")
def test_planted_faults_of_every_kind_are_found_and_repaired_under_live_writes(
    tmp_path: Path,
) -> None:
    source, target = (f"sqlite:///{tmp_path / side}.db" for side in ("source", "target"))
    found = verified(source, target, records=400, faults=5, rate=100)
    assert found.kinds == dict.fromkeys(KINDS, 5)
    assert (found.found, found.false, found.left) == (found.planted, 0, 0)
    assert found.errors == 0
    assert found.writes > 0
