"""``polystore conformance``: the suite by one command, and what it says where it cannot run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from polystore.cli import conformance as command
from polystore.cli import main
from polystore.errors import ConfigError
from polystore.plugin.registry import Registry
from polystore.plugin.specs import DriverSpec, hookimpl
from polystore.testing import harness as harnesses
from polystore.testing.claims import Bench
from polystore.testing.harness import harness_of
from polystore.testing.harnesses.memory import MemoryHarness
from polystore.testing.pairs.pair import named_pair
from polystore.testing.report import Case, Report, packages


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["conformance", *arguments])
    return done.exit_code, done.output


@pytest.mark.rule("CNF-1", "CNF-6")
def test_the_suite_runs_without_a_file(tmp_path: Path) -> None:
    """Also where the folder has settings of pytest's that would fail it."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    call = [
        sys.executable,
        "-m",
        "polystore.cli",
        "conformance",
        "memory",
        "-k",
        "kinds_of_nothing",
        "--seed",
        "17",
        "--report",
        "of/memory",
        "--json",
    ]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stderr
    assert json.loads(done.stdout) == json.loads((tmp_path / "of" / "memory.json").read_text())
    (found,) = json.loads(done.stdout)["reports"]
    assert (found["driver"], found["real"], found["profile"]) == ("memory", True, "default")
    assert (found["seed"], found["packages"]) == ("17", {})  # it is the core's own
    assert found["calls"] > 0
    assert found["claims"]["transactions"]["scope"] == "store"
    assert found["rules"] == {"VAL-7": {"passed": 1, "failed": 0, "skipped": 0}}
    page = (tmp_path / "of" / "memory.md").read_text()
    assert page.startswith("# memory conforms\n")
    assert "| VAL-7 | 1 | 0 |" in page


@pytest.mark.rule("CNF-1")
def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "NEEDED", ("pytest", "no_such_module"))
    code, output = invoke("memory")
    assert code == 2
    assert "no_such_module" in output
    assert "pytest" not in output
    assert "pip install 'polystore-core[conformance]'" in output


def test_an_unknown_driver_is_named() -> None:
    code, output = invoke("memmory")
    assert code == 2
    assert "did you mean 'memory'" in output


UNREACHABLE = """
from polystore.testing.harnesses import memory
memory.MemoryHarness.available = lambda self: "it is switched off"
"""


@pytest.mark.rule("CNF-2")
@pytest.mark.parametrize("allowed", [False, True])
def test_a_database_that_cannot_be_reached_fails_the_run(tmp_path: Path, allowed: bool) -> None:
    (tmp_path / "switched_off.py").write_text(UNREACHABLE)
    call = [
        sys.executable, "-m", "pytest", "-p", "polystore.testing.plugin", "-p", "switched_off",
        "--pyargs", "polystore.testing.suite.test_harness", "--polystore=memory", "-q", "-ra",
        "-c", str(Path(harnesses.__file__).parent / "suite" / "conformance.ini"),
        *["--allow-unavailable"] * allowed,
    ]  # fmt: skip
    paths = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    env = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert "memory is unavailable: it is switched off" in done.stdout
    assert done.returncode == (0 if allowed else 1)
    assert "passed" not in done.stdout.splitlines()[-1]


class Broken:
    """A plugin whose drivers bring no harness that can be used."""

    @hookimpl
    def polystore_register_drivers(self) -> list[DriverSpec]:
        given = {"none": None, "gone": "polystore.no_such:Thing", "other": "pathlib:Path"}
        return [
            DriverSpec(name=name, factory="x:y", summary="", url=f"{name}://", harness=harness)
            for name, harness in given.items()
        ]


