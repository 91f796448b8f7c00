"""What commands answer: exit codes, one JSON object, errors that say what to do next."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Polystore, run
from tests.cli.test_migrate import WHY

TABLE = '[collections.x]\nkey = ["id"]\n'
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "polystore", "AWS_SECRET_ACCESS_KEY": "polystore"}


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, as a shell runs it."""
    command = [sys.executable, "-m", "polystore.cli", *arguments]
    env = {**os.environ, **CREDENTIALS}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    return tmp_path / "wrong.toml"


@pytest.mark.rule("CLI-1", "CLI-3", "ERR-5")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("url = ", "is not TOML"),
        (f'urll = "memory://"\n{TABLE}', "did you mean 'url'"),
        (
            f'{TABLE}[groups.g]\ncollections = ["x"]\nsource = "sqlit:///x"\ntarget = "memory://"',
            "sqlite",
        ),
        ('url = "memory://"\n[collections.x]\nkey = ["id:float"]', "str, int, bytes"),
        (f'url = "memory://"\n{TABLE}', "groups"),
    ],
)
def test_a_wrong_configuration_is_exit_code_2(wrong: Path, text: str, says: str) -> None:
    wrong.write_text(text)
    for arguments in (("status",), ("start", *WHY), ("backfill",), ("verify",), ("history",)):
        done = run("migrate", *arguments, "--config", str(wrong))
        assert (done.code, done.out) == (2, ""), done
        assert says in done.err


@pytest.mark.rule("CLI-1", "CLI-3")
def test_no_configuration_at_all_is_exit_code_2(tmp_path: Path) -> None:
    done = run("create", "--config", str(tmp_path / "nothing.toml"))
    assert done.code == 2
    assert "nothing.toml" in done.err
    assert "cannot be read" in done.err


@pytest.mark.rule("CLI-1")
@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("migrate", "start"),
        ("migrate", "dial", "101", *WHY),
        ("migrate", "dial", "half", *WHY),
        ("migrate", "advance", "nowhere", *WHY),
        ("migrate", "backfill", "--parallel", "0"),
        ("demo", "--kill-backfill", "many"),
        ("demo", "--processes", "0"),
        ("demo", "--source", "sqlit"),
        ("demo", "--source", "memory", "--target", "sqlite"),
        ("demo", "--source", "dynamodb", "--target", "dynamodb"),
    ],
)
def test_wrong_arguments_are_exit_code_2(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err


@pytest.mark.rule("CLI-1", "CLI-3", "ERR-5")
@pytest.mark.parametrize("command", [("create",), ("migrate", "status"), ("migrate", "verify")])
def test_an_unreachable_database_is_exit_code_3(wrong: Path, command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"dynamodb://us-east-1?endpoint=http://127.0.0.1:{port}&timeout=1"
    wrong.write_text(
        f'{TABLE}[groups.g]\ncollections = ["x"]\nsource = "{url}"\ntarget = "memory://"\n'
    )
    done = process(*command, "--config", str(wrong))
    assert (done.returncode, done.stdout) == (3, "")
    assert "unavailable" in done.stderr
    assert "Does the database run?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.rule("CLI-3")
def test_a_database_that_was_not_created_says_so(migrate: Polystore) -> None:
    done = migrate("status")
    assert done.code == 2
    assert "create" in done.err
