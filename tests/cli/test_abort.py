"""A step that one member never acknowledges, at the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from polystore.cli.place import opened
from polystore.migration.epochs import Epochs
from polystore.migration.group import OpenGroup
from polystore.migration.member import first_record
from polystore.migration.stages import Setting, Stage, after
from polystore.runner import SyncRunner
from polystore.values import Fields
from tests.cli.conftest import Polystore, run
from tests.cli.test_migrate import WHY, forward, stage

pytestmark = [pytest.mark.usefixtures("filled"), pytest.mark.timeout(120)]


async def _silent(group: OpenGroup) -> None:
    """A member that died without a word."""
    setting = await group.ledger.setting()
    about: Fields = {"host": "gone", "pid": 1, "version": "test"}
    await group.ledger.put("member/gone", first_record(setting, about), None)


async def _announced(group: OpenGroup) -> Setting:
    """A stage change whose coordinator dies at once."""
    at = await group.ledger.setting()
    return await Epochs(group).advanced(at, lambda now: after(now, Stage.PREPARE))


@pytest.mark.rule("ABT-1", "ABT-3")
def test_a_step_goes_back_after_its_time_or_when_it_is_aborted(
    migrate: Polystore, filled: Path
) -> None:
    forward(migrate, ("start", *WHY))
    with opened(filled, None) as ready:
        SyncRunner().run(_silent(ready.group))
    late = migrate("advance", *WHY, "--sole-access", "--within", "0.2")
    assert late.code == 1
    assert "not acknowledged by gone" in late.err
    assert "back in armed" in late.err
    assert stage(migrate) == "armed"
    refused = migrate("abort", *WHY)
    assert refused.code == 1
    assert "nothing is to be given up" in refused.err
    # What was written plainly meanwhile is of a new run, which wants a preflight of its own.
    assert run("preflight", "--config", str(filled)).code == 0
    forward(migrate, ("advance", *WHY, "--sole-access"))  # by then the dead one is recovered


@pytest.mark.rule("ABT-3", "HIS-1")
def test_what_a_killed_command_left_is_aborted(migrate: Polystore, filled: Path) -> None:
    forward(migrate, ("start", *WHY))
    with opened(filled, None) as ready:
        SyncRunner().run(_silent(ready.group))
        SyncRunner().run(_announced(ready.group))
    assert stage(migrate) == "prepare"
    done = migrate("abort", "--why", "the command was killed", "--json")
    assert (done.code, done.data["stage"]) == (0, "armed")
    told = migrate("history", "--json").data["history"][-1]
    assert (told["what"], told["why"]) == ("abort of prepare", "the command was killed")
    assert migrate("abort", *WHY).code == 1