@pytest.mark.rule("CNF-1")
@pytest.mark.parametrize(
    ("name", "says"),
    [("none", "brings no harness"), ("gone", "no harness that can be made"), ("other", "must be")],
)
def test_a_driver_without_a_harness_says_so(
    monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    registry = Registry()
    registry.register(Broken())
    monkeypatch.setattr(harnesses, "default_registry", lambda: registry)
    with pytest.raises(ConfigError, match=says):
        harness_of(name)


@pytest.mark.rule("CNF-6")
def test_a_report_tells_what_fails_and_what_does_not_apply(tmp_path: Path) -> None:
    report = Report(tmp_path / "r", "smoke")
    bench = Bench(MemoryHarness(), None)
    report.cases = {
        "test_a.py::test_b[memory]": Case("memory", ("VAL-2", "VAL-10"), "failed", "it is 1"),
        "test_a.py::test_c[memory]": Case("memory", ("VAL-2",)),
        "test_a.py::test_c[other]": Case("other", ("VAL-9",)),
    }
    report.write({"memory": bench}, {}, {"test_a.py::test_d[memory]": "not claimed: wings"})
    (found,) = json.loads((tmp_path / "r.json").read_text())["reports"]
    assert list(found["rules"].items()) == [
        ("VAL-2", {"passed": 1, "failed": 1, "skipped": 0}),
        ("VAL-10", {"passed": 0, "failed": 1, "skipped": 0}),
    ]
    page = (tmp_path / "r.md").read_text()
    assert page.startswith("# memory fails\n")
    assert "- `test_a.py::test_b[memory]`: it is 1" in page
    assert "- `test_a.py::test_d[memory]`: not claimed: wings" in page


@pytest.mark.rule("CNF-1", "CNF-6", "CNF-8")
def test_a_pair_is_tried_both_ways_by_one_command(tmp_path: Path) -> None:
    call = [
        sys.executable, "-m", "polystore.cli", "conformance", "--pair", "memory", "sqlite",
        "-k", "no_increment and source-only and not back", "--report", "pair", "--json",
    ]  # fmt: skip
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    there, back = json.loads(done.stdout)["reports"]
    for found, names in ((there, ["memory", "sqlite"]), (back, ["sqlite", "memory"])):
        assert [found[side]["driver"] for side in ("source", "target")] == names
        assert found["calls"] > 10
        assert found["tests"] == {"passed": 1, "failed": 0, "skipped": 0}
    pages = (tmp_path / "pair.md").read_text()
    assert "# memory → sqlite conforms\n" in pages
    assert "# sqlite → memory conforms\n" in pages


@pytest.mark.rule("CNF-8")
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("memory:sqlite", ("memory", "sqlite")),
        ("dynamodb?endpoint=http://a:1:memory", ("dynamodb?endpoint=http://a:1", "memory")),
    ],
)
def test_a_pair_is_two_names_with_their_options(text: str, names: tuple[str, str]) -> None:
    assert named_pair(text) == names


@pytest.mark.rule("CNF-8")
@pytest.mark.parametrize("text", ["memory", "memory:", "a:b:c", ""])
def test_anything_else_is_no_pair(text: str) -> None:
    with pytest.raises(ConfigError, match="SOURCE:TARGET"):
        named_pair(text)


@pytest.mark.rule("CNF-6")
def test_pairs_are_told_in_a_grid() -> None:
    def found(source: str, target: str, failed: int) -> dict[str, object]:
        tests = {"passed": 9, "failed": failed, "skipped": 0}
        sides = {"source": {"driver": source}, "target": {"driver": target}}
        return {**sides, "tests": tests, "calls": 7, "seconds": 1.5}

    assert command.grid([{"driver": "memory"}]) == []
    assert command.grid([found("a", "b", 0), found("b", "b", 2)]) == [
        "| from ↓ to → | b |",
        "|---|---|",
        "| a | 9 passed, 7 calls, 1.5 s |",
        "| b | 9 passed, **2 failed**, 7 calls, 1.5 s |",
    ]


def test_the_command_wants_a_driver_or_a_pair() -> None:
    code, said = invoke()
    assert code == 2
    assert "--pair" in said


@pytest.mark.rule("CNF-8")
@pytest.mark.parametrize("pair", [("memory", "memory"), ("dynamodb", "datastore")])
def test_a_pair_has_200_cases(pair: tuple[str, str], tmp_path: Path) -> None:
    call = [
        sys.executable, "-m", "pytest", "-p", "polystore.testing.plugin", "--collect-only", "-q",
        "--pyargs", "polystore.testing.suite", f"--polystore-pair={':'.join(pair)}",
        "-c", str(Path(harnesses.__file__).parent / "suite" / "conformance.ini"),
        "--polystore-profile=default",
    ]  # fmt: skip
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    cases = [line for line in done.stdout.splitlines() if f"[{':'.join(pair)}" in line]
    assert len(cases) >= 200


def test_a_report_names_what_a_driver_builds_on() -> None:
    assert set(packages("redis")) == {"polystore-redis", "redis"}
    assert packages("memory") == {}


def test_the_page_of_pairs_has_every_pair() -> None:
    """docs/pairs.md, made by benchmarks/pairs_page.py: nobody forgets a driver that is new."""
    page = (Path(__file__).parents[2] / "docs" / "pairs.md").read_text().splitlines()
    head, _, *rows = (line.strip("| ").split(" | ") for line in page if line.startswith("|"))
    assert head[1:] == [row[0] for row in rows] == sorted(command.with_a_harness())
