"""Errors: a driver translates what its database raises, and no message holds a value."""

from __future__ import annotations

import pytest

from polystore.driver import Driver
from polystore.errors import DriverError, NotFound, PolystoreError
from polystore.testing.suite.calls import Make, put


@pytest.mark.rule("ERR-3", "DRV-7")
def test_no_error_holds_the_value_of_a_field(driver: Driver, declare: Make) -> None:
    """Of a write to a collection that is not there, where that is an error."""
    things = declare()
    try:
        driver.write(put(things, ("k",), note="hunter2-secret"))
    except Exception as error:  # noqa: BLE001  # whatever the database raises
        told = driver.translate(error)
        assert "hunter2" not in f"{told} {told!r} {told.__dict__}"


@pytest.mark.rule("DRV-7", "ERR-1", "ERR-3")
def test_what_a_driver_does_not_know_is_a_driver_error(driver: Driver) -> None:
    error = driver.translate(KeyError("hunter2-secret"))
    assert type(error) is DriverError
    assert error.driver == driver.name
    assert "hunter2" not in str(error)


@pytest.mark.rule("DRV-7")
def test_an_error_of_the_tree_stays_what_it_is(driver: Driver) -> None:
    error: PolystoreError = NotFound("nothing", collection="things")
    assert driver.translate(error) is error
