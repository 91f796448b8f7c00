"""The store under asyncio runs the same procedures."""

from __future__ import annotations

import asyncio

import pytest

import polystore
from polystore import AlreadyExists, Collection, Config, CursorExpired, Group, If, Increment, Set
from polystore.aio import AsyncTransaction

ORDERS = Collection("orders", ["customer:str", "order:int"], indexes={"by_state": ["state"]})


@pytest.mark.rule("RUN-1")
async def test_all_verbs(local_url: str) -> None:
    async with await polystore.aio.open(local_url, [ORDERS]) as store:
        await store.create()
        orders = store["orders"]
        version = await orders.put({"customer": "c1", "order": 1, "state": ""})
        with pytest.raises(AlreadyExists):
            await orders.insert({"customer": "c1", "order": 1})
        await orders.insert({"customer": "c1", "order": 2, "state": "paid"})
        await orders.update("c1", 1, Set(state="paid"), when=If.version(version))
        record = await orders.get("c1", 1)
        assert record is not None
        assert record["state"] == "paid"
        found = await orders.get_many([("c1", 2), ("c1", 3)])
        assert [r and r.key for r in found] == [("c1", 2), None]
        assert [r.key async for r in orders.query("c1", order="desc")] == [("c1", 2), ("c1", 1)]
        assert [r.key async for r in orders.query(index="by_state", state="")] == []
        assert await orders.count(index="by_state", state="paid") == 2
        assert [r.key async for r in orders.scan(limit=1)]
        assert "the key" in orders.explain("c1").served_by
        query = orders.query("c1", limit=1)
        first = await query.page()
        second = await query.page(first.cursor)
        assert [r.key for r in (*first.records, *second.records)] == [("c1", 1), ("c1", 2)]
        with pytest.raises(CursorExpired):
            await orders.scan().page(first.cursor)
        await orders.delete("c1", 1)
        assert await orders.get("c1", 1) is None
        assert (await store.describe())["orders"]["database"].exists
        assert store.native("orders") is not None
        await store.drop()


@pytest.mark.rule("RUN-1", "TX-1")
async def test_transactions_of_many_tasks_lose_nothing(local_url: str) -> None:
    async with await polystore.aio.open(local_url, [ORDERS]) as store:
        await store.create()
        await store["orders"].put({"customer": "c1", "order": 1, "count": 0})

        async def work(tx: AsyncTransaction) -> int:
            await tx["orders"].update("c1", 1, Increment("count"))
            record = await tx["orders"].get("c1", 1)
            assert record is not None
            count: int = record["count"]
            return count

        counts = await asyncio.gather(*(store.transaction(work) for _ in range(20)))
        assert sorted(counts) == list(range(1, 21))


async def test_a_group_is_joined_and_left() -> None:
    config = Config(
        collections={"orders": ORDERS},
        groups={
            "g": Group(
                name="g", source="memory://aio-a", target="memory://aio-b", collections=["orders"]
            )
        },
    )
    async with await polystore.aio.open(config) as store:
        await store.create()
        orders = store["orders"]
        await asyncio.gather(
            *(orders.put({"customer": "c1", "order": n, "state": ""}) for n in range(50))
        )
        assert await orders.count("c1") == 50
        await store.drop()


async def test_a_cancelled_operation_leaves_the_store_usable(local_url: str) -> None:
    async with await polystore.aio.open(local_url, [ORDERS]) as store:
        await store.create()
        orders = store["orders"]
        task = asyncio.create_task(orders.put({"customer": "c1", "order": 1}))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await orders.put({"customer": "c1", "order": 2})
        assert await orders.get("c1", 2) is not None
