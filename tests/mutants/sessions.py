"""A session of the suite with a plugin that breaks things, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from polystore.testing import suite

ROOT = Path(__file__).parents[2]


def session(plugin: str, tmp: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A session of the suite with a plugin, as it ended.

    Args:
        plugin: the module.
        tmp: a folder.
        arguments: of pytest.
    """
    folder = Path(suite.__file__).parent
    call = [
        sys.executable, "-m", "pytest", "-p", "polystore.testing.plugin", "-p", plugin,
        "-c", str(folder / "conformance.ini"), f"--rootdir={folder}", "--tb=short", "-q",
        "-p", "no:cacheprovider", *arguments, str(folder),
    ]  # fmt: skip
    paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    env = {**os.environ, "PYTHONPATH": paths, "PYTEST_ADDOPTS": ""}
    return subprocess.run(call, cwd=tmp, env=env, capture_output=True, text=True, check=False)


def hunted(plugin: str, tmp: Path, *arguments: str) -> dict[str, Any]:
    """What came of a session: a session within one would leave traces.

    Args:
        plugin: the module that breaks something and keeps the account.
        tmp: a folder.
        arguments: of pytest.
    """
    account = tmp / "hunted.json"
    done = session(plugin, tmp, f"--hunted={account}", "--tb=no", *arguments)
    assert account.exists(), done.stdout + done.stderr
    told: dict[str, Any] = json.loads(account.read_text())
    return told
