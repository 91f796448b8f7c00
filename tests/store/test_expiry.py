"""What has expired is gone, in every way to look: a store on each driver against a small model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

import polystore
from polystore import (
    KEEP,
    AlreadyExists,
    Collection,
    Config,
    Conflict,
    Group,
    If,
    InvalidRequest,
    InvalidValue,
    NotFound,
    OpenCollection,
    Record,
    Set,
    Store,
    Transaction,
)
from polystore.aio import AsyncStore
from polystore.databases import Databases
from polystore.driver import Driver, Segment
from polystore.plugin.registry import default_registry
from polystore.values import Fields
from tests.store.conftest import orders

DAWN = datetime(2027, 1, 15, 8, 0, 0, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_runs = count()


class Clock:
    """A wall clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = DAWN
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        return (self.now - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND


@attrs.frozen
class Timed:
    """A store with one collection, and the clock that it looks at."""

    store: Store
    driver: Driver
    collection: Collection
    clock: Clock

    @property
    def orders(self) -> OpenCollection:
        return self.store[self.collection.name]


def timed(url: str) -> Iterator[Timed]:
    collection, clock = orders(), Clock()
    config = Config(url=url, collections={collection.name: collection})
    databases = Databases(config, default_registry(), "here", clock)
    with Store(databases) as store:
        store.create()
        yield Timed(store, databases.driver(url), collection, clock)


@pytest.fixture
def local(local_url: str) -> Iterator[Timed]:
    """On memory and SQLite."""
    yield from timed(local_url)


@pytest.fixture
def every(every_url: str) -> Iterator[Timed]:
    """On all four drivers."""
    yield from timed(every_url)


@attrs.frozen
class Held:
    """A record of the model."""

    fields: Fields
    expires_at: datetime | None


numbers = st.integers(1, 3)
states = st.sampled_from(["a", "b"])
offsets = st.sampled_from([None, None, -MICROSECOND, timedelta(0), MICROSECOND, timedelta(days=2)])
"""When a record expires, from the moment it is written."""

conditions = st.sampled_from(["any", "absent", "present", "a", "seen"])
steps = st.sampled_from([MICROSECOND, timedelta(days=2)])


class ExpiryMachine(RuleBasedStateMachine):
    """A dict whose entries go at their moment is all that a collection is."""

    def __init__(self, place: Timed) -> None:
        super().__init__()
        self.place = place
        self.orders = place.orders
        self.clock = place.clock
        self.run = f"run{next(_runs)}"
        self.model: dict[int, Held] = {}
        self.seen: dict[int, Record] = {}

    def held(self, n: int) -> Held | None:
        """What is there now."""
        held = self.model.get(n)
        if held and held.expires_at is not None and held.expires_at <= self.clock.now:
            return None
        return held

    def moment(self, offset: timedelta | None) -> datetime | None:
        return None if offset is None else self.clock.now + offset

    def fields(self, n: int, state: str) -> Fields:
        return {"customer": self.run, "order": n, "state": self.run + state, "total": n}

    def condition(self, n: int, name: str) -> tuple[Any, bool]:
        """A condition, and whether it holds in the model."""
        held = self.held(n)
        if name == "a":
            wanted = self.run + "a"
            return If.field("state") == wanted, bool(held and held.fields["state"] == wanted)
        if name == "seen":
            seen = self.seen.get(n)
            if seen is None:
                return If.any, True
            now = self.orders.get(self.run, n)
            return If.version(seen.version), now is not None and now.version == seen.version
        always = {"any": True, "absent": held is None, "present": held is not None}
        return getattr(If, name), always[name]

    @rule(step=steps)
    def tick(self, step: timedelta) -> None:
        self.clock.now += step

    @rule(n=numbers, state=states, offset=offsets, name=conditions, how=st.integers(0, 2))
    def put(self, n: int, state: str, offset: timedelta | None, name: str, how: int) -> None:
        fields, expires_at = self.fields(n, state), self.moment(offset)
        when, holds = self.condition(n, name)
        writes: list[Callable[[], object]] = [
            lambda: self.orders.put(fields, when, expires_at=expires_at),
            lambda: self.within(lambda o: o.put(fields, when, expires_at=expires_at)),
            lambda: self.orders.insert(fields, expires_at=expires_at),
        ]
        if how == 2:
            holds = self.held(n) is None
        self.expect(holds, (AlreadyExists, NotFound, Conflict), writes[how])
        if holds:
            self.model[n] = Held(fields, expires_at)

    @rule(
        n=numbers,
        state=states,
        offset=offsets | st.just(KEEP),
        name=conditions,
        atomic=st.booleans(),
    )
    def update(self, n: int, state: str, offset: Any, name: str, atomic: bool) -> None:
        held = self.held(n)
        when, holds = self.condition(n, name)
        expires_at = offset if offset is KEEP else self.moment(offset)
        changes = Set(state=self.run + state, total=n)

        def update(on: Any) -> None:
            on.update(self.run, n, changes, when=when, expires_at=expires_at)

        self.expect(holds, Conflict, lambda: self.within(update) if atomic else update(self.orders))
        if holds:
            if expires_at is KEEP:
                expires_at = None if held is None else held.expires_at
            self.model[n] = Held(self.fields(n, state), expires_at)

    @rule(n=numbers, name=conditions)
    def delete(self, n: int, name: str) -> None:
        when, holds = self.condition(n, name)
        self.expect(holds, Conflict, lambda: self.orders.delete(self.run, n, when=when))
        if holds:
            self.model.pop(n, None)

    @rule(limit=st.integers(1, 4), descending=st.booleans(), state=states)
    def look(self, limit: int, descending: bool, state: str) -> None:
        orders, run = self.orders, self.run
        live = [n for n in (1, 2, 3) if self.held(n)]
        keys = [(run, n) for n in (1, 2, 3)]
        self.agree([orders.get(*key) for key in keys])
        self.agree(orders.get_many(keys))
        self.agree(self.within(lambda o: [o.get(*key) for key in keys]))
        order, ordered = ("desc", live[::-1]) if descending else ("asc", live)
        assert [r.key[1] for r in orders.query(run, order=order)] == ordered
        query, paged, cursor = orders.query(run, limit=limit), [], None
        while True:
            page = query.page(cursor)
            paged += [r.key[1] for r in page.records]
            cursor = page.cursor
            if cursor is None:
                break
        assert paged == live
        by_state: Any = {"index": "by_state", "state": run + state}
        expected = [n for n in live if self.model[n].fields["state"] == run + state]
        assert [r.key[1] for r in orders.query(**by_state)] == expected
        assert orders.count(**by_state) == len(expected)
        assert orders.count(run) == len(live)
        assert sorted(r.key[1] for r in orders.scan() if r.key[0] == run) == live
        self.seen = {n: r for n in live if (r := orders.get(run, n)) is not None}

    @rule()
    def purge(self) -> None:
        gone = [n for n in self.model if not self.held(n)]
        assert self.orders.purge() >= len(gone)
        for n in gone:
            del self.model[n]
        self.lies()

    def lies(self) -> None:
        """After a purge nothing lies there but what is seen."""
        page = self.place.driver.scan(self.place.collection, Segment(), None, 1000)
        assert sorted(s.key[1] for s in page.records if s.key[0] == self.run) == sorted(self.model)

    def agree(self, found: list[Record | None]) -> None:
        for n, record in zip((1, 2, 3), found, strict=True):
            held = self.held(n)
            assert (held is None) is (record is None)
            if held is not None and record is not None:
                assert dict(record) == held.fields
                assert record.expires_at == held.expires_at

    def within(self, work: Callable[[Any], Any]) -> Any:
        """Do it in a transaction."""
        name = self.place.collection.name

        def function(tx: Transaction) -> Any:
            return work(tx[name])

        return self.place.store.transaction(function)

    def expect(self, holds: bool, error: Any, write: Callable[[], object]) -> None:
        if holds:
            write()
        else:
            with pytest.raises(error):
                write()

    def teardown(self) -> None:
        self.look(2, False, "a")
        self.purge()


@pytest.mark.rule("EXP-1", "EXP-2", "EXP-3", "EXP-8")
def test_a_record_is_gone_from_its_moment_on_whichever_way_one_looks(
    every: Timed, every_url: str
) -> None:
    few = 4 if every_url.startswith("dynamodb") else 12

    class PlacedMachine(ExpiryMachine):
        def __init__(self) -> None:
            super().__init__(every)

    run_state_machine_as_test(
        PlacedMachine,
        settings=settings(
            max_examples=max(few, settings().max_examples // 20),
            stateful_step_count=20,
            report_multiple_bugs=False,
        ),
    )


@pytest.mark.rule("EXP-1")
def test_an_update_may_change_the_expiry_alone(local: Timed) -> None:
    orders = local.orders
    orders.put({"customer": "c", "order": 1, "x": 1}, expires_at=DAWN + MICROSECOND)
    orders.update("c", 1, Set(x=2))
    found = orders.get("c", 1)
    assert found is not None
    assert found.expires_at == DAWN + MICROSECOND
    there = timezone(timedelta(hours=3))
    later = (DAWN + timedelta(days=1)).astimezone(there)
    orders.update("c", 1, expires_at=later)
    local.store.transaction(lambda tx: tx[local.collection.name].update("c", 1, Set(x=3)))
    local.clock.now += timedelta(hours=23)
    found = orders.get("c", 1)
    assert found is not None
    assert (found["x"], found.expires_at) == (3, later)
    assert found.expires_at is not None
    assert found.expires_at.tzinfo is UTC
    orders.update("c", 1, expires_at=None)
    local.clock.now += timedelta(days=9999)
    found = orders.get("c", 1)
    assert found is not None
    assert found.expires_at is None
    with pytest.raises(InvalidRequest, match="then changes"):
        orders.update("c", 1)


@pytest.mark.rule("EXP-1", "ERR-5")
@pytest.mark.parametrize("wrong", [datetime(2027, 1, 1), 1_800_000_000, "2027-01-01"])  # noqa: DTZ001
def test_an_expiry_is_a_moment_with_a_zone(local: Timed, wrong: Any) -> None:
    orders, record = local.orders, {"customer": "c", "order": 1}
    writes: list[Callable[[], object]] = [
        lambda: orders.put(record, expires_at=wrong),
        lambda: orders.put(record, If.absent, expires_at=wrong),
        lambda: orders.insert(record, expires_at=wrong),
        lambda: orders.update("c", 1, Set(x=1), when=If.any, expires_at=wrong),
    ]
    for write in writes:
        with pytest.raises(InvalidValue, match=r"expires_at.*time zone"):
            write()
    assert orders.get("c", 1) is None


@pytest.mark.rule("EXP-2", "TX-5")
def test_a_transaction_sees_its_own_write_until_its_moment(local: Timed) -> None:
    name = local.collection.name

    def work(tx: Transaction) -> datetime | None:
        tx[name].put({"customer": "c", "order": 1}, expires_at=DAWN + MICROSECOND)
        seen = tx[name].get("c", 1)
        assert seen is not None
        local.clock.now += MICROSECOND
        assert tx[name].get("c", 1) is None
        tx[name].insert({"customer": "c", "order": 1, "again": True})
        return seen.expires_at

    assert local.store.transaction(work) == DAWN + MICROSECOND
    found = local.orders.get("c", 1)
    assert found is not None
    assert found["again"] is True


@pytest.mark.rule("EXP-5")
def test_the_clock_is_asked_for_nothing_but_records_with_an_expiry(local: Timed) -> None:
    orders = local.orders
    for n in range(3):
        orders.put({"customer": "c", "order": n, "state": "a", "total": n})

    def look() -> None:
        orders.get("c", 1)
        orders.get_many([("c", 1), ("c", 7)])
        assert orders.count("c") == len(list(orders.scan())) == 3
        orders.update("c", 1, Set(x=1))
        local.store.transaction(lambda tx: tx[local.collection.name].get("c", 1))

    look()
    assert local.clock.asked == 0
    orders.put({"customer": "c", "order": 2}, expires_at=DAWN + MICROSECOND)
    look()
    asked = local.clock.asked
    assert asked == 2  # the count and the scan
    orders.get("c", 2)
    assert local.clock.asked == asked + 1


@pytest.mark.rule("EXP-1", "EXP-2", "RUN-1")
async def test_it_is_the_same_under_asyncio(local_url: str) -> None:
    clock, collection = Clock(), orders()
    config = Config(url=local_url, collections={collection.name: collection})
    databases = Databases(config, default_registry(), "here", clock)
    async with AsyncStore(databases) as store:
        await store.create()
        things = store[collection.name]
        await things.put({"customer": "c", "order": 1}, expires_at=DAWN + MICROSECOND)
        await things.update("c", 1, expires_at=DAWN + 2 * MICROSECOND)
        clock.now += MICROSECOND
        found = await things.get("c", 1)
        assert found is not None
        assert found.expires_at == DAWN + 2 * MICROSECOND
        clock.now += MICROSECOND
        assert await things.get("c", 1) is None
        assert await things.purge() == 1
        await things.insert({"customer": "c", "order": 1})
        assert await things.count("c") == 1


@pytest.mark.rule("EXP-8", "ERR-5")
def test_a_purge_keeps_to_its_rate(local: Timed, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = local.orders
    for n in range(250):
        orders.put({"customer": "c", "order": n}, expires_at=None if n % 2 else DAWN)
    slept: list[float] = []
    monkeypatch.setattr(local.store._databases.runner, "_sleep", slept.append)
    assert orders.purge(rate=50) == 125
    assert slept == [2.0, 2.0]
    assert orders.purge() == 0
    assert orders.count("c") == 125
    for wrong in (0, -1.0):
        with pytest.raises(InvalidRequest, match="rate"):
            orders.purge(rate=wrong)


@pytest.mark.engine
@pytest.mark.rule("EXP-6", "EXP-7")
def test_create_lets_dynamodb_remove_what_has_expired(url_of: Callable[[str], str]) -> None:
    declared = orders()
    placed = attrs.evolve(declared, placements={"dynamodb": {"ttl": "gone"}})
    url, name = url_of("dynamodb"), declared.name
    with polystore.open(url, [placed], check=False) as store:
        store.create()
        expiry = store.describe()[name]["database"].expiry
        assert expiry is not None
        assert expiry.on
        assert "by the attribute 'gone'" in expiry.says
        store[name].put({"customer": "c", "order": 1}, expires_at=DAWN)
        item = store.native(name).get_item(
            TableName=name, Key={"customer": {"S": "c"}, "order": {"N": "1"}}
        )["Item"]
        assert item["gone"] == {"N": "1800000001"}
        store.drop()


@pytest.mark.engine
@pytest.mark.rule("EXP-7")
def test_create_turns_nothing_on_in_a_group(url_of: Callable[[str], str]) -> None:
    declared = orders()
    placed = attrs.evolve(declared, placements={"dynamodb": {"ttl": "gone"}})
    source, target = url_of("sqlite"), url_of("dynamodb")
    group = Group(name="shop", source=source, target=target, collections=(declared.name,))
    config = Config(collections={declared.name: placed}, groups={"shop": group})
    with polystore.open(config, check=False) as store:
        store.create()
        described = store.describe()[declared.name]
        told = {side: found.expiry and found.expiry.on for side, found in described.items()}
        assert told == {"source": False, "target": False}
        store.drop()
