"""When a record expires: how it is said, who looks at the clock, who removes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

import polystore
from polystore import (
    Config,
    Group,
    If,
    InvalidRequest,
    InvalidValue,
    Set,
    Transaction,
)
from polystore.aio import AsyncStore
from polystore.databases import Databases
from polystore.plugin.registry import default_registry
from tests.store.conftest import orders
from tests.store.timed import DAWN, MICROSECOND, Clock, Timed, timed


@pytest.fixture
def local(local_url: str) -> Iterator[Timed]:
    """On memory and SQLite."""
    yield from timed(local_url)


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
        assert item["gone"] == {"N": str(int(DAWN.timestamp()) + 1)}
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
