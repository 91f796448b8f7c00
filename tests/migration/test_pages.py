"""Merging the pages of two sides: it equals what one store would answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.driver import QueryPage, Stored, Write
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.driver import Space
from polystore.errors import Unsupported
from polystore.migration.pages import merged
from polystore.queries import Between, Position, QueryPlan
from polystore.route.base import visible
from polystore.schema import Collection

THINGS = Collection("things", ["owner:str", "item:int"], indexes={"by_state": ["state", "rank"]})
(INDEX,) = THINGS.indexes
RUN = 1 << 40
NOW = 1_000

records = st.dictionaries(
    st.tuples(st.just("ann"), st.integers(0, 12)),
    st.tuples(
        st.booleans(),  # whether its home is the target
        st.booleans(),  # whether it is a tombstone
        st.booleans(),  # whether the mirror has an older state
        st.sampled_from(["a", "b"]),
        st.sampled_from([None, 1, 1.5, "x"]),
        st.sampled_from([None, NOW, NOW + 1]),  # when it expires
    ),
)
plans = st.builds(
    QueryPlan,
    st.just(None),
    st.just(("ann",)),
    st.none() | st.just(Between(3, 9)),
    st.booleans(),
) | st.builds(
    QueryPlan, st.just(INDEX), st.sampled_from([("a",), ("b",)]), st.none(), st.booleans()
)


def opened() -> MemoryDriver:
    driver = MemoryDriver(Space())
    driver.create(THINGS)
    return driver


def answer(driver: MemoryDriver, plan: QueryPlan) -> list[Any]:
    return [r for s in driver.query(THINGS, plan, None, 1000).records if (r := visible(s, NOW))]


@given(records, plans, st.integers(1, 5), st.integers(1, 5))
@pytest.mark.rule("QRY-9", "QRY-5", "QRY-8")
def test_two_sides_together_answer_as_one(
    held: dict[Any, Any], plan: QueryPlan, limit: int, page_size: int
) -> None:
    whole, sides = opened(), {"source": opened(), "target": opened()}
    homes = {}
    for key, (on_target, gone, lagging, state, rank, expires) in held.items():
        owner, item = key
        home = homes[key] = "target" if on_target else "source"
        fields = {"owner": owner, "item": item, "state": state, "rank": rank}
        write = Write(THINGS, key, fields, write_id="w", stamp=RUN + 2, expires=expires)
        if gone:
            write = Write(THINGS, key, None, write_id="w", stamp=RUN + 2)
        whole.write(write)
        sides[home].write(write)
        other = sides["source" if on_target else "target"]
        older = {**fields, "state": "a", "rank": 0}
        other.write(Write(THINGS, key, older, write_id="o", stamp=RUN + 1) if lagging else write)
    found: list[Any] = []
    after: Position | None = None
    for _ in range(200):
        pages: list[QueryPage] = []
        for name, driver in sides.items():
            page = driver.query(THINGS, plan, after, page_size)
            page.records = [s for s in page.records if homes[s.key] == name]
            pages.append(page)
        got = merged(plan, pages, after, limit, NOW)
        assert len(got.records) <= limit
        found += got.records
        after = got.next
        if after is None:
            break
    else:
        pytest.fail("it never ends")
    assert [dict(r) for r in found] == [dict(r) for r in answer(whole, plan)]


def paged(*ranks: Any, last: Any = None) -> QueryPage:
    """A page with records of these ranks, in this order; ``last`` is where it goes on."""
    rows = [Stored(("ann", i), {"state": "a", "rank": rank}, i) for i, rank in enumerate(ranks)]
    return QueryPage(rows, None if last is None else Position(("ann", 99), ("a", last)))


@pytest.mark.rule("QRY-13")
def test_pages_in_an_order_of_their_own_are_refused() -> None:
    """As Datastore gives ints before floats: joined, some would come twice and others never."""
    plan = QueryPlan(INDEX, ("a",))
    back = QueryPlan(INDEX, ("a",), None, descending=True)
    start = Position(("ann", 0), ("a", 2))
    assert len(merged(plan, [paged(1, 1.5, last=3), paged()], None, 9, NOW).records) == 2
    assert len(merged(back, [paged(2, 1.5), paged(1)], None, 9, NOW).records) == 3
    for wrong, pages, after in (
        (plan, [paged(1, 2, 1.5), paged()], None),
        (plan, [paged(), paged(3, last=0.5)], None),
        (plan, [paged(1.5), paged(3)], start),
        (back, [paged(2.5), paged(1)], start),
    ):
        with pytest.raises(Unsupported, match=r"'by_state' .* several types"):
            merged(wrong, pages, after, 9, NOW)
