"""``polystore drivers`` and ``polystore create``, and what all commands have in common."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

import polystore
from polystore.cli import main
from tests.cli.conftest import run

ALL = ("datastore", "dynamodb", "memory", "postgresql", "redis", "sqlite")
SDKS = ("boto3", "botocore", "google.cloud.datastore", "grpc", "psycopg", "redis", "sqlite3")
LISTING = """
import sys
from click.testing import CliRunner
from polystore.cli import main
printed = CliRunner().invoke(main, ["drivers"]).output
found = [name for name in {sdks!r} if name in sys.modules]
print(found, "dynamodb" in printed)
"""


@pytest.mark.rule("PLG-1")
def test_listing_drivers_imports_no_sdk() -> None:
    command = [sys.executable, "-c", LISTING.format(sdks=SDKS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"


@pytest.mark.rule("CLI-2")
def test_drivers_are_listed_for_people_and_for_programs() -> None:
    told = run("drivers").out
    listed = run("drivers", "--json").data
    assert [d["name"] for d in listed["drivers"]] == sorted(ALL)
    assert listed["capabilities"] == {}
    for driver in listed["drivers"]:
        assert driver["url"].startswith(f"{driver['name']}://")
        assert all(driver[name] in told for name in ("name", "summary", "url"))


@pytest.mark.rule("CLI-2")
def test_drivers_that_are_opened_show_what_they_promise(tmp_path: Path) -> None:
    urls = ("memory://", f"sqlite:///{tmp_path}/x.db")
    promised = run("drivers", *urls, "--json").data["capabilities"]
    assert sorted(promised) == ["memory", "sqlite"]
    assert promised["sqlite"]["transactions"]["scope"] == "store"
    told = run("drivers", *urls).out
    assert "sqlite promises" in told
    assert "An atomic commit reaches" in told


@pytest.mark.rule("CLI-1", "CLI-3", "PLG-2")
def test_an_unknown_driver_lists_the_known_ones() -> None:
    done = run("drivers", "sqlit:///x")
    assert (done.code, done.out) == (2, "")
    assert all(name in done.err for name in ALL)


@pytest.mark.rule("CLI-4", "PLC-3")
def test_create_makes_both_sides_and_can_be_repeated(config: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = run("create", "--config", str(config), "--json")
        assert (done.code, done.data) == (0, {"created": ["cities", "notes"]})
    assert (tmp_path / "old.db").exists()
    assert (tmp_path / "new.db").exists()
    with polystore.open(config) as store:
        for sides in store.describe().values():
            assert all(described.exists for described in sides.values())


def commands(group: click.Group, *path: str) -> list[tuple[tuple[str, ...], click.Command]]:
    """All commands below a group, with their paths."""
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += commands(command, *path, name)
        else:
            found.append(((*path, name), command))
    return found


COMMANDS = commands(main)


@pytest.mark.rule("CLI-2")
@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(p) for p, _ in COMMANDS])
def test_every_command_has_json_and_help(path: tuple[str, ...], command: click.Command) -> None:
    assert "as_json" in [parameter.name for parameter in command.params]
    for option in ("--help", "-h"):
        done = run(*path, option)
        assert (done.code, done.err) == (0, "")
        assert "--json" in done.out


@pytest.mark.rule("CLI-1")
def test_the_exit_codes_are_documented() -> None:
    for code in ("0 done", "1 the answer is no", "2 wrong arguments", "3 a database"):
        assert code in " ".join(run("--help").out.split())


@pytest.mark.rule("CLI-2", "CLI-3")
def test_an_error_is_one_object_too() -> None:
    done = run("migrate", "status", "--config", "/nowhere.toml", "--json")
    assert done.code == 2
    assert sorted(json.loads(done.out)) == ["error", "gates", "message"]
    assert "/nowhere.toml" in done.data["message"]


@pytest.mark.rule("SEC-2")
def test_no_secret_of_a_url_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "polystore.toml"
    path.write_text(
        'url = "nosuch://user:geheim@host?password=geheim"\n[collections.x]\nkey = ["id"]\n'
    )
    for arguments in (("create",), ("migrate", "status")):
        done = run(*arguments, "--config", str(path))
        assert done.code == 2
        assert "geheim" not in done.err + done.out
