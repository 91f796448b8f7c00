"""The command line on two files of SQLite, with waits as short as may be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest
from click.testing import CliRunner

import polystore
from polystore.cli import main
from polystore.values import Fields, Key

CONFIG = """
timeout = 5.0
[collections.cities]
key = ["country:str", "city:int"]
indexes.by_state = ["state"]
[collections.notes]
key = ["country:str", "note:str"]
[groups.geo]
collections = ["cities", "notes"]
source = "sqlite:///{folder}/old.db"
target = "sqlite:///{folder}/new.db"
colocate = 1
lease = 1.0
poll = 0.2
fast_poll = 0.01
call_timeout = 0.5
quarantine = 1.0
"""


@attrs.frozen
class Done:
    """One command, ended: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """The one JSON object that it printed; anything else there fails."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


Polystore: TypeAlias = Callable[..., Done]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of one group, nothing created yet."""
    path = tmp_path / "polystore.toml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return path


def run(*arguments: str) -> Done:
    """A command, in this process; an error that is not of the tree is raised here."""
    result = CliRunner(catch_exceptions=False).invoke(main, arguments)
    return Done(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def migrate(config: Path) -> Polystore:
    """``polystore migrate … --config FILE``."""
    return lambda *arguments: run("migrate", *arguments, "--config", str(config))


@pytest.fixture
def created(config: Path) -> Path:
    """The same configuration with its collections created."""
    assert run("create", "--config", str(config)).code == 0
    return config


@pytest.fixture
def filled(created: Path) -> Path:
    """And with records on the source, that were looked at."""
    with polystore.open(created) as store:
        for number in range(60):
            store["cities"].put({"country": f"c{number % 7}", "city": number, "state": ""})
        store["notes"].put({"country": "c1", "note": "n", "text": "x"})
    assert run("preflight", "--config", str(created)).code == 0
    return created


def everything(config: Path) -> dict[Key, Fields]:
    """All cities, as an application reads them."""
    with polystore.open(config) as store:
        return {record.key: dict(record) for record in store["cities"].scan()}
