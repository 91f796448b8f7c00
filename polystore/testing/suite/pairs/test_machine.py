"""Anything in any order, between two databases."""

from __future__ import annotations

from collections import Counter
from functools import partial

import attrs
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from polystore.testing.machines import Broken, shown
from polystore.testing.pairs import Pair
from polystore.testing.plugin import TRACES
from polystore.testing.suite.pairs.machine import ENTRIES, PairMachine


@attrs.frozen
class Effort:
    """How much a machine is run from each place.

    Attributes:
        examples: runs.
        steps: of each, at most.
        calls: runs go on, with other seeds, until there were so many; and where something has not
            come about yet, up to :data:`MORE` times as many.
    """

    examples: int
    steps: int = 20
    calls: int = 0


EFFORTS = {
    "smoke": Effort(2, 10),
    "default": Effort(25),
    "remote": Effort(12, 20, calls=1000),
    "nightly": Effort(1000, 30),
}
MORE = 30
"""With eight times as many, two of seven machines had seen no lost answer."""

BEFORE_COPY = "dual-write before the copy"
MUST = ("forwards", "backwards", "crash", "no answer")
"""What has to come about wherever a machine begins, but in smoke."""


@pytest.mark.claims("transactions over the store")
@pytest.mark.rule("STG-4", "STG-6", "WR-9", "MIR-3", "MIR-6", "BF-2", "DIA-5", "RCV-7", "CNF-8")
@pytest.mark.timeout(0)
@pytest.mark.share(10)
@pytest.mark.parametrize("name", ENTRIES)
def test_one_store_wherever_its_records_lie(
    pair: Pair, profile: str, name: str, pytestconfig: pytest.Config
) -> None:
    effort, fired, broken = EFFORTS[profile], Counter[str](), Broken()
    run = partial(
        run_state_machine_as_test,
        partial(PairMachine, pair, name, fired, broken),  # type: ignore[arg-type]  # called, and no more
        settings=settings(
            max_examples=effort.examples,
            stateful_step_count=effort.steps,
            deadline=None,
            database=None,
            derandomize=profile != "nightly" and not effort.calls,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
    must = [*MUST, *["copy beside a write"] * (name == BEFORE_COPY)]
    begun, turns = pair.calls, 0
    with shown(broken, pytestconfig.getoption(TRACES)):
        if not effort.calls:
            run()
        while pair.calls - begun < effort.calls * (1 if all(map(fired.get, must)) else MORE):
            turns += 1
            seed(turns)(run)()
    missing = [what for what in must if not fired[what]]
    assert profile == "smoke" or not missing, f"never came about: {missing}"
