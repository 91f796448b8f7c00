"""What a driver claims and does not keep is named, each claim by itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polystore.testing import suite
from polystore.testing.suite.sized import SIZED
from polystore.testing.suite.test_claims import WAYS
from tests.mutants.lying import ALL, CLAIMS
from tests.mutants.sessions import ROOT


def reports(tmp: Path, plugin: str, *arguments: str) -> list[dict[str, Any]]:
    """The reports of a brief run with a plugin."""
    folder, report = Path(suite.__file__).parent, tmp / "report"
    call = [
        sys.executable, "-m", "pytest", "-p", "polystore.testing.plugin", "-p", plugin,
        "-c", str(folder / "conformance.ini"), f"--rootdir={folder}", "-p", "no:cacheprovider",
        "--tb=no", "-q", "--polystore-profile=smoke", f"--polystore-report={report}",
        *arguments, str(folder),
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(call, cwd=tmp, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(report.with_suffix(".json").read_text())["reports"]
    return found


@pytest.mark.rule("CNF-12")
def test_each_untrue_claim_is_named(tmp_path: Path) -> None:
    """A driver that lies about one claim, for each; and the one that lies about them all."""
    named = ",".join(f"lying?{claim}" for claim in (ALL, *CLAIMS))
    found = reports(tmp_path, "tests.mutants.lying", f"--polystore={named}", "-m", "promise")
    told = {report["driver"]: report["untrue_claims"] for report in found}
    assert sorted(told[f"lying?{ALL}"]) == sorted(CLAIMS)
    assert {claim: [*told[f"lying?{claim}"]] for claim in CLAIMS} == {c: [c] for c in CLAIMS}
    assert all(rules for claims in told.values() for rules in claims.values())


@pytest.mark.rule("CNF-5")
def test_every_rule_is_broken_by_a_driver_that_refuses_everything(tmp_path: Path) -> None:
    (found,) = reports(tmp_path, "tests.mutants.refused", "--polystore=refusing")
    assert [rule for rule, count in found["rules"].items() if not count["failed"]] == []


PROMISED = re.compile(r'mark\.promise\("([a-z_.]+)"\)')


@pytest.mark.rule("CNF-12")
def test_every_promise_of_the_capabilities_has_a_test_and_nothing_else_has() -> None:
    texts = [path.read_text() for path in Path(suite.__file__).parent.glob("test_*.py")]
    named = {path for text in texts for path in PROMISED.findall(text)}
    named |= {one.code for one in SIZED.values()} | set(WAYS.values())
    assert sorted(CLAIMS) == sorted(named)
