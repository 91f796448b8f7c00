"""Two processes, one key, a copier and a crash: every order of the calls of the real code.

The figures of the area protocol run all scopes; here are those that take a few seconds.
"""

from __future__ import annotations

from functools import partial

import pytest

from polystore.testing.history import NotLinearizable
from polystore.testing.simulator.exhaustive import explore
from polystore.testing.simulator.scope import SCOPES, Scope, Step, World
from polystore.testing.simulator.watch import Violation
from tests.migration.guards import GUARDS

SMALL = [s for s in SCOPES if "put" not in s.verbs and (not s.there or s.verbs[0] == "insert")]
PUTS = SCOPES[0]


@pytest.mark.rule("STG-4", "WR-9", "MIR-3", "MIR-6", "RCV-6")
@pytest.mark.parametrize("scope", SMALL, ids=str)
def test_no_order_of_calls_breaks_a_promise(scope: Scope) -> None:
    found = explore(partial(World, scope))
    print(f"{scope.name}: {found}")  # noqa: T201  # explored and pruned
    assert found.orders > 1
    assert found.pruned > 0


@pytest.mark.parametrize(
    "name", ["mirror if older", "copy if older", "intent", "recovery converges", "fence", "token",
             "home first", "slots are counted before use", "intent in the same commit"],
)  # fmt: skip
def test_without_a_guard_some_order_breaks_a_promise(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, attribute, replacement in GUARDS[name].removed():
        monkeypatch.setattr(place, attribute, replacement)
    with pytest.raises((Violation, NotLinearizable)) as raised:
        explore(partial(World, PUTS))
    assert "step p0" in raised.value.__notes__[0]


def test_the_same_steps_lead_to_the_same_state() -> None:
    """Orders are tried by starting anew, so a state is a function of the steps to it."""
    way = [Step("p0"), Step("p1"), Step("p1", "wire"), Step("copier"), Step("rescuer")]
    states = []
    for _ in range(2):
        world = World(PUTS)
        for step in way:
            assert step in world.steps()
            world.take(step)
        states.append((world.state(), list(world.steps())))
        world.close()
    assert states[0] == states[1]
