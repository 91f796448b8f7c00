"""Commands given twice, and commands that were killed: the next one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import polystore
from polystore.cli.place import opened
from polystore.driver import Write
from polystore.migration.stages import SOURCE
from tests.cli.conftest import Polystore, everything
from tests.cli.test_migrate import TO_DUAL_READ, WHY, forward, stage

pytestmark = [pytest.mark.usefixtures("filled"), pytest.mark.timeout(120)]


@pytest.fixture
def application(filled: Path) -> Iterator[polystore.Store]:
    """An application process that takes part meanwhile: this one."""
    with polystore.open(filled) as store:
        store["cities"].get("c0", 0)
        yield store


def killed(config: Path, step: tuple[str, ...], when: Callable[[list[str]], bool]) -> list[str]:
    """A command in a process of its own, killed when ``when`` says so of the lines it printed.

    Fails where the command came to its end before that.
    """
    command = [sys.executable, "-m", "polystore.cli", "migrate", *step, "--config", str(config)]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if when(lines):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL, lines
    return lines


def at_line(number: int) -> Callable[[list[str]], bool]:
    return lambda lines: len(lines) >= number


STEPS = (
    ("start", *WHY),
    ("advance", "prepare", *WHY, "--sole-access"),
    ("advance", "dual-write", *WHY),
    ("backfill",),
    ("advance", "dual-read", *WHY),
    ("verify",),
    ("dial", "50", *WHY),
    ("dial", "100", *WHY),
    ("verify",),
    ("advance", "target-only", *WHY, "--confirm", "geo"),
    ("advance", "clean", *WHY),
    ("advance", "detached", *WHY),
)


@pytest.mark.rule("CLI-4")
def test_every_step_can_be_given_twice(migrate: Polystore, config: Path) -> None:
    before = everything(config)
    for step in STEPS:
        forward(migrate, step)
        first = migrate("status", "--json").data["setting"]
        forward(migrate, step)
        again = migrate("status", "--json").data["setting"]
        assert (again["stage"], again["moved"]) == (first["stage"], first["moved"]), step
    assert stage(migrate) == "detached"
    assert everything(config) == before


@pytest.mark.rule("CLI-4")
def test_every_step_back_can_be_given_twice(migrate: Polystore) -> None:
    forward(migrate, *TO_DUAL_READ)
    for where in ("dual-write", "prepare", "source-only"):
        forward(migrate, ("back", where, *WHY), ("back", where, *WHY))
        assert stage(migrate) == where


@pytest.mark.rule("CLI-4", "EPO-9")
def test_each_step_goes_on_after_it_was_killed(
    migrate: Polystore, filled: Path, application: polystore.Store
) -> None:
    before = {record.key: dict(record) for record in application["cities"].scan()}
    for step in STEPS:
        if step[0] in {"start", "advance", "dial"}:
            killed(filled, step, at_line(3 if step[0] == "dial" else 1))
        forward(migrate, step)
        application["cities"].put({"country": "c0", "city": 0, "state": step[-1]})
    assert stage(migrate) == "detached"
    last = {("c0", 0): {"country": "c0", "city": 0, "state": WHY[-1]}}
    assert everything(filled) == before | last


@pytest.mark.rule("CLI-4")
@pytest.mark.usefixtures("application")
def test_a_way_back_goes_on_after_it_was_killed(migrate: Polystore, filled: Path) -> None:
    forward(migrate, *TO_DUAL_READ, ("dial", "100", *WHY))
    killed(filled, ("dial", "0", *WHY), at_line(5))
    forward(migrate, ("dial", "0", *WHY))
    for where in ("dual-write", "prepare", "source-only"):
        killed(filled, ("back", where, *WHY), at_line(1))
        forward(migrate, ("back", where, *WHY))
        assert stage(migrate) == where


RECORDS = 4000


@pytest.fixture
def many(filled: Path) -> Path:
    """Records enough for a copy that takes a while, written past the library."""
    with opened(filled, None) as member:
        cities = member.group.collection("cities")
        writes = [
            Write(cities, (country, n), {"country": country, "city": n, "state": ""})
            for n in range(RECORDS)
            for country in [f"c{n % 7}"]
        ]
        member.group.sides[SOURCE].driver.write_many(writes)
    return filled


def killed_at(config: Path, log: Path, pages: int) -> None:
    """A copy, killed when it has begun so many pages."""
    command = [sys.executable, "-m", "polystore.cli", "migrate", "backfill", "--page", "10"]
    command += ["--config", str(config), "--log", str(log), "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and len(lines_of(log)) < pages:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def lines_of(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


@pytest.mark.rule("CLI-4", "BF-3")
@pytest.mark.usefixtures("application")
def test_a_copy_goes_on_where_it_was_killed(migrate: Polystore, many: Path, tmp_path: Path) -> None:
    """Only pages that were in flight, one a segment, are sent again."""
    forward(migrate, *TO_DUAL_READ[:3])
    log = tmp_path / "pages.log"
    for pages in (60, 200):
        killed_at(many, log, pages)
        shut = migrate("advance", *WHY, "--json")
        assert (shut.code, shut.data["gates"]) == (1, ["copied"])
    done = migrate("backfill", "--page", "10", "--log", str(log), "--json")
    assert done.code == 0
    found = done.data["copied"]["cities"]
    assert (found["scanned"], found["written"] + found["newer"]) == (RECORDS, RECORDS)
    twice = sum(count - 1 for count in Counter(lines_of(log)).values())
    assert twice <= 2 * 4
    forward(migrate, ("advance", *WHY))
    checked = migrate("verify", "--no-repair", "--json")
    assert (checked.code, checked.data["verified"]["cities"]["suspects"]) == (0, 0)


@pytest.mark.rule("CLI-4", "EPO-2")
@pytest.mark.usefixtures("application", "many")
def test_a_verification_that_was_killed_is_recovered(migrate: Polystore, filled: Path) -> None:
    """It is a member while it runs: the next step waits until its lease is out."""
    forward(migrate, *TO_DUAL_READ)
    command = [sys.executable, "-m", "polystore.cli", "migrate", "verify", "--config", str(filled)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and len(members(migrate)) < 2:
            pass
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(members(migrate)) == 2
    forward(migrate, ("verify",), ("dial", "50", *WHY))
    assert [member["state"] for member in members(migrate)] == ["active"]


def members(migrate: Polystore) -> list[dict[str, object]]:
    found = migrate("status", "--json").data["members"]
    assert isinstance(found, list)
    return found
