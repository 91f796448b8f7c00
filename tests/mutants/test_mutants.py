"""The strength of the suite: broken drivers, each caught by the rule that names its mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from polystore.testing import suite
from tests.mutants.kills import KILLS

ROOT = Path(__file__).parents[2]


@pytest.mark.rule("CNF-5")
def test_each_broken_driver_is_caught_by_its_rule(tmp_path: Path) -> None:
    """All in one session of pytest, in a process of its own: a session within one leaves traces."""
    folder, hunted = Path(suite.__file__).parent, tmp_path / "hunted.json"
    call = [
        sys.executable, "-m", "pytest", "-p", "polystore.testing.plugin",
        "-p", "tests.mutants.hunt",
        "-c", str(folder / "conformance.ini"), f"--rootdir={folder}", f"--hunted={hunted}",
        "--polystore-profile=smoke", "--tb=no", "-q", "-p", "no:cacheprovider", str(folder),
    ]  # fmt: skip
    paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    env = {**os.environ, "PYTHONPATH": paths, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert hunted.exists(), done.stdout + done.stderr
    told = json.loads(hunted.read_text())
    escaped = {
        driver.__name__: f"{rule}, {told['ran'][driver.__name__]} tests"
        for driver, rule in KILLS.items()
        if driver.__name__ not in told["caught"]
    }
    assert escaped == {}
