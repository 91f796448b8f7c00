"""Errors: a driver translates what its database raises, and no message holds a value."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from polystore.driver import Consistency, Driver, Segment, Unprocessed
from polystore.errors import DriverError, PolystoreError, Unavailable
from polystore.queries import QueryPlan
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import Make, error_of, put, sent, told_of, written


@pytest.mark.rule("ERR-3", "DRV-7")
def test_no_error_holds_the_value_of_a_field(driver: Driver, declare: Make) -> None:
    """Of a write to a collection that is not there, where that is an error."""
    things = declare()
    for writing in ("alone", "among many", "in a commit"):
        write = put(things, ("k",), note="hunter2-secret")
        told = told_of(driver, partial(sent, driver, write, writing))
        error = told.error if isinstance(told, Unprocessed) else told
        if isinstance(error, PolystoreError):
            assert "hunter2" not in f"{error} {error!r} {error.__dict__}"


@pytest.mark.rule("DRV-11", "DRV-7", "ERR-1", "ERR-3")
def test_a_closed_driver_says_so_and_tells_no_value(harness: Harness, make: Make) -> None:
    """An error that every driver has to know, and of each call that takes a record or a key."""
    things = make()
    closed = harness.open()
    write = put(things, ("k",), note="hunter2-secret")
    written(closed, write)
    closed.close()
    calls: list[Callable[[], object]] = [
        lambda: closed.read(things, [("hunter2",)], Consistency.STRONG),
        lambda: closed.write(write),
        lambda: closed.query(things, QueryPlan(None, ("hunter2",)), None, 10),
        lambda: closed.scan(things, Segment(), None, 10),
    ]
    for call in calls:
        error = error_of(closed, call)
        assert isinstance(error, Unavailable)
        assert error.driver  # its own name, or that of the one it wraps
        assert "hunter2" not in f"{error} {error!r} {error.__dict__}"


@pytest.mark.rule("DRV-7", "ERR-1", "ERR-3")
def test_what_a_driver_does_not_know_is_a_driver_error(driver: Driver) -> None:
    error = driver.translate(KeyError("hunter2-secret"))
    assert type(error) is DriverError
    assert error.driver == driver.name
    for kind in (KeyError, ValueError, TypeError, RuntimeError, OSError, AssertionError):
        assert "hunter2" not in str(driver.translate(kind("hunter2-secret")))


def tree(error: type[PolystoreError] = PolystoreError) -> list[type[PolystoreError]]:
    """An error and all that are of its kind."""
    return [error, *(kind for below in error.__subclasses__() for kind in tree(below))]


@pytest.mark.rule("DRV-7")
def test_an_error_of_the_tree_stays_what_it_is(driver: Driver) -> None:
    for kind in tree():
        error = kind.__new__(kind)
        assert driver.translate(error) is error
