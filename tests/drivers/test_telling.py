"""Which of our drivers tell what they found, which the contract leaves open."""

from __future__ import annotations

import pytest

from polystore.capabilities import Scope
from polystore.driver import NOTHING, Driver
from polystore.testing.suite.calls import put, refused, rejected, written
from tests.drivers.conftest import Make
from tests.drivers.facts import TELLING


@pytest.mark.rule("DRV-2", "DRV-3")
def test_refusals_tell_what_they_found(driver: Driver, make: Make) -> None:
    things = make()
    token = written(driver, put(things, ("k",), n=1))
    told = refused(driver, put(things, ("k",), NOTHING))
    assert told.told == (driver.name in TELLING)
    assert told.current is None or told.current.token == token
    refusals = rejected(driver, [put(things, ("l",)), put(things, ("k",), NOTHING)]).refusals
    assert [r is not None for r in refusals] == [False, True] * (driver.name in TELLING)


@pytest.mark.rule("DRV-3", "TX-2")
def test_transactions_reach_over_the_store(driver: Driver, make: Make) -> None:
    assert driver.capabilities(make()).transactions.scope is Scope.STORE
