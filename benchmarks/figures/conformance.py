"""The figures of issue 6: one suite for every driver and every pair, and how strong it is."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures.figure import Figure, Outcome
from polystore.cli.conformance import with_a_harness
from polystore.testing import suite
from tests.architecture.test_spec import RULES, named_by_tests
from tests.mutants.kills import NAMED
from tests.mutants.lying import ALL, CLAIMS
from tests.mutants.procedures import PROCEDURES
from tests.mutants.sessions import ROOT, hunted

SEEDS = 20
LEAST_CASES = 200
MOST_LINES = 400
SLOW = {"datastore", "dynamodb"}
"""Drivers whose engine here takes milliseconds for a call: their pairs are tried at ``remote``."""
CI_MINUTES = 25
REPORTS = ROOT / ".reports"
"""Where the reports of pairs are left."""


def conformance() -> list[Figure]:
    """The figures of this area, in the order of the table in the issue."""
    return [
        Figure(
            "rules with a test, tests with a rule", "all, both ways",
            "ids of spec/ against the marks and docstrings of all tests", rules,
        ),
        Figure(
            "cases per ordered pair", f"at least {LEAST_CASES}, stages included",
            "tests that pytest collects for each ordered pair of installed drivers", cases,
        ),
        Figure(
            "ordered pairs that pass", "all of the installed drivers, each with itself too",
            "polystore conformance --pair, profile default; remote where one of the two is "
            f"{' or '.join(sorted(SLOW))}", pairs,
        ),
        Figure(
            "mutants caught by their rule", f"all, {SEEDS} seeds of {SEEDS}",
            "each alone on the cases of its rule, stopped at the first failure", mutants,
        ),
        Figure(
            "a driver that refuses everything", "fails, naming each rule",
            "polystore conformance on such a driver", refusing,
        ),
        Figure(
            "a driver that lies about every claim", "fails, naming each claim",
            "polystore conformance on such a driver", lying,
        ),
        *(
            Figure(
                f"lines of the driver {name}", f"at most {MOST_LINES}",
                "lines of code of its package, without descriptor, docstrings and comments",
                partial(lines, name),
            )
            for name in _packages()
        ),
        *(
            Figure(
                f"{profile} on {' → '.join(names)}", f"at most {most} s",
                "polystore conformance", partial(seconds, profile, names, most),
            )
            for names in (("memory",), ("memory", "memory"))
            for profile, most in (("smoke", 15), ("default", 120))
        ),
        Figure("CI", f"at most {CI_MINUTES} min", ".ci/run on a clone of what is committed", ci),
    ]  # fmt: skip


def rules() -> Outcome:
    """Rules that no test names, and the other way round."""
    known, tested = {rule.id for rule in RULES}, named_by_tests()
    without = [rule.id for rule in RULES if rule.id not in tested]
    unknown = [named for named in tested if named not in known]
    told = f"{len(known)} rules; without a test: {without or 'none'}; unknown: {unknown or 'none'}"
    return Outcome(told, not without and not unknown)


def cases() -> Outcome:
    """How many cases each ordered pair has."""
    ordered = [f"{source}:{target}" for source, target in product(with_a_harness(), repeat=2)]
    found = _pytest(
        "--collect-only", "-q", "--polystore-profile=default",
        f"--polystore-pair={','.join(ordered)}",
    )  # fmt: skip
    collected = found.stdout.splitlines()
    counts = {pair: sum(f"[{pair}" in line for line in collected) for pair in ordered}
    least = min(counts.values())
    return Outcome(f"{len(ordered)} pairs, at least {least} cases", least >= LEAST_CASES)


def pairs() -> Outcome:
    """All ordered pairs, on their engines; the quick ones and the slow ones at once."""
    ordered = list(product(with_a_harness(), repeat=2))
    slow = [pair for pair in ordered if SLOW & set(pair)]
    tasks = [("remote", slow), ("default", [pair for pair in ordered if pair not in slow])]
    with ThreadPoolExecutor(len(tasks)) as pool:
        reports = [report for found in pool.map(_tried, tasks) for report in found]
    failed = [
        f"{r['source']['driver']} → {r['target']['driver']}" for r in reports if r["failures"]
    ]
    count = sum(r["tests"]["passed"] for r in reports)
    told = f"{len(reports) - len(failed)} of {len(ordered)} pass, {count} cases"
    holds = not failed and len(reports) == len(ordered)
    return Outcome(told + (f"; not: {', '.join(failed)}" if failed else ""), holds)


def _tried(task: tuple[str, Sequence[tuple[str, str]]]) -> list[Any]:
    """The reports of some pairs at a profile; they are kept, for ``docs/pairs.md``."""
    profile, ordered = task
    named = [word for pair in ordered for word in ("--pair", *pair)]
    REPORTS.mkdir(exist_ok=True)
    kept = ("--report", str(REPORTS / f"pairs-{profile}"))
    found = _conformance(*named, "--one-way", "--profile", profile, "--json", *kept)
    reports: list[Any] = json.loads(found.stdout)["reports"]
    return reports


def ci() -> Outcome:
    """How long CI takes on a clean checkout, and what its last line says."""
    with TemporaryDirectory(prefix="polystore-ci-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        began = time.monotonic()
        done = subprocess.run([clone / ".ci" / "run"], capture_output=True, text=True, check=False)
        minutes = (time.monotonic() - began) / 60
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1].strip("= ")
    holds = done.returncode == 0 and minutes <= CI_MINUTES
    return Outcome(f"{minutes:.1f} min: {last}", holds)


def mutants() -> Outcome:
    """Who escaped with which seed; as many sessions at once as there are cores."""
    began = time.monotonic()
    kinds = [
        ("tests.mutants.hunt", [*NAMED], ("--polystore-profile=smoke", "--hypothesis-seed={}")),
        ("tests.mutants.hunt_pairs", [*PROCEDURES],
         ("--polystore-profile=default", "--hunt-seed={}")),
    ]  # fmt: skip
    hunts = product(range(SEEDS), kinds)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = pool.map(lambda hunt: _hunt(hunt[0], *hunt[1]), hunts)
        found = [each for part in parts for each in part]
    escaped = [f"{name} ({seed})" for name, seed, caught, _ in found if not caught]
    slowest, name = max((took, name) for name, _, _, took in found)
    told = (
        f"{len(NAMED) + len(PROCEDURES)} mutants, {SEEDS} seeds in "
        f"{time.monotonic() - began:.0f} s; escaped: {', '.join(escaped) or 'none'}; "
        f"slowest: {name}, {slowest:.1f} s"
    )
    return Outcome(told, not escaped)


def _hunt(
    seed: int, plugin: str, names: Sequence[str], arguments: Sequence[str]
) -> list[tuple[str, int, bool, float]]:
    """Each mutant with one seed: whether it was caught, and the seconds it took."""
    with TemporaryDirectory() as folder:
        told = hunted(plugin, Path(folder), *(text.format(seed) for text in arguments))
    return [(name, seed, name in told["caught"], told["took"][name]) for name in names]


def refusing() -> Outcome:
    """What passes on a driver that does nothing."""
    found = _reported("--polystore=refusing", "-p", "tests.mutants.refused")
    named = {rule for rule, count in found["rules"].items() if count["failed"]}
    passed = sorted(found["rules"].keys() - named)
    told = f"{found['tests']['failed']} tests fail, {len(named)} of {len(found['rules'])} rules"
    return Outcome(f"{told}; no failure: {', '.join(passed) or 'none'}", not passed)


def lying() -> Outcome:
    """Which claims of a driver that keeps none are not said to be untrue."""
    found = _reported(f"--polystore=lying?{ALL}", "-p", "tests.mutants.lying")
    named = found["untrue_claims"]
    rules = {rule for ids in named.values() for rule in ids}
    missed = [path for path in CLAIMS if path not in named]
    told = f"{len(named)} of {len(CLAIMS)} claims named, by {len(rules)} rules"
    return Outcome(f"{told}; not named: {', '.join(missed) or 'none'}", not missed)


def _reported(*arguments: str) -> dict[str, Any]:
    """The report of a brief run on one driver."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "report"
        _pytest("--polystore-profile=smoke", f"--polystore-report={path}", *arguments)
        found: dict[str, Any]
        (found,) = json.loads(path.with_suffix(".json").read_text())["reports"]
    return found


