"""A store on a group: the same calls in every stage, and membership as a store needs it."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest

import polystore
from benchmarks.walk import walk
from polystore import Collection, Config, Group, If, Increment, Set, Store, Transaction
from polystore.migration.coordinator import Coordinator
from polystore.migration.fleet import Fleet

ORDERS = Collection("orders", ["customer:str", "order:int"], indexes={"by_state": ["state"]})


@pytest.fixture
def config() -> Config:
    """One group over two spaces of memory, that polls quickly."""
    name = f"{time.monotonic_ns():x}"
    group = Group(
        name="shop",
        source=f"memory://{name}-source",
        target=f"memory://{name}-target",
        collections=["orders"],
        colocate=1,
        lease=2.0,
        poll=0.05,
        fast_poll=0.01,
        call_timeout=0.5,
        quarantine=1.0,
    )
    return Config(collections={"orders": ORDERS}, groups={"shop": group})


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    """A store on that group, with its collections made."""
    with polystore.open(config) as opened:
        opened.create()
        yield opened


def fleet(store: Store) -> Fleet:
    """What can be seen of the members."""
    member = store._databases.member("shop")
    return Coordinator(member.group).fleet


def members(store: Store) -> list[str]:
    """The states of all members that there ever were."""
    return [m.state for m in store._databases.runner.run(fleet(store).members())]


def use(store: Store) -> None:
    """Each kind of operation once."""
    orders = store["orders"]
    orders.delete("c1", 1)
    version = orders.insert({"customer": "c1", "order": 1, "state": ""})
    orders.update("c1", 1, Increment("count"), when=If.version(version))
    orders.put({"customer": "c1", "order": 2, "state": "paid"})

    def work(tx: Transaction) -> object:
        record = tx["orders"].get("c1", 1)
        tx["orders"].update("c1", 2, Set(note="x"))
        return record and record["count"]

    assert store.transaction(work) == 1
    found = orders.get_many([("c1", 1), ("c1", 2), ("c1", 3)])
    assert [record and record["state"] for record in found] == ["", "paid", None]
    assert [record["order"] for record in orders.query("c1", order="desc")] == [2, 1]
    assert orders.count(index="by_state", state="") == 1
    assert len(list(orders.scan())) == 2
    assert len(orders.scan(limit=1).page().records) <= 1


def test_a_process_joins_with_its_first_operation_and_leaves_at_the_end(config: Config) -> None:
    with polystore.open(config) as first, polystore.open(config) as second:
        first.create()
        assert members(first) == []
        use(first)
        assert members(first) == ["active"]
        second["orders"].get("c1", 1)
        assert members(first) == ["active", "active"]
        second.close()
        assert members(first).count("active") == 1


def test_a_group_without_its_control_store_says_what_to_do(config: Config) -> None:
    with (
        polystore.open(config, timeout=0.3) as store,
        pytest.raises(polystore.ConfigError, match="create"),
    ):
        store["orders"].get("c1", 1)


def test_all_operations_in_source_only(store: Store) -> None:
    use(store)
    use(store)


@pytest.mark.rule("STG-3", "QRY-9")
def test_all_operations_in_every_stage(store: Store) -> None:
    """The same calls give the same answers through the whole migration."""
    seen: list[str] = []

    def between(step: str) -> None:
        use(store)
        use(store)
        seen.append(step)

    assert walk(store, "shop", between) == 0
    assert seen == [
        "source-only", "armed", "prepare", "dual-write", "dual-read", "dual-read 10 %",
        "dual-read 50 %", "dual-read 0 %", "dual-read 100 %", "target-only", "clean",
    ]  # fmt: skip


def test_a_leaked_store_of_a_group_stops_its_tasks(config: Config) -> None:
    def leak() -> None:
        store = polystore.open(config)
        store.create()
        use(store)
        del store
        gc.collect()

    before = threading.active_count()
    with pytest.warns(ResourceWarning, match="never closed"):
        leak()
    for _ in range(100):
        if threading.active_count() <= before:
            break
        time.sleep(0.02)
    assert threading.active_count() <= before
