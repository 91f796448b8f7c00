"""The deviations of a driver: told in a file, strict both ways."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from polystore.errors import ConfigError
from polystore.testing import suite
from polystore.testing.deviations import Deviation, deviations_of
from polystore.testing.harnesses.memory import MemoryHarness

PLUGIN = """
import pytest
from polystore.drivers.memory import MemoryDriver
from polystore.plugin.registry import default_registry
from polystore.plugin.specs import DriverSpec, hookimpl
from polystore.testing.harnesses.memory import MemoryHarness

class Forgetful(MemoryDriver):
    def write_many(self, writes):
        return super().write_many(writes)[:-1]

class OddHarness(MemoryHarness):
    def open(self):
        return Forgetful(self._space)

class Plugin:
    @hookimpl
    def polystore_register_drivers(self):
        return [DriverSpec(name="odd", factory="-:-", summary="", url="", harness="odd:OddHarness")]

def pytest_configure(config):
    default_registry().register(Plugin(), "odd")
"""
ENTRY = """
[[deviation]]
rule = "{rule}"
kind = "driver-gap"
raises = "{raises}"
reason = "it forgets the last"
link = "https://example.org/1"
until = {until}
"""


ALONE = ("--polystore=odd", "--polystore-rule=DRV-4", "test_bulk.py")
PAIR = (
    "--polystore-pair=memory:odd", "--polystore-profile=default", "--polystore-rule=STG-5",
    "pairs/test_backfill.py",
)  # fmt: skip


def tried(
    folder: Path, *entries: str, sound: bool = False, how: tuple[str, ...] = ALONE
) -> tuple[int, str]:
    """Some of the suite's tests on a driver that is odd, or sound, with these deviations."""
    (folder / "odd.py").write_text(PLUGIN.replace("[:-1]", "") if sound else PLUGIN)
    (folder / "deviations.toml").write_text("".join(entries))
    where = Path(suite.__file__).parent
    call = [
        sys.executable, "-m", "pytest", "-p", "polystore.testing.plugin", "-p", "odd",
        "-c", str(where / "conformance.ini"), f"--rootdir={where}", "-p", "no:cacheprovider", "-q",
        "--polystore-profile=smoke",
        *(str(where / text) if text.endswith(".py") else text for text in how),
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(call, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def entry(rule: str = "DRV-4", raises: str = "Exception", until: str = "2999-01-01") -> str:
    return ENTRY.format(rule=rule, raises=raises, until=until)


@pytest.mark.rule("CNF-10")
def test_a_failure_that_was_told_of_is_expected_and_any_other_is_not(tmp_path: Path) -> None:
    code, said = tried(tmp_path)
    assert code == 1, said
    code, said = tried(tmp_path, entry())
    assert code == 0, said
    assert "xfailed" in said
    code, said = tried(tmp_path, entry(raises="KeyError"))
    assert code == 1, said


@pytest.mark.rule("CNF-10")
def test_a_deviation_of_which_nothing_is_left_fails_the_run(tmp_path: Path) -> None:
    code, said = tried(tmp_path, entry(), sound=True)
    assert code == 1
    assert "DRV-4 holds now" in said
    code, said = tried(tmp_path, entry(rule="KEY-3"), sound=True)  # not tried: nothing is known
    assert code == 0, said


@pytest.mark.rule("CNF-10")
def test_workers_of_xdist_count_together(tmp_path: Path) -> None:
    how = (*ALONE, "-n", "2", "-p", "xdist")
    code, said = tried(tmp_path, entry(), how=how)
    assert code == 0, said
    assert "xfailed" in said
    code, said = tried(tmp_path, entry(), sound=True, how=how)
    assert code == 1, said
    assert "DRV-4 holds now" in said


@pytest.mark.rule("CNF-10")
def test_what_fails_in_a_pair_is_told_as_such(tmp_path: Path) -> None:
    told = entry(rule="STG-5") + 'level = "pair"\n'
    code, said = tried(tmp_path, told, how=PAIR)
    assert code == 0, said
    assert "xfailed" in said
    assert tried(tmp_path, entry(rule="STG-5"), how=PAIR)[0] == 1
    code, said = tried(tmp_path, told, sound=True, how=PAIR)
    assert code == 1, said
    assert "odd: STG-5 holds now" in said


@pytest.mark.rule("CNF-10")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (entry(until="2026-01-01"), "its day is over"),
        (entry().replace("driver-gap", "nobody knows"), "a kind of"),
        (entry().replace('link = "https://example.org/1"', ""), "look at link"),
    ],
)
def test_a_file_that_is_wrong_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    (tmp_path / "deviations.toml").write_text(text)
    monkeypatch.setattr(
        "polystore.testing.deviations.inspect.getfile", lambda _: str(tmp_path / "harness.py")
    )
    with pytest.raises(ConfigError, match=says):
        deviations_of(MemoryHarness(), date(2026, 11, 27))


@pytest.mark.rule("CNF-10")
def test_a_deviation_explains_its_rule_and_its_exception_alone() -> None:
    one = Deviation("A-1", "bug", "LookupError", "r", "l", date(2999, 1, 1))
    assert one.explains({"A-1", "B-2"}, KeyError)
    assert not one.explains({"B-2"}, KeyError)
    assert not one.explains({"A-1"}, ValueError)
