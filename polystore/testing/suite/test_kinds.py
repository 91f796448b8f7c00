"""Kinds of values: those that a driver claims as native have no mark of ours in the database."""

from __future__ import annotations

import pytest

from polystore.driver import Driver, Write
from polystore.kinds import EXAMPLES
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import Make, found, written
from polystore.values import RESERVED, same

pytestmark = pytest.mark.about_what_is_stored


@pytest.mark.rule("CAP-11", "CAP-3", "VAL-9")
@pytest.mark.promise("values.native")
@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_kind_is_native_or_marked(
    driver: Driver, harness: Harness, make: Make, kind: str
) -> None:
    things = make()
    write = Write(things, ("k",), {"id": "k", "f": EXAMPLES[kind]})
    written(driver, write)
    marked = RESERVED in repr(harness.peek(things, ("k",)))
    assert marked == (kind not in driver.capabilities(things).values.native)
    record = found(driver, things, ("k",))
    assert record is not None
    assert same(record.fields, write.fields)
