"""Pages: what changes between two of them, records gone where one ended, and much in one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import attrs
import pytest

from polystore.driver import Consistency, Driver, Segment, Stored
from polystore.queries import QueryPlan
from polystore.schema import Collection
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import (
    Make,
    answer,
    delete,
    fields_of,
    fill,
    pages,
    put,
    scan_pages,
    scanned,
    written,
)
from polystore.testing.suite.test_indexes import BY_TWO
from polystore.values import Key

pytestmark = pytest.mark.about_what_is_stored

PLANS = {"partition": QueryPlan(None, ("p",)), "index": QueryPlan(BY_TWO, ("s",))}
RECORDS = 9


def begun(driver: Driver, things: Collection, plan: QueryPlan) -> tuple[list[Stored], Any]:
    """The first records of a query, and where it goes on."""
    for page in pages(driver, things, plan, 2):
        if page.records:
            return page.records, page.next
    raise AssertionError("nothing is found")


@pytest.mark.rule("DRV-24", "QRY-5", "DRV-22")
@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("ended", ["changed", "gone"])
@pytest.mark.parametrize("name", PLANS)
def test_a_page_goes_on_after_its_place_and_shows_what_is_there_then(
    driver: Driver,
    another: Driver,
    harness: Harness,
    make: Make,
    name: str,
    ended: str,
    descending: bool,
) -> None:
    """Changed, the record where the first page ended comes once more, in its new place."""
    things = make(["p", "s:int"], indexes=[BY_TWO])
    fill(driver, [put(things, ("p", n), state="s", rank=n, v=0) for n in range(RECORDS)])
    harness.settle()
    plan = QueryPlan(PLANS[name].index, PLANS[name].equals, None, descending)
    records, place = begun(driver, things, plan)
    assert place is not None
    order = range(RECORDS)[::-1] if descending else range(RECORDS)
    keys: list[Key] = [("p", n) for n in order]
    last, after, gone, changed, *rest = order[keys.index(records[-1].key) :]
    new, moved = (-1, -2) if descending else (RECORDS, RECORDS + 1)
    expected = {n: (n, 0) for n in (after, *rest, new)} | {changed: (changed, 1)}
    written(another, delete(things, ("p", gone)))
    written(another, put(things, ("p", changed), state="s", rank=changed, v=1))
    written(another, put(things, ("p", new), state="s", rank=new, v=0))
    if ended == "gone":
        written(another, delete(things, ("p", last)))
    else:
        written(another, put(things, ("p", last), state="s", rank=moved, v=1))
        if name == "index":
            expected[last] = (moved, 1)
    harness.settle()
    found = [record.fields or {} for record in answer(driver, things, plan, 2, place)]
    assert [(f["rank"], f["v"]) for f in found] == sorted(expected.values(), reverse=descending)


@pytest.mark.rule("DRV-6")
@pytest.mark.parametrize("count", [1, 2])
def test_a_scan_goes_on_where_the_records_of_its_page_are_gone(
    driver: Driver, another: Driver, make: Make, count: int
) -> None:
    things = make()
    keys: list[Key] = [(f"k{n:02}",) for n in range(24)]
    fill(driver, [put(things, key) for key in keys])
    seen: list[Key] = []
    for index in range(count):
        for page in scan_pages(driver, things, Segment(index, count), 3):
            seen += [record.key for record in page.records]
            for record in page.records:
                written(another, delete(things, record.key))
    assert sorted(seen) == keys


@pytest.mark.rule("DRV-15", "DRV-6")
@pytest.mark.parametrize("count", [1, 2])
def test_a_snapshot_is_no_older_than_its_scan(
    driver: Driver, another: Driver, make: Make, count: int
) -> None:
    """Each scan sees what was written before it, whoever scanned before; halves are parts of it."""
    things = make()
    held: dict[Key, int] = {}
    for turn in range(3):
        changes: dict[Key, int] = {(f"k{n}",): turn for n in range(turn, turn + 6)}
        fill(another, [put(things, key, v=v) for key, v in changes.items()])
        held |= changes
        if turn:
            written(another, delete(things, (f"k{turn - 1}",)))
            del held[f"k{turn - 1}",]
        parts = [Segment(index, count, snapshot=True) for index in range(count)]
        for part in parts:  # one that is given up is of no other's concern
            driver.scan(things, part, None, 1)
        last = next(iter(changes))
        written(another, put(things, last, v=-1))
        held[last] = -1
        if turn and driver.halve(things, parts[0]):
            parts[:1] = parts[0].halves()
        records = [record for part in parts for record in scanned(driver, things, part, 2)]
        assert sorted((r.key, (r.fields or {})["v"]) for r in records) == sorted(held.items())


@attrs.define
class Walk:
    """A query or a scan, page by page.

    Attributes:
        page: the records from a place on, and the place after them; ``None`` is either end.
        keys: of the records so far.
    """

    page: Callable[[Driver, Any], tuple[list[Stored], Any]]
    keys: list[Key] = attrs.field(factory=list)
    _place: Any = None
    ended: bool = False

    def step(self, driver: Driver) -> None:
        """One page more."""
        records, self._place = self.page(driver, self._place)
        self.keys += [record.key for record in records]
        self.ended = self._place is None


def walks(driver: Driver, things: Collection) -> list[Walk]:
    """Queries in both directions; scans of all, of parts and, where there are some, of halves."""

    def asking(plan: QueryPlan, by: Driver, place: Any) -> tuple[list[Stored], Any]:
        page = by.query(things, plan, place, 3)
        return page.records, page.next

    def scanning(part: Segment, by: Driver, place: Any) -> tuple[list[Stored], Any]:
        page = by.scan(things, part, place, 3)
        return page.records, page.cursor

    parts = [Segment(), Segment(0, 2), Segment(1, 2)]
    if driver.halve(things, parts[1]):
        parts += parts[1].halves()
    plans = [attrs.evolve(p, descending=down) for p in PLANS.values() for down in (False, True)]
    return [Walk(partial(asking, plan)) for plan in plans] + [
        Walk(partial(scanning, part)) for part in parts
    ]


@pytest.mark.rule("DRV-24", "DRV-6", "DRV-10", "QRY-5")
def test_pages_by_turns_are_those_that_each_query_and_scan_has_alone(
    driver: Driver, another: Driver, harness: Harness, make: Make
) -> None:
    """Many at once, and each goes on in another process than where it was."""
    things = make(["p", "s:int"], indexes=[BY_TWO])
    fill(driver, [put(things, ("p", n), state="s", rank=n) for n in range(3 * RECORDS)])
    harness.settle()
    alone, together = walks(driver, things), walks(driver, things)
    for walk in alone:
        while not walk.ended:
            walk.step(driver)
    for by in cycle((driver, another)):
        left = [walk for walk in together if not walk.ended]
        for walk in left:
            walk.step(by)
        if not left:
            break
    assert [walk.keys for walk in together] == [walk.keys for walk in alone]


SMALL, LARGE, BYTES = 1090, 11, 100_000


@pytest.mark.rule("DRV-5", "DRV-1", "REC-2", "QRY-5")
def test_much_is_read_whole(driver: Driver, harness: Harness, make: Make) -> None:
    """More records, and more bytes, than a database gives at a time that stops at round numbers."""
    things = make(["p", "s:int"], indexes={"by_state": ["state"]})
    fill(driver, [put(things, ("p", n), state="s") for n in range(SMALL)])
    large: list[Key] = [("p", n) for n in range(SMALL, SMALL + LARGE)]
    for key in large:
        written(driver, put(things, key, state="s", text="x" * BYTES))
    harness.settle()
    keys = [("p", n) for n in range(SMALL + LARGE)]
    for plan in (QueryPlan(None, ("p",)), QueryPlan(things.index("by_state"), ("s",))):
        for limit in (2 * SMALL, 200):
            assert [record.key for record in answer(driver, things, plan, limit)] == keys
    for limit in (2 * SMALL, 200):
        assert sorted(record.key for record in scanned(driver, things, None, limit)) == keys
    for consistency in Consistency:
        reply = driver.read(things, large, consistency)
        for number, record in enumerate(reply.records):
            assert number in reply.unprocessed or record is not None
    assert all(fields_of(driver, things, key) for key in large)
