"""A failing machine's program and trace, and ``polystore replay``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from polystore.cli import main
from polystore.testing import suite
from polystore.testing.claims import Bench
from polystore.testing.machines import Broken, shown, written
from polystore.testing.pairs import Pair
from polystore.testing.suite.pairs.machine import PairMachine
from polystore.testing.traces import FORMAT, Step, Trace
from tests.mutants.procedures import PROCEDURES

ROOT = Path(__file__).parents[2]
FOLDER = Path(suite.__file__).parent

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
STEPS = st.builds(
    Step,
    st.text(min_size=1),
    st.dictionaries(st.text(), st.recursive(PLAIN, st.lists, max_leaves=5)),
)


@settings(max_examples=50)
@given(steps=st.lists(STEPS), place=st.none() | st.text())
def test_a_trace_is_read_as_it_was_written(steps: list[Step], place: str | None) -> None:
    trace = Trace(("a",) if place is None else ("a", "b?c=d"), place, tuple(steps))
    path = written(trace, None)
    try:
        assert repr(Trace.read(path)) == repr(trace)  # 1 and 1.0 are equal, but not the same
    finally:
        path.unlink()


def environment() -> dict[str, str]:
    paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return {**os.environ, "PYTHONPATH": paths, "PYTEST_ADDOPTS": ""}


def failed(tmp: Path, *arguments: str) -> tuple[str, Path]:
    """The program and the trace of a machine that fails."""
    call = [
        sys.executable, "-m", "pytest", "-p", "polystore.testing.plugin",
        "-p", "tests.mutants.named", "-c", str(FOLDER / "conformance.ini"), f"--rootdir={FOLDER}",
        "-p", "no:cacheprovider", "-q", f"--polystore-traces={tmp}", *arguments, str(FOLDER),
    ]  # fmt: skip
    done = subprocess.run(
        call, cwd=tmp, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    told = "\n".join(line[1:] for line in done.stdout.splitlines() if line[:2] == "E ")
    program = told.partition("the shortest program that shows it:\n")[2].partition("again, or")[0]
    (trace,) = tmp.glob("*.trace.json")
    assert f"polystore replay {trace}" in told
    return dedent(program), trace


AGAIN = """
import json, sys
from click.testing import CliRunner
from polystore.cli import main
from tests.mutants import named

named.pytest_configure()

program, trace, name = sys.argv[1:]
found = []
for driver in (name, "memory"):
    try:
        exec(program.replace(name, driver), {})
    except AssertionError:
        found.append([driver, "fails"])
    else:
        found.append([driver, "holds"])
for more in ([], ["--on", "memory"], ["--on", "sqlite"]):
    done = CliRunner().invoke(main, ["replay", trace, *more, "--json"])
    told = json.loads(done.stdout)
    found.append([*told["drivers"], done.exit_code, (told["broken"] or "")[:25]])
print(json.dumps(found))
"""


@pytest.mark.rule("CNF-11")
def test_a_failure_on_a_driver_is_a_program_and_a_trace(tmp_path: Path) -> None:
    """Both fail on the driver where they were found, and hold on others."""
    name = "mutant?TokenOfContent"
    program, trace = failed(
        tmp_path, f"--polystore={name}", "--polystore-profile=smoke", "-k", "no_update_is_lost"
    )
    call = [sys.executable, "-c", AGAIN, program, str(trace), name]
    done = subprocess.run(call, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        [name, "fails"],
        ["memory", "holds"],
        [name, 1, "AssertionError: not so: d"],
        ["memory", 0, ""],
        ["sqlite", 0, ""],
    ]


@pytest.mark.rule("CNF-11")
def test_a_failure_of_a_pair_is_a_program_and_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, broken = Pair(("memory", "memory"), (Bench.of("memory"),) * 2), Broken()
    machine = partial(PairMachine, pair, "dual-write before the copy", Counter(), broken)
    quick = settings(
        max_examples=200, stateful_step_count=20, database=None, phases=[Phase.generate],
        derandomize=True, deadline=None, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    with monkeypatch.context() as patch:
        for place, attribute, replacement in PROCEDURES["MirrorBlind"].removed():
            patch.setattr(place, attribute, replacement)
        with pytest.raises(AssertionError) as caught, shown(broken, str(tmp_path)):
            run_state_machine_as_test(machine, settings=quick)  # type: ignore[arg-type]  # is called
        (trace,) = tmp_path.glob("*.trace.json")
        assert f"polystore replay {trace}" in "".join(caught.value.__notes__)
        with pytest.raises(AssertionError):
            exec(broken.program, {})
        assert invoked(str(trace))[0] == 1
    exec(broken.program, {})
    assert re.search(r"# c\d+: items\.(put|insert|delete|update)\(", broken.program)
    assert invoked(str(trace))[0] == 0
    assert invoked(str(trace), "--pair", "sqlite", "memory")[0] == 0


def invoked(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["replay", *arguments])
    return done.exit_code, done.output


STEP = ["look", {"client": 0, "slot": "a-x"}]
TRACE = {"format": FORMAT, "drivers": ["memory"], "place": None, "steps": [STEP]}


@pytest.mark.parametrize(
    ("content", "arguments", "says"),
    [
        (None, [], "cannot be read"),
        ("{", [], "not JSON"),
        ("[]", [], "no trace of the suite"),
        ({**TRACE, "format": 99}, [], "format 99"),
        ({**TRACE, "steps": [["look"]]}, [], "broken trace"),
        ({**TRACE, "steps": [["__init__", {}]]}, [], "a step '__init__'"),
        ({**TRACE, "drivers": ["memory", "memory"]}, [], "broken trace"),
        (TRACE, ["--pair", "memory", "memory"], "--on DRIVER"),
        (TRACE, ["--on", "memmory"], "did you mean 'memory'"),
        ({**TRACE, "drivers": ["memory"] * 2, "place": "x"}, ["--on", "memory"], "--pair A B"),
        ({**TRACE, "drivers": ["memory"] * 2, "place": "x"}, [], "cannot begin at 'x'"),
    ],
)
def test_what_is_no_trace_is_refused(
    tmp_path: Path, content: object, arguments: list[str], says: str
) -> None:
    path = tmp_path / "t.trace.json"
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    done = CliRunner().invoke(main, ["replay", str(path), *arguments])
    assert (done.exit_code, says in done.output) == (2, True), done.output


def test_a_trace_that_holds_tells_its_steps(tmp_path: Path) -> None:
    path = tmp_path / "t.trace.json"
    path.write_text(json.dumps(TRACE))
    done = CliRunner().invoke(main, ["replay", str(path)])
    assert done.exit_code == 0, done.output
    assert "found1 = one.read(a, [('x',)], Consistency.STRONG).records" in done.output
    assert "memory: every promise held" in done.output
