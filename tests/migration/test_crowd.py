"""Many members: an epoch is theirs within moments, and nobody notices."""

from __future__ import annotations

import pytest

from benchmarks.figures.protocol.crowd import measured


@pytest.mark.rule("EPO-2", "STG-3")
def test_sixty_members_acknowledge_a_stage_and_a_dial_step_under_load() -> None:
    found = measured(60)
    assert len(found.seconds) == 3
    assert max(found.seconds.values()) < 2.0
    assert found.operations > 100
    assert found.failed == 0
