"""Index policies: what is in an index, and what is found through it, on every driver."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polystore.capabilities import EmptyIndexed
from polystore.driver import Driver
from polystore.driver.policies import unfit
from polystore.driver.side import Side, declared
from polystore.errors import ConfigError, InvalidValue
from polystore.queries import Above, Below, Between, QueryPlan
from polystore.route.bound import Bound
from polystore.schema import Collection, Index
from polystore.testing.suite.calls import answer, fill, found, put, written
from polystore.testing.suite.neutral import value_order
from polystore.testing.suite.test_indexes import BY_STATE, BY_THREE, BY_TWO, FAMILIES, Shelf, filled
from polystore.values import same
from tests.drivers.conftest import Make

DRIVERS = ("memory", "sqlite", "dynamodb", "datastore", "postgresql", "redis")
WITHOUT_NATIVE = {
    "sqlite": r"cannot be native: .* use encode",
    "postgresql": "cannot be native|one of encode, omit, reject",
    "redis": "one of encode, omit, reject",
}
"""Drivers that keep every index themselves, and what they say to the policy."""
NOON = datetime(2020, 2, 29, 12, tzinfo=UTC)
STATE = Index("by_state", ["state:str"])
RANK = Index("by_rank", ["state:str", "rank:number"])
STATES = ["open", "", None, b"", 1, "\x00", b"open"]
RANKS = [
    7, -1.5, Decimal("1.50"), None, "", "7", float("nan"), float("inf"), -0.0, 1e200, NOON, False
]  # fmt: skip


def under(policy: str, *names: str) -> dict[str, Any]:
    """Placements that give indexes a policy on every driver."""
    return {driver: {"policy": dict.fromkeys(names, policy)} for driver in DRIVERS}


@attrs.frozen
class Policies:
    """A filled collection with both indexes under one policy, and its records."""

    driver: Driver
    things: Collection
    policy: str
    records: list[dict[str, Any]]

    def keys(self, index: Index, *equals: Any, descending: bool = False) -> list[Any]:
        plan = QueryPlan(index, equals, None, descending)
        return [record.key for record in answer(self.driver, self.things, plan, 20)]

    def expected(self, index: Index, *equals: Any) -> list[Any]:
        """The keys of the records that have these values, and what the policy holds."""
        asked = [
            record
            for record in self.records
            if all(name in record for name in index.fields)
            and all(type(record[name]) is not list for name in index.fields)
            and all(map(same, equals, (record[name] for name in index.fields)))
            and (self.policy == "encode" or unfit(index, record) is None)
        ]
        asked.sort(key=lambda r: (*(value_order(r[n]) for n in index.fields), r["id"]))
        return [(record["id"],) for record in asked]


@pytest.fixture(scope="module", params=["encode", "omit", "reject"])
def policies(request: pytest.FixtureRequest, driver: Driver, make: Make) -> Policies:
    placements = under(request.param, "by_state", "by_rank")
    things = make(["id:int"], indexes=[STATE, RANK], placements=placements)
    records: list[dict[str, Any]] = []
    for state in [*STATES, ["open"], "open"]:
        for rank in [*RANKS, [7]]:
            records.append({"id": len(records), "state": state, "rank": rank})
        records.append({"id": len(records), "state": state})
    records.append({"id": len(records), "rank": 7})
    fill(driver, [put(things, (r["id"],), **{**r, "id": r["id"]}) for r in records])
    return Policies(driver, things, request.param, records)


@pytest.mark.rule("QRY-11", "QRY-2", "QRY-3", "CAP-3")
@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
def test_an_index_has_what_its_policy_says(policies: Policies, descending: bool) -> None:
    """What a core that checks nothing has written: `reject` then holds as little as `omit`."""
    claims = {"encode": EmptyIndexed.ENCODED, "omit": EmptyIndexed.OMITTED}
    claim = claims.get(policies.policy, EmptyIndexed.REJECTED)
    empty = policies.driver.capabilities(policies.things).indexes.empty
    assert empty == {"by_state": claim, "by_rank": claim}
    step = -1 if descending else 1
    for state in STATES:
        expected = policies.expected(RANK, state)[::step]
        assert policies.keys(RANK, state, descending=descending) == expected
        assert (
            policies.keys(STATE, state, descending=descending)
            == (policies.expected(STATE, state)[::step])
        )
    for rank in RANKS:
        assert policies.keys(RANK, "open", rank) == policies.expected(RANK, "open", rank)


@pytest.mark.rule("QRY-11", "VAL-7")
def test_what_an_index_leaves_out_is_read_as_it_was_written(policies: Policies) -> None:
    for record in policies.records[::4]:
        stored = found(policies.driver, policies.things, (record["id"],))
        assert stored is not None
        assert stored.fields is not None
        assert same(stored.fields, record)


@pytest.mark.rule("QRY-11")
@pytest.mark.parametrize("policy", ["encode", "omit", "reject"])
def test_records_enter_and_leave_as_values_become_fit(
    driver: Driver, make: Make, policy: str
) -> None:
    things = make(["id:int"], indexes=[RANK], placements=under(policy, "by_rank"))
    for rank, is_fit in ((1, True), (None, False), (2.5, True), ("x", False), (Decimal(3), True)):
        written(driver, put(things, (1,), state="s", rank=rank))
        keys = [record.key for record in answer(driver, things, QueryPlan(RANK, ("s",)))]
        assert keys == ([(1,)] if is_fit or policy == "encode" else [])


@pytest.fixture(scope="module")
def encoded(driver: Driver, make: Make) -> Shelf:
    """Values of all types under one index that polystore makes."""
    indexes = ("by_state", "by_two", "by_three")
    return filled(driver, make, "mixed", placements=under("encode", *indexes))


@pytest.mark.rule("QRY-2", "QRY-3", "QRY-5", "QRY-12")
def test_encode_orders_values_of_all_types_alike_on_every_driver(encoded: Shelf) -> None:
    for descending in (False, True):
        for index in (BY_STATE, BY_TWO, BY_THREE):
            encoded.check(QueryPlan(index, ("",), None, descending), 7)
    values = st.sampled_from(FAMILIES["mixed"])
    ranges = st.one_of(st.builds(Above, values), st.builds(Below, values), st.none())
    plans = st.builds(QueryPlan, st.just(BY_TWO), st.just(("",)), ranges, st.booleans())

    @settings(max_examples=15, deadline=None)
    @given(plans, st.sampled_from([3, 100]))
    def check(plan: QueryPlan, limit: int) -> None:
        encoded.check(plan, limit)

    check()


@pytest.mark.rule("QRY-11", "CAP-3", "PLC-6")
def test_native_is_the_databases_own_index_or_refused(driver: Driver, make: Make) -> None:
    """It needs no `native` of others: `create` makes one where there is none."""
    placements = under("native", "by_state", "by_rank")
    if driver.name in WITHOUT_NATIVE:
        with pytest.raises(ConfigError, match=WITHOUT_NATIVE[driver.name]):
            make(["id:int"], indexes=[STATE, RANK], placements=placements)
        return
    things = make(["id:int"], indexes=[STATE, RANK], placements=placements)
    assert driver.describe(things).problems == ()
    claim = driver.capabilities(things).indexes.empty["by_rank"]
    ranks = [3, -1, 10, 0, 7]
    if claim is EmptyIndexed.INDEXED:
        ranks.append(None)  # type: ignore[arg-type]  # held there
    fill(driver, [put(things, (n,), state="s", rank=rank) for n, rank in enumerate(ranks)])
    plan = QueryPlan(RANK, ("s",))
    ordered = sorted(range(len(ranks)), key=lambda n: value_order(ranks[n]))
    assert [record.key[0] for record in answer(driver, things, plan, 2)] == ordered
    between = QueryPlan(RANK, ("s",), Between(0, 7), descending=True)
    assert [record.key for record in answer(driver, things, between)] == [(4,), (0,), (3,)]


@pytest.mark.rule("QRY-11", "CAP-6", "ERR-4")
def test_the_core_refuses_what_an_index_rejects(driver: Driver, declare: Make) -> None:
    things = declare(["id:int"], indexes=[RANK], placements=under("reject", "by_rank"))
    bound = Bound(things, [Side("database", driver, declared)])
    bound.check_write(put(things, (1,), state="s", rank=Decimal("1.5")))
    bound.check_write(put(things, (1,), rank=1))
    for rank in (None, "", "7", float("nan"), [1]):
        with pytest.raises(InvalidValue, match=r"takes no .* 'rank'.* number") as caught:
            bound.check_write(put(things, (1,), state="s", rank=rank))
        assert (caught.value.driver, caught.value.key) == (driver.name, (1,))


@pytest.mark.rule("QRY-11", "DRV-9")
def test_another_policy_holds_from_the_start(driver: Driver, make: Make) -> None:
    """Once it was created: what the index had under the policy before is neither lost nor shown."""
    things = make(["id:int"], indexes=[RANK], placements=under("encode", "by_rank"))
    ranks = [3, None, 1, "x", 2]
    fill(driver, [put(things, (n,), state="s", rank=rank) for n, rank in enumerate(ranks)])
    everything = [(1,), (2,), (4,), (0,), (3,)]
    policies = {"omit": [(2,), (4,), (0,)], "encode": everything, "native": everything}
    if driver.name in ("dynamodb", *WITHOUT_NATIVE):
        del policies["native"]
    for policy, expected in policies.items():
        placements = under(policy, "by_rank")
        changed = Collection(things.name, things.key, indexes=[RANK], placements=placements)
        made = driver.name not in ("dynamodb", "datastore")
        assert bool(driver.describe(changed).problems) == made
        driver.create(changed)
        assert driver.describe(changed).problems == ()
        found_ = answer(driver, changed, QueryPlan(RANK, ("s",)), 2)
        keys = [record.key for record in found_]
        # Datastore's own order of several types: null, numbers, texts here too.
        assert keys == expected, policy
