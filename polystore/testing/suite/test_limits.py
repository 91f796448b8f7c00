"""Claimed limits: at one it passes, one over it the core refuses, and so does the database.

Where the database takes more than was claimed, the report says so: a weaker claim costs its users.
"""

from __future__ import annotations

import pytest

from polystore.driver import Consistency, Driver
from polystore.driver.side import Side, declared
from polystore.errors import LimitExceeded
from polystore.route.bound import Bound
from polystore.schema import Collection
from polystore.testing import WEAKER
from polystore.testing.suite.calls import Make, found, put, refusal_of, taken
from polystore.testing.suite.sized import SIZED, limit_of
from polystore.values import Key

pytestmark = pytest.mark.about_what_is_stored


def bound(driver: Driver, collection: Collection) -> Bound:
    """What the core checks, with this database alone in play."""
    return Bound(collection, [Side("source", driver, declared)])


@pytest.mark.rule("CAP-4", "KEY-5", "ERR-4", "CNF-9")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.promise(one.code)) for name, one in SIZED.items()],
)
def test_a_size_passes_at_its_limit_and_not_over_it(
    driver: Driver, make: Make, name: str, request: pytest.FixtureRequest
) -> None:
    sized = SIZED[name]
    things = make(list(sized.key), **sized.declaration)
    core = bound(driver, things)
    limit = limit_of(driver.capabilities(things), sized.code)
    if limit is None:
        write = sized.padded(things, sized.beyond)
        if not list(core.violations(write)):  # else another limit of this database says no
            assert taken(driver, write)
        return
    at, over = (sized.at(driver, things, limit.most + more) for more in (0, 1))
    others = {violation.code for violation in core.violations(at)}
    assert sized.code not in others
    assert taken(driver, at) or others, "the database refuses what is claimed"
    found_over = [v for v in core.violations(over) if v.code == sized.code]
    assert [(v.limit, v.size) for v in found_over] == [(limit, limit.most + 1)]
    with pytest.raises(LimitExceeded):
        core.check_write(over)
    if not others and taken(driver, over):
        told = f"{sized.code}: {limit.most} {limit.unit} are claimed, {name} of more is taken"
        request.node.user_properties.append((WEAKER, told))


@pytest.mark.rule("CAP-4", "CNF-9")
@pytest.mark.promise("batches.read_keys")
def test_a_read_takes_as_many_keys_as_are_claimed(
    driver: Driver, make: Make, request: pytest.FixtureRequest
) -> None:
    things = make()
    limit = driver.capabilities(things).batches.read_keys
    most = limit.most if limit else 2000
    keys: list[Key] = [(f"k{i}",) for i in range(most + 1)]
    assert driver.read(things, keys[:most], Consistency.STRONG).records == [None] * most
    if limit is None:
        return
    if refusal_of(driver, lambda: driver.read(things, keys, Consistency.STRONG)) is None:
        told = f"batches.read_keys: {most} {limit.unit} are claimed, one more is read"
        request.node.user_properties.append((WEAKER, told))


@pytest.mark.claims("transactions over the store")
@pytest.mark.rule("CAP-4", "TX-3", "ERR-4", "CNF-9")
@pytest.mark.promise("transactions.items")
def test_a_commit_takes_as_many_records_as_are_claimed(
    driver: Driver, make: Make, request: pytest.FixtureRequest
) -> None:
    things = make()
    limit = driver.capabilities(things).transactions.items
    most = limit.most if limit else 600
    core = bound(driver, things)
    writes = [put(things, (f"k{i}",), n=i) for i in range(most + 1)]
    core.check_atomic(most, writes[:most])
    driver.commit(writes[:most], [])
    assert found(driver, things, (f"k{most - 1}",)) is not None
    if limit is None:
        return
    with pytest.raises(LimitExceeded):
        core.check_atomic(most + 1, writes)
    error = refusal_of(driver, lambda: driver.commit(writes, []))
    assert (found(driver, things, (f"k{most}",)) is None) == (error is not None)
    if error is None:
        told = f"transactions.items: {most} {limit.unit} are claimed, one more is written"
        request.node.user_properties.append((WEAKER, told))
