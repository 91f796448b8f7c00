"""Opening and closing a store: from what, with what checks, and what a leaked one says."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest

import polystore
from polystore import Collection, Config, ConfigError, Group, InvalidRequest, Store, Unsupported

ORDERS = Collection("orders", ["customer:str", "order:int"])
TOML = """
url = "memory://from-toml"
timeout = 3
[collections.orders]
key = ["customer:str", "order:int"]
indexes.by_state = ["state"]
"""


def test_a_store_is_opened_from_toml_a_url_or_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "polystore.toml"
    path.write_text(TOML)
    config = Config(url="memory://from-toml", collections={"orders": ORDERS}, timeout=3)
    for where in (path, str(path), config):
        with polystore.open(where) as store:
            assert store.config.timeout == 3
            assert list(store.config.collections) == ["orders"]
    with polystore.open("memory://x", [ORDERS], timeout=2) as store:
        assert store.config.timeout == 2
        assert store["orders"].declared is ORDERS
        assert store["orders"] is store["orders"]


@pytest.mark.rule("ERR-5")
def test_contradictions_are_refused() -> None:
    with pytest.raises(ConfigError, match="collections="):
        polystore.open("memory://")
    config = Config(url="memory://", collections={"orders": ORDERS})
    with pytest.raises(ConfigError, match="declares its own"):
        polystore.open(config, [ORDERS])
    with pytest.raises(ConfigError, match="timeout"):
        polystore.open(config, timeout=0)


def test_a_name_that_is_not_declared_lists_those_that_are() -> None:
    with polystore.open("memory://", [ORDERS, Collection("customers", ["id"])]) as store:
        with pytest.raises(InvalidRequest, match=r"did you mean 'orders'\? declared: orders, cus"):
            store["ordres"]
        with pytest.raises(InvalidRequest, match="declared"):
            store.native("nothing")


@pytest.mark.rule("PLC-3")
def test_only_create_creates_and_it_can_be_repeated(every_url: str) -> None:
    declared = Collection("made_when_asked", ["id:str"])
    with polystore.open(every_url, [declared]) as store:
        store.drop()
        described = store.describe()["made_when_asked"]["database"]
        assert described.exists is False or not described.problems
        store.create()
        store["made_when_asked"].put({"id": "a"})
        store.create()
        assert store["made_when_asked"].get("a") is not None
        assert store.describe()["made_when_asked"]["database"].exists
        store.drop()


@pytest.mark.rule("DRV-9")
def test_what_is_there_and_differs_fails_the_opening(local_url: str) -> None:
    with polystore.open(local_url, [ORDERS]) as store:
        store.create()
    other = Collection("orders", ["id:str"])
    with pytest.raises(ConfigError) as caught:
        polystore.open(local_url, [other])
    assert caught.value.collection == "orders"


@pytest.mark.rule("DRV-9", "PLC-3")
def test_an_index_that_is_not_there_yet_can_be_made(local_url: str) -> None:
    with polystore.open(local_url, [ORDERS]) as store:
        store.create()
        store["orders"].put({"customer": "c1", "order": 1, "state": ""})
    indexed = Collection("orders", ["customer:str", "order:int"], indexes={"by_state": ["state"]})
    with pytest.raises(ConfigError, match="by_state"):
        polystore.open(local_url, [indexed])
    with polystore.open(local_url, [indexed], check=False) as store:
        store.create()
    with polystore.open(local_url, [indexed]) as store:
        assert store["orders"].count(index="by_state", state="") == 1


def test_a_leaked_store_names_the_line_that_opened_it() -> None:
    with pytest.warns(ResourceWarning, match=r"test_opening\.py:\d+ was never closed"):
        leak(lambda: polystore.open("memory://", [ORDERS]))


def leak(opened: Callable[[], Store]) -> None:
    """Open a store and lose it."""
    opened()["orders"]
    gc.collect()


def test_a_handle_keeps_its_store_open() -> None:
    store = polystore.open("memory://", [ORDERS])
    store.create()
    orders = store["orders"]
    close = store.close
    del store
    gc.collect()
    orders.put({"customer": "c1", "order": 1})
    close()
    close()


def test_a_store_that_failed_to_open_is_closed(tmp_path: Path) -> None:
    config = Config(
        url="memory://", collections={"orders": ORDERS, "bad": Collection("bad", ["x"])}
    )
    groups = {"g": Group(name="g", source="memory://a", target="nothing://b", collections=["bad"])}
    with pytest.raises(polystore.UnknownDriver):
        polystore.open(Config(url="memory://", collections=config.collections, groups=groups))
    gc.collect()


def test_native_of_a_group_has_to_be_told_which_side() -> None:
    config = Config(
        collections={"orders": ORDERS},
        groups={
            "g": Group(name="g", source="memory://a", target="memory://b", collections=["orders"])
        },
    )
    with polystore.open(config) as store:
        with pytest.raises(Unsupported, match="side="):
            store.native("orders")
        assert store.native("orders", side="source") is not store.native("orders", side="target")
    with polystore.open("memory://", [ORDERS]) as store:
        assert store.native("orders") is not None
        with pytest.raises(InvalidRequest, match="side="):
            store.native("orders", side="source")
