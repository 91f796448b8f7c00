"""The models of spec/model/ and the code know each other; the small models are run."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

from spec.model.check import NoSpin, check_tools, verify
from spec.model.table import GUARDS, MIGRATION, RUNS, SMALL, VARIANTS, Run

MODELS = Path(__file__).parents[2] / "spec" / "model"
SWITCH = re.compile(r"^#\s*(?:ifdef|ifndef|if|elif)\s+(.*?)(?:/\*.*)?$", re.MULTILINE)


def switches(model: str) -> set[str]:
    """The switches that the text of a model knows."""
    return {
        word
        for line in SWITCH.findall((MODELS / model).read_text())
        for word in re.findall(r"[A-Z][A-Z_]+", line)
    }


@pytest.mark.parametrize("model", GUARDS)
def test_each_switch_of_a_model_is_a_guard_or_a_variant(model: str) -> None:
    guards = {part.partition("=")[0] for name in GUARDS[model] for part in name.split("+")}
    assert switches(model) == guards | VARIANTS[model]


@pytest.mark.parametrize("model", GUARDS)
def test_each_guard_of_a_model_is_removed_in_a_run(model: str) -> None:
    removed = {
        name
        for run in RUNS
        if run.model == model and not run.holds
        for name in (*run.switches, "+".join(run.switches))
    }
    assert set(GUARDS[model]) <= removed


NAMES = sorted({name for guards in GUARDS.values() for found in guards.values() for name in found})


@pytest.mark.parametrize("name", NAMES)
def test_what_implements_a_guard_is_there(name: str) -> None:
    module, _, path = name.partition(":")
    found = reduce(getattr, path.split("."), importlib.import_module(MIGRATION + module))
    assert found is not None


@pytest.mark.parametrize("run", SMALL, ids=lambda run: " ".join((run.model, *run.switches)))
def test_a_small_model_comes_out_as_it_must(run: Run) -> None:
    try:
        check_tools()
    except NoSpin as missing:
        pytest.skip(str(missing))
    verdict = verify(run, quickly=True)
    assert verdict.expected, str(verdict)
