"""What is installed, and by which commands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECTS = sorted([ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")])
FRAGMENT = re.compile(r"\d+(-[a-z-]+)?\.(breaking|spec|driver|feature|fix)\.md")


def requirements(project: Path) -> list[str]:
    table = tomllib.loads(project.read_text())["project"]
    extras = table.get("optional-dependencies", {})
    return [*table.get("dependencies", []), *(r for extra in extras.values() for r in extra)]


def distribution(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;@]", requirement, maxsplit=1)[0].lower()


def test_nothing_asks_for_the_strangers_polystore() -> None:
    """The package index has a polystore that is not ours: the core is polystore-core."""
    for project in PROJECTS:
        assert tomllib.loads(project.read_text())["project"]["name"] != "polystore"
        assert "polystore" not in [distribution(r) for r in requirements(project)]
    for path in [ROOT / "tox.ini", *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        installs = re.findall(r"pip3? install[^`\n]*", path.read_text())
        words = [word.strip("'\"") for line in installs for word in line.split()]
        assert "polystore" not in [distribution(word) for word in words], path.name


def test_tox_installs_each_of_our_distributions_from_its_folder() -> None:
    tox = (ROOT / "tox.ini").read_text()
    for project in PROJECTS:
        folder = project.parent
        place = "" if folder == ROOT else "{/}plugins{/}" + folder.name
        assert re.search(rf"^ *-e {{tox_root}}{re.escape(place)}(\[|$)", tox, re.MULTILINE), folder


def test_every_plugin_is_named_after_its_package_and_typed() -> None:
    for project in PROJECTS:
        name = tomllib.loads(project.read_text())["project"]["name"]
        package = "polystore" if name == "polystore-core" else name.replace("-", "_")
        assert (project.parent / package / "__init__.py").exists(), name
        assert (project.parent / package / "py.typed").exists(), name


def test_ci_runs_exactly_the_test_command_of_the_readme() -> None:
    command = (ROOT / ".ci/run").read_text().splitlines()[-1]
    readme = (ROOT / "README.md").read_text().splitlines()
    assert command in [line.strip() for line in readme]
    assert command.endswith("tox run -qq -e check")


def test_change_fragments_are_named_by_issue_and_kind() -> None:
    names = [path.name for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md"]
    assert [name for name in names if not FRAGMENT.fullmatch(name)] == []
