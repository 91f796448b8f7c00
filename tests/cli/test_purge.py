"""``polystore purge``: what has expired goes, in a group as its stage wants it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

import polystore
from tests.cli.conftest import Polystore, run
from tests.cli.test_migrate import WHY

LONG_AGO, LATE = datetime(2000, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)


@pytest.mark.rule("EXP-8", "CLI-1", "CLI-2")
def test_purging_by_command_before_and_during_a_migration(
    created: Path, migrate: Polystore
) -> None:
    def fill() -> None:
        with polystore.open(created) as store:
            for city, moment in enumerate((LONG_AGO, LATE, None, LONG_AGO)):
                store["cities"].put({"country": "c", "city": city}, expires_at=moment)

    purge = ("purge", "--json", "--config", str(created))
    fill()
    assert run(*purge).data == {"purged": {"cities": 2, "notes": 0}}
    assert migrate("start", *WHY).code == 0
    assert run("preflight", "--config", str(created)).code == 0
    assert migrate("advance", *WHY, "--sole-access").code == 0
    fill()
    assert run(*purge, "--collection", "notes").data == {"purged": {"notes": 0}}
    done = run("purge", "--config", str(created), "--rate", "1000")
    assert (done.code, "cities: 2 expired records removed" in done.out) == (0, True)
    with polystore.open(created) as store:
        assert sorted(r.key for r in store["cities"].scan()) == [("c", 1), ("c", 2)]


@pytest.mark.rule("CLI-1", "CLI-3")
@pytest.mark.parametrize("wrong", [("--rate", "0"), ("--collection", "nothing")])
def test_a_wrong_purge_is_exit_code_2(created: Path, wrong: tuple[str, str]) -> None:
    done = run("purge", "--config", str(created), *wrong)
    assert done.code == 2
    assert "Traceback" not in done.err
