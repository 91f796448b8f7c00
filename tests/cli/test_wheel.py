"""What ``polystore new-driver`` writes, built and installed beside a wheel of the core."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from polystore.cli.scaffold import write_distribution

ROOT = Path(__file__).parents[2]


def done(*call: str | Path, at: Path) -> None:
    """Run a command that must not fail."""
    found = subprocess.run(call, cwd=at, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.rule("CNF-7")
@pytest.mark.timeout(180)
def test_wheels_of_a_new_driver_and_of_the_core_conform_in_a_fresh_environment(
    tmp_path: Path,
) -> None:
    folder, wheels, made = tmp_path / "polystore-kiwi", tmp_path / "wheels", tmp_path / "venv"
    write_distribution("kiwi", folder)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    done(*pip, "wheel", "-q", "--no-deps", "-w", wheels, ROOT, folder, at=tmp_path)
    core, kiwi = sorted(wheels.iterdir())
    done(sys.executable, "-m", "venv", "--without-pip", made, at=tmp_path)
    python = made / "bin" / "python"
    installed = [f"{core}[conformance]", str(kiwi)]
    done(*pip, "--python", python, "install", "-q", *installed, at=tmp_path)
    call = ["conformance", "kiwi", "--profile", "smoke", "-k", "harness or errors or bulk"]
    done(made / "bin" / "polystore", *call, "--report", "found", at=tmp_path)
    (found,) = json.loads((tmp_path / "found.json").read_text())["reports"]
    assert (found["driver"], found["failures"]) == ("kiwi", {})
    assert found["tests"]["passed"] > 10
