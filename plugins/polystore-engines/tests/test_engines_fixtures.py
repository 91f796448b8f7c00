"""The pytest fixtures: an engine that does not start is an error, never a skip."""

import subprocess
import sys
from pathlib import Path

import pytest

import polystore_engines

BROKEN = """
import pytest
from polystore_engines import EngineStartFailed, registry

def broken(name):
    raise EngineStartFailed(name, "it was told not to")

@pytest.fixture(scope="session", autouse=True)
def break_engines():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "start", broken)
        yield
"""


def test_an_engine_that_does_not_start_fails_the_test(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(BROKEN)
    (tmp_path / "test_user.py").write_text(
        "def test_one(datastore_engine): pass\ndef test_two(dynamodb_engine): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "2 errors" in done.stdout
    assert "skipped" not in done.stdout
    assert "it was told not to" in done.stdout


@pytest.mark.engine
def test_the_fixtures_are_engines(
    datastore_engine: polystore_engines.Engine, dynamodb_engine: polystore_engines.Engine
) -> None:
    assert (datastore_engine.name, dynamodb_engine.name) == ("datastore", "dynamodb")
    assert datastore_engine.alive
    assert dynamodb_engine.alive
