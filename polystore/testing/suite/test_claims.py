"""Promises of the descriptor that are no sizes: kept as claimed, and told where more is true.

A test with the mark ``promise`` tries what the descriptor says at that path. Where it fails, the
claim is not true, and the report says so by the claim's name and the rules.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from polystore.capabilities import EmptyIndexed, Freshness, Removal, Scope
from polystore.capabilities.terms import CONDITIONS
from polystore.driver import (
    ANYTHING,
    NOTHING,
    Committed,
    Condition,
    Consistency,
    Driver,
    OlderThan,
    Unchanged,
    Write,
    Written,
)
from polystore.errors import LimitExceeded, PolystoreError, Unsupported
from polystore.queries import QueryPlan
from polystore.schema import Collection, Index
from polystore.testing import WEAKER
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import (
    Make,
    answer,
    fill,
    found,
    fresh,
    put,
    refusal_of,
    taken,
    told_of,
    written,
)
from polystore.testing.suite.sized import Sized
from polystore.testing.suite.test_limits import bound
from polystore.values import INT_MAX, INT_MIN, Key

pytestmark = pytest.mark.about_what_is_stored

ROUNDS = 10
"""How often a read is tried right after another opening has written."""

BY_STATE = Index("by_state", ("state",))
PLACED = {"datastore": {"path": "ClaimA/{p}/ClaimB/{s}"}}
"""A placement that stores int parts as the database's own."""

Tell = Callable[[str], None]


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Says that a claim is weaker than the truth."""
    return lambda says: request.node.user_properties.append((WEAKER, says))


@pytest.mark.rule("CAP-3", "KEY-4", "KEY-5", "CNF-9")
@pytest.mark.parametrize("placements", [{}, PLACED], ids=["plain", "placed"])
@pytest.mark.parametrize(
    "end",
    [
        pytest.param("int_min", marks=pytest.mark.promise("keys.int_min")),
        pytest.param("int_max", marks=pytest.mark.promise("keys.int_max")),
    ],
)
def test_ints_in_keys_up_to_their_bound(
    driver: Driver, make: Make, end: str, placements: Any, tell: Tell
) -> None:
    things = make(["p", "s:int"], placements=placements)
    held = driver.capabilities(things).keys
    bound_, step = (held.int_min, -1) if end == "int_min" else (held.int_max, 1)
    one = fresh()  # what is placed is where it is for all
    assert taken(driver, put(things, (one, bound_), n=1)), "the database refuses what is claimed"
    plan = QueryPlan(None, (one,))
    assert [record.key for record in answer(driver, things, plan)] == [(one, bound_)]
    if INT_MIN <= bound_ + step <= INT_MAX and taken(driver, put(things, (one, bound_ + step))):
        tell(f"keys.{end}: {bound_} is claimed, {bound_ + step} is held")


def nested(levels: int) -> Any:
    """A value in so many containers, lists and maps by turns."""
    value: Any = 1
    for level in range(levels):
        value = {"a": value} if level % 2 else [value, None]
    return value


@pytest.mark.rule("CAP-4", "CAP-3", "ERR-4", "CNF-9")
@pytest.mark.promise("records.depth")
def test_values_nest_as_deeply_as_is_claimed(driver: Driver, make: Make, tell: Tell) -> None:
    """40 levels where there is no limit: more than any other driver takes."""
    things = make()
    limit = driver.capabilities(things).records.depth
    at, over = (
        put(things, ("k",), f=nested((limit.most if limit else 40) + more)) for more in (0, 1)
    )
    assert not list(bound(driver, things).violations(at))
    assert taken(driver, at), "the database refuses what is claimed"
    if limit is None:
        return
    with pytest.raises(LimitExceeded):
        bound(driver, things).check_write(over)
    if taken(driver, over):
        tell(f"records.depth: {limit.most} {limit.unit} are claimed, one more is held")


ROOM = 11 * 2**20
"""More bytes in one commit than any other driver takes."""
PART = 360_000
"""Bytes of one record of a large commit: less than any driver's limit."""


