"""``polystore preflight``: what a person and a program see of it, and what they do next."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from polystore.cli.place import opened
from polystore.driver import Write
from polystore.migration.ledger import Ledger
from polystore.migration.preflight.checkpoints import begun, parts
from polystore.migration.stages import SOURCE
from polystore.runner import SyncRunner
from tests.cli.conftest import Done, Polystore, run
from tests.cli.test_migrate import WHY, forward, stage

pytestmark = pytest.mark.timeout(120)
REJECTED = "cities/indexes.empty@sqlite:state"


def preflight(config: Path, *arguments: str) -> Done:
    """The command on this configuration."""
    return run("preflight", "--config", str(config), *arguments)


def policy(config: Path, word: str) -> None:
    """Give the index of the cities a policy, and create it so."""
    text = config.read_text().partition("[collections.cities.sqlite")[0]
    config.write_text(f'{text}[collections.cities.sqlite.policy]\nby_state = "{word}"\n')
    assert run("create", "--config", str(config)).code == 0


def plant(config: Path, count: int, state: str = "") -> None:
    """Cities that somebody else has written to the source."""
    with opened(config, None) as member:
        cities = member.group.collection("cities")
        writes = [
            Write(cities, ("c1", n), {"country": "c1", "city": n, "state": state})
            for n in range(count)
        ]
        member.group.sides[SOURCE].driver.write_many(writes)


@pytest.mark.rule("CLI-1", "CLI-2", "PRE-1", "PRE-7")
def test_a_clean_source_is_exit_code_0_and_shows_what_it_will_cost(created: Path) -> None:
    plant(created, 30, "x")
    done = preflight(created)
    assert (done.code, done.err) == (0, "")
    assert "cities: 30 records, 4 of 4 segments" in done.out
    assert "the target holds everything that the source has" in done.out
    assert "dual-write" in done.out
    told = preflight(created, "--json").data
    assert (told["clean"], told["done"], told["run"]) == (True, True, 1)
    cities = told["collections"]["cities"]
    assert (cities["records"], cities["totals"]["copy_writes"], cities["findings"]) == (30, 30, [])
    assert [s["stage"] for s in cities["stages"]][:2] == ["source-only", "prepare"]


@pytest.mark.rule("CLI-1", "CLI-2", "CLI-3", "PRE-2", "PRE-5", "PRE-6", "GATE-8")
def test_a_finding_says_what_to_do_and_holds_prepare_back(
    migrate: Polystore, created: Path
) -> None:
    policy(created, "reject")
    plant(created, 12)
    done = preflight(created)
    assert (done.code, REJECTED in done.err) == (1, True)
    assert f"refused: {REJECTED}: 12 cases" in done.out
    assert "    keys: ('c1', " in done.out
    assert "to settle it: in [collections.cities.sqlite.policy] give the index" in done.out
    (finding,) = preflight(created, "--json", "--no-scan").data["collections"]["cities"]["findings"]
    assert (finding["cases"], finding["live"], finding["settled"]) == (12, 0, False)
    assert len(finding["examples"]) == 10
    forward(migrate, ("start", *WHY))
    shut = migrate("advance", *WHY, "--sole-access", "--json")
    assert (shut.code, shut.data["gates"]) == (1, ["preflight"])
    policy(created, "encode")
    assert "has changed since the scan" in preflight(created, "--no-scan").err
    assert preflight(created).code == 0
    forward(migrate, ("advance", *WHY, "--sole-access"))
    assert stage(migrate) == "prepare"


@pytest.mark.rule("CLI-1", "PRE-5")
def test_a_finding_is_signed_off_with_a_reason(migrate: Polystore, created: Path) -> None:
    policy(created, "reject")
    plant(created, 2)
    assert preflight(created).code == 1
    assert preflight(created, "--sign-off", REJECTED).code == 2
    assert preflight(created, "--sign-off", "cities/other", *WHY).code == 2
    done = preflight(created, "--sign-off", REJECTED, *WHY, "--who", "ann")
    assert (done.code, "signed off by ann: a test" in done.out) == (0, True)
    told = migrate("history", "--json").data["history"]
    assert [(e["who"], e["why"]) for e in told if REJECTED in e["what"]] == [("ann", "a test")]


@pytest.mark.rule("CLI-1", "CLI-2", "BF-6")
def test_poison_is_listed_and_signed_off(migrate: Polystore, created: Path) -> None:
    assert "set nothing aside" in migrate("poison").out
    policy(created, "reject")
    plant(created, 2)
    past = ("advance", *WHY, "--sole-access", "--override", "preflight")
    forward(migrate, ("start", *WHY), past, ("advance", *WHY))
    assert migrate("backfill").code == 1
    assert "2 not signed off" in migrate("status").out
    listed = migrate("poison")
    assert (listed.code, f"{REJECTED}: 2 records" in listed.out) == (1, True)
    assert migrate("poison", "--sign-off", REJECTED).code == 2
    assert migrate("poison", "--sign-off", "cities/other", *WHY).code == 2
    done = migrate("poison", "--sign-off", REJECTED, *WHY, "--who", "ann")
    assert (done.code, "signed off by ann: a test" in done.out) == (0, True)
    (told,) = migrate("poison", "--json").data["poison"]
    assert {tuple(one["key"]) for one in told["records"]} == {("c1", 0), ("c1", 1)}
    forward(migrate, ("backfill",), ("advance", *WHY))


@pytest.mark.rule("CLI-1")
def test_nobody_has_looked(migrate: Polystore, created: Path) -> None:
    done = preflight(created, "--no-scan")
    assert (done.code, "nobody has looked" in done.err) == (1, True)
    forward(migrate, ("start", *WHY))
    assert preflight(created, "--rate", "0").code == 2
    assert preflight(created, "--parallel", "0").code == 2


@pytest.mark.rule("PRE-3", "CLI-4")
def test_a_scan_goes_on_where_it_was_killed(created: Path) -> None:
    plant(created, 600, "x")
    command = [sys.executable, "-m", "polystore.cli", "preflight", "--config", str(created)]
    slow = ["--page", "10", "--rate", "300", "--parallel", "2"]
    with opened(created, None) as member:
        ledger, procedures = member.group.ledger, SyncRunner()
        with subprocess.Popen([*command, *slow], stdout=subprocess.DEVNULL) as process:
            while procedures.run(_scanned(ledger)) < 60:
                assert process.poll() is None, "it came to its end"
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        before = procedures.run(_scanned(ledger))
    assert 60 <= before < 600
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    again = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, check=True, env=env
    )
    told = json.loads(again.stdout)
    assert (told["clean"], told["collections"]["cities"]["records"]) == (True, 600)
    assert told["collections"]["cities"]["segments"] == {"planned": 2, "ended": 2}


async def _scanned(ledger: Ledger) -> int:
    """Records of all checkpoints of the newest scan."""
    scan = await begun(ledger, 1)
    return 0 if scan is None else sum(p.scanned for p in await parts(ledger, 1, scan.number))
