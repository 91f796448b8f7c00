"""Two clients against one small model: no update is lost, whatever they do in whichever order."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from polystore.driver import Driver
from polystore.testing.machines import Broken, shown
from polystore.testing.plugin import PROFILE, TRACES
from polystore.testing.suite.calls import Make
from polystore.testing.suite.machine import ContractMachine, transactional


@pytest.mark.rule("DRV-1", "DRV-2", "DRV-3", "CON-1", "CON-3", "REC-5")
def test_no_update_is_lost(
    driver: Driver, another: Driver, make: Make, request: pytest.FixtureRequest
) -> None:
    collections, seen, broken = [make(), make()], Counter[str](), Broken()
    name = request.node.callspec.params["harness"]
    machine = partial(ContractMachine, name, [driver, another], collections, seen, broken)
    least = 8 if request.config.getoption(PROFILE) == "remote" else 25
    steps = settings(
        max_examples=max(least, settings().max_examples // 4),
        stateful_step_count=25,
        report_multiple_bugs=False,  # one lost update fails in many places
    )
    with shown(broken, request.config.getoption(TRACES)):
        run_state_machine_as_test(machine, settings=steps)  # type: ignore[arg-type]  # is called
    # A machine that never came to one of these has shown nothing about it.
    outcomes = {"Written", "Refused"}
    if transactional(driver, collections[0]):
        outcomes |= {"Committed", "Rejected"}
    assert outcomes <= set(seen), f"never came about: {outcomes - set(seen)}"
