"""Releases that speak different versions of the protocol."""

from __future__ import annotations

import attrs
import pytest

from polystore.errors import MigrationError
from polystore.migration.stages import SPEAKS, Stage
from tests.migration.scene import Scene


@pytest.mark.rule("EPO-12")
@pytest.mark.parametrize("later", [0, 1])
def test_a_release_that_does_not_know_the_run_does_not_join_it(later: int) -> None:
    with Scene(Stage.DUAL_READ) as scene:
        member = scene.operator.member
        assert scene.fleet.setting.speaks == SPEAKS
        scene.fleet.do(
            member,
            member.group.ledger.change_setting(lambda s: attrs.evolve(s, speaks=SPEAKS + later)),
        )
        late = scene.fleet.member("late")
        scene.fleet.pass_time(5)
        assert (late.session.incarnation is None) is bool(later)
        if later:
            with pytest.raises(MigrationError, match="bring this process to that release"):
                scene.fleet.do(late, late.session.join())
            assert not [item for item in scene.fleet.watch.members if "late" in item]
        scene.put(scene.members[0], ("ann", 1))  # who is a member stays one
