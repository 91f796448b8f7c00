"""What ``polystore migrate verify`` tells."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from polystore.driver import Segment, Write
from polystore.values import Fields
from tests.cli.conftest import Polystore
from tests.cli.test_gates import group_of
from tests.cli.test_migrate import TO_DUAL_READ, forward

KILLED = """
import os, signal, sys
from pathlib import Path
from polystore.cli.place import joined, opened
from polystore.migration import verify
from polystore.migration.fleet import Fleet
from polystore.runner import SyncRunner

pages = []

def progress(*page):
    pages.append(page)
    if len(pages) == 12:
        os.kill(os.getpid(), signal.SIGKILL)

verify.PAGE = 5
with opened(Path(sys.argv[1]), None) as ready, joined(ready) as session:
    fleet = Fleet(ready.group)
    SyncRunner().run(verify.Verifier(session, fleet, checkpoint=0.0, progress=progress).run())
"""
"""A verification of small pages and many checkpoints, that kills its own process on the way."""

pytestmark = [pytest.mark.usefixtures("filled"), pytest.mark.timeout(120)]


def changed(config: Path, side: str, change: Fields, *, bare: bool) -> None:
    """Change one city past the library, with its bookkeeping or without."""
    with group_of(config) as group:
        cities = group.collection("cities")
        driver = group.sides[side].driver
        (stored,) = driver.scan(cities, Segment(), None, 1).records
        assert stored.fields is not None
        write = Write(cities, stored.key, {**stored.fields, **change})
        if not bare:
            write.write_id, write.stamp = stored.write_id, stored.stamp
        driver.write(write)


@pytest.mark.rule("VER-12", "VER-7", "SHD-4")
def test_kinds_paths_and_rules_are_told_and_no_value(migrate: Polystore, config: Path) -> None:
    rules = '\n[collections.cities.compare]\nignore = ["seen"]\nnormalise.state = ["casefold"]\n'
    config.write_text(config.read_text() + rules)
    forward(migrate, *TO_DUAL_READ)
    told = ["seen ignored", "state as casefold"]
    changed(config, "target", {"seen": 7}, bare=False)
    assert migrate("verify", "--json").data["verified"]["cities"]["rules"] == told
    changed(config, "target", {"state": "behind our back"}, bare=False)
    found = migrate("verify", "--no-repair", "--json").data["verified"]["cities"]
    assert (found["paths"], found["kinds"]["foreign"]) == ({"state": 1}, 1)
    text = migrate("verify")
    assert "differences: 1 foreign" in text.out
    assert "at the fields: state (1)" in text.out
    assert "compared with: seen ignored; state as casefold" in text.out
    assert "behind" not in text.out + text.err


@pytest.mark.rule("VER-12", "VER-8", "VER-11", "GATE-14", "CLI-1")
@pytest.mark.parametrize(
    ("side", "said_before"), [("source", "colocate"), ("target", "indexes.by_state")]
)
def test_a_foreign_record_ends_a_verification_with_a_word_of_it(
    migrate: Polystore, config: Path, side: str, said_before: str
) -> None:
    halting = f'foreign = "halt"\n{said_before}'
    config.write_text(config.read_text().replace(said_before, halting))
    forward(migrate, *TO_DUAL_READ)
    changed(config, side, {"state": "theirs"}, bare=True)
    found = migrate("verify", "--json")
    assert (found.code, found.data["verified"]["cities"]["kinds"]["foreign"]) == (1, 1)
    assert "1 records were written past polystore" in found.err
    assert "no-foreign" in migrate("dial", "10", "--why", "a test").err
    config.write_text(config.read_text().replace("halt", "adopt"))
    forward(migrate, ("verify",), ("verify",), ("dial", "10", "--why", "a test"))


@pytest.mark.rule("VER-9", "VER-3")
def test_a_verification_whose_process_was_killed_is_gone_on_with(
    migrate: Polystore, config: Path
) -> None:
    forward(migrate, *TO_DUAL_READ)
    changed(config, "target", {"state": "theirs"}, bare=False)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(config)], capture_output=True, timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    found = migrate("verify", "--json").data["verified"]["cities"]
    assert found["walked"] == {"source": 60, "target": 60}
    assert (found["repaired"], found["open"]) == (1, 0)
    history = migrate("history", "--json").data["history"]
    told = [entry["what"] for entry in history if entry["what"].startswith("verify")]
    assert told[-2:] == ["verify", "verify, goes on"]
    again = migrate("verify", "--json").data["verified"]["cities"]
    assert (again["walked"], again["repaired"]) == (found["walked"], 0)