def lines(name: str) -> Outcome:
    """Lines of code of a driver."""
    found = sorted(_packages()[name].rglob("*.*"))
    files = [p for p in found if p.suffix in _COUNTED and p.stem not in _DESCRIBES]
    count = sum(map(_code, files))
    return Outcome(f"{count} in {len(files)} files", count <= MOST_LINES)


_COUNTED = {".py", ".lua"}
_DESCRIBES = {"capabilities", "harness", "plugin", "limits"}


def _packages() -> dict[str, Path]:
    found = {name: ROOT / "polystore" / "drivers" / name for name in ("memory", "sqlite")}
    for name in ("redis", "postgresql"):
        spec = find_spec(f"polystore_{name}")
        if spec is not None and spec.origin is not None:
            found[name] = Path(spec.origin).parent
    return found


def _code(path: Path) -> int:
    """Lines with code: neither blank, nor comment, nor docstring."""
    text = path.read_text()
    if path.suffix == ".lua":
        return sum(bool(line.strip()) and line.strip()[:2] != "--" for line in text.splitlines())
    told: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            told |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in told
        for number, line in enumerate(text.splitlines(), 1)
    )


def seconds(profile: str, names: Sequence[str], most: float) -> Outcome:
    """How long a run takes, the start of the process included."""
    what = names if len(names) == 1 else ["--pair", *names]
    began = time.monotonic()
    done = _conformance(*what, "--profile", profile)
    took = time.monotonic() - began
    return Outcome(f"{took:.1f} s", done.returncode == 0 and took <= most)


def _conformance(*arguments: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "polystore.cli", "conformance", *arguments]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)


def _pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    folder = Path(suite.__file__).parent
    call = [
        sys.executable, "-m", "pytest", "-p", "polystore.testing.plugin", "-c",
        str(folder / "conformance.ini"), f"--rootdir={folder}", "-p", "no:cacheprovider",
        *arguments, str(folder),
    ]  # fmt: skip
    env: dict[str, Any] = {**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPATH": str(ROOT)}
    return subprocess.run(call, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