def of_bytes(driver: Driver, things: Collection, size: int) -> list[Write]:
    """Writes that measure ``size`` together."""
    count = -(-size // PART)
    sizes = [size // count + (i < size % count) for i in range(count)]
    return [
        Sized("", "record", lambda c, n, i=i: put(c, (f"k{i}",), f="x" * n), 0).at(  # type: ignore[misc]
            driver, things, part
        )
        for i, part in enumerate(sizes)
    ]


@pytest.mark.rule("CAP-4", "TX-3", "ERR-4", "CNF-9")
@pytest.mark.claims("transactions over the store")
@pytest.mark.promise("transactions.size")
def test_a_commit_takes_as_many_bytes_as_are_claimed(
    driver: Driver, make: Make, tell: Tell
) -> None:
    things = make()
    limit = driver.capabilities(things).transactions.size
    writes = of_bytes(driver, things, limit.most if limit else ROOM)
    core = bound(driver, things)
    core.check_atomic(len(writes), writes)
    outcome = driver.commit(writes, [])
    assert isinstance(outcome, Committed)
    assert found(driver, things, writes[-1].key) is not None
    if limit is None:
        return
    writes = of_bytes(driver, things, limit.most + 1)
    with pytest.raises(LimitExceeded):
        core.check_atomic(len(writes), writes)
    if refusal_of(driver, lambda: driver.commit(writes, [])) is None:
        tell(f"transactions.size: {limit.most} {limit.unit} are claimed, one more is written")


@pytest.mark.rule("DRV-3", "CAP-3", "CNF-9")
@pytest.mark.promise("transactions.scope")
@pytest.mark.parametrize("scope", [Scope.RECORD, Scope.PARTITION, Scope.STORE])
def test_a_commit_reaches_as_far_as_is_claimed(
    driver: Driver, harness: Harness, make: Make, scope: Scope, tell: Tell
) -> None:
    """Further, the core refuses it; without any transactions so does the driver, by name."""
    things, others = make(["p", "s:int"]), make()
    of_scope: dict[Scope, list[tuple[Collection, Key]]] = {
        Scope.RECORD: [(things, ("a", 1))],
        Scope.PARTITION: [(things, ("a", 1)), (things, ("a", 2))],
        Scope.STORE: [(things, ("a", 1)), (things, ("b", 1)), (others, ("a",))],
    }
    claimed = driver.capabilities(things).transactions.scope
    writes = [put(collection, key, NOTHING, n=1) for collection, key in of_scope[scope]]
    told = told_of(driver, lambda: driver.commit(writes, []))
    error = told if isinstance(told, PolystoreError) else None
    there = [harness.peek(write.collection, write.key) is not None for write in writes]
    if error is not None:
        assert not any(there), "what was refused is there"
    if claimed.strength >= scope.strength:
        assert error is None, f"{claimed.value} is claimed, {scope.value} is refused"
        assert isinstance(told, Committed)
        assert all(there)
    elif claimed is Scope.NONE:
        assert isinstance(error, Unsupported), "no transactions are claimed"
    elif error is None and all(there):
        tell(f"transactions.scope: {claimed.value} is claimed, {scope.value} is written")


@pytest.mark.rule("CAP-3", "CAP-4", "DRV-4", "CNF-9")
@pytest.mark.promise("batches.write_items")
def test_one_call_writes_as_many_as_are_claimed(driver: Driver, make: Make, tell: Tell) -> None:
    things = make()
    limit = driver.capabilities(things).batches.write_items
    most = limit.most if limit else 600
    writes = [put(things, (f"k{i}",), n=i) for i in range(most)]
    assert all(isinstance(outcome, Written) for outcome in driver.write_many(writes))
    assert found(driver, things, (f"k{most - 1}",)) is not None
    if limit is None:
        return
    over = [put(things, (f"over{i}",), n=i) for i in range(most + 1)]
    error = refusal_of(driver, lambda: driver.write_many(over))
    if error is None and found(driver, things, (f"over{most}",)) is not None:
        tell(f"batches.write_items: {most} {limit.unit} are claimed, one more is written")


@pytest.mark.rule("DRV-2", "CAP-3", "CNF-9")
@pytest.mark.promise("writes.conditions")
@pytest.mark.parametrize("name", sorted(CONDITIONS))
def test_a_condition_is_kept_or_refused_by_name(
    driver: Driver, harness: Harness, make: Make, name: str, tell: Tell
) -> None:
    """Not claimed, it is refused with nothing written, where it would hold and where not."""
    things = make()
    key, other, absent = ("k",), ("other",), ("absent",)
    token = written(driver, put(things, key, stamp=5, n=1))
    stale = written(driver, put(things, other, stamp=5, n=0))
    written(driver, put(things, other, stamp=9, n=1))
    holds: dict[str, tuple[Key, Condition]] = {
        "anything": (key, ANYTHING), "nothing": (absent, NOTHING),
        "unchanged": (key, Unchanged(token)), "older-than": (key, OlderThan(6)),
    }  # fmt: skip
    fails: dict[str, tuple[Key, Condition]] = {
        "nothing": (other, NOTHING), "unchanged": (other, Unchanged(stale)),
        "older-than": (other, OlderThan(9)),
    }  # fmt: skip
    claimed = name in driver.capabilities(things).writes.conditions
    kept = []
    for (tried, condition), expected in (
        (holds[name], True),
        (fails.get(name, holds[name]), False),
    ):
        before = harness.peek(things, tried)
        write = put(things, tried, condition, stamp=20, n=2)
        told = told_of(driver, partial(driver.write, write))
        changed = harness.peek(things, tried) != before
        if isinstance(told, PolystoreError):
            assert not claimed, f"{name} is claimed, and refused"
            assert isinstance(told, Unsupported)
            assert not changed, "what was refused is there"
            return
        done = isinstance(told, Written)
        assert changed == done
        kept.append(done == (expected or name not in fails))
    assert all(kept), f"{name} is not looked at"
    if not claimed:
        tell(f"writes.conditions: {name} is not claimed, and is kept")


@pytest.mark.rule("QRY-3", "CAP-3", "CNF-9")
@pytest.mark.promise("indexes.empty")
@pytest.mark.parametrize("value", ["", None, b""], ids=["text", "null", "bytes"])
def test_empty_values_in_an_index_as_claimed(
    driver: Driver, make: Make, value: Any, tell: Tell
) -> None:
    """Left out of the index, the record is there all the same; rejected, it is not."""
    things = make(indexes=[BY_STATE])
    claim = driver.capabilities(things).indexes.empty["by_state"]
    plan = QueryPlan(BY_STATE, (value,))
    holds = taken(driver, put(things, ("k",), state=value))
    shown = holds and [record.key for record in answer(driver, things, plan)] == [("k",)]
    if claim.strength >= EmptyIndexed.ENCODED.strength:
        assert shown, f"{claim.value} is claimed, and it is not found"
    else:
        assert holds or claim is EmptyIndexed.REJECTED, f"{claim.value} is claimed, and refused"
        if shown:
            tell(f"indexes.empty: {claim.value} is claimed, an empty value is found")


WAYS = {"point": "reads.point", "query": "reads.query", "index": "reads.index"}


@pytest.mark.rule("DRV-1", "CAP-3", "CNF-9")
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.promise(path)) for way, path in WAYS.items()]
)
def test_a_read_is_as_fresh_as_is_claimed(
    driver: Driver, another: Driver, harness: Harness, make: Make, way: str, tell: Tell
) -> None:
    """Right after another opening's write, in turns. An imitation that lags less proves nothing."""
    things = make(["p", "s:int"], indexes=[BY_STATE])
    ways: dict[str, Callable[[Driver, Key], list[int]]] = {
        "point": lambda d, key: _numbers(
            d.read(things, [key], Consistency.STRONG).records  # strong is the best there is
        ),
        "query": lambda d, key: _numbers(answer(d, things, QueryPlan(None, key[:1]))),
        "index": lambda d, key: _numbers(answer(d, things, QueryPlan(BY_STATE, ("s",)))),
    }
    late = 0
    for n in range(1, ROUNDS + 1):
        writer, reader = (driver, another) if n % 2 else (another, driver)
        written(writer, put(things, ("p", 1), state="s", n=n))
        late += ways[way](reader, ("p", 1)) != [n]
    claimed = getattr(driver.capabilities(things).reads, way)
    if claimed is Freshness.STRONG:
        assert not late, f"strong is claimed: {late} of {ROUNDS} reads were late"
    elif not late and harness.engine.real:
        tell(f"{WAYS[way]}: {claimed.value} is claimed, none of {ROUNDS} reads was late")


def _numbers(records: Any) -> list[int]:
    return [record.fields["n"] for record in records if record is not None]


@pytest.mark.rule("EXP-7", "CAP-3", "CNF-9")
@pytest.mark.promise("expiry.removal")
def test_the_database_removes_what_has_expired_where_that_is_claimed(
    driver: Driver, make: Make, tell: Tell
) -> None:
    """It says that it was told to; when it does so is its own affair."""
    things = make()
    claim = driver.capabilities(things).expiry.removal
    able = driver.expire_natively(things)
    fill(driver, [put(things, ("k",), expires=2**52, n=1)])
    if claim is Removal.DATABASE:
        assert able or driver.native_expiry(things).on is not False, "nothing is removed"
    elif able:
        tell("expiry.removal: purge is claimed, the database removes by itself")
