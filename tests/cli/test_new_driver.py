"""``polystore new-driver``: what it writes conforms as it stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from polystore.cli import main
from polystore.cli.scaffold import write_distribution


def installed(folder: Path) -> dict[str, str]:
    """An environment that has the distribution, as an editable install would leave it."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    ((name, module),) = project["entry-points"]["polystore"].items()
    (info / "entry_points.txt").write_text(f"[polystore]\n{name} = {module}\n")
    paths = f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return {**os.environ, "PYTHONPATH": paths}


@pytest.mark.rule("CNF-7")
def test_a_new_driver_conforms(tmp_path: Path) -> None:
    folder = tmp_path / "polystore-kiwi"
    assert CliRunner().invoke(main, ["new-driver", "kiwi", "--into", str(folder)]).exit_code == 0
    conforms("kiwi", folder)


BLOCK = re.compile(r"^```python\n# (polystore_shelf/\w+\.py)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.rule("CNF-7")
def test_the_driver_of_the_docs_conforms(tmp_path: Path) -> None:
    """As its reader makes it: new-driver, and then the files of the page."""
    folder = tmp_path / "polystore-shelf"
    write_distribution("shelf", folder)
    page = (Path(__file__).parents[2] / "docs" / "writing-a-driver.md").read_text()
    files = dict(BLOCK.findall(page))
    assert sorted(files) == ["polystore_shelf/driver.py", "polystore_shelf/harness.py"]
    for name, text in files.items():
        (folder / name).write_text(text)
    conforms("shelf", folder)


def conforms(name: str, folder: Path) -> None:
    """The suite finds nothing: a part of it, under POLYSTORE_NIGHTLY all."""
    part = [] if os.environ.get("POLYSTORE_NIGHTLY") else ["-k", PART]
    call = [sys.executable, "-m", "polystore.cli", "conformance", name, "--profile", "smoke"]
    report = ["--report", str(folder / "report")]
    env = installed(folder)
    done = subprocess.run(
        [*call, *part, *report], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads((folder / "report.json").read_text())["reports"]
    assert (found["driver"], found["failures"]) == (name, {})
    assert found["tests"]["passed"] > 40


PART = "harness or errors or commits or scans or bulk"


@pytest.mark.rule("CNF-7")
def test_nothing_of_the_template_is_left(tmp_path: Path) -> None:
    files = write_distribution("kiwi", tmp_path / "new")
    assert "polystore_kiwi/driver.py" in files
    assert ".github/workflows/conformance.yml" in files
    for name in files:
        text = (tmp_path / "new" / name).read_text()
        assert "example" not in (text + name).lower()
        assert "0.0.0" not in text


@pytest.mark.rule("CNF-7")
@pytest.mark.parametrize("name", ["memory", "dynamodb", "Kiwi", "9", "", "a-b", "../up", "a_b"])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(main, ["new-driver", "--into", str(tmp_path / "new"), "--", name])
    assert done.exit_code == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.rule("CNF-7")
def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = CliRunner().invoke(main, ["new-driver", "kiwi", "--into", str(tmp_path)])
    assert done.exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
