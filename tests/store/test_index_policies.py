"""Index policies as an application sees them: on one database, and between two that differ."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import polystore
from benchmarks.walk import walk
from polystore import Collection, Config, Group, If, InvalidValue, Set, Store

KEY, INDEXES = (
    ["customer:str", "order:int"],
    {"by_state": ["state:str"], "by_rank": ["rank:number"]},
)


@pytest.mark.rule("QRY-11", "ERR-3")
def test_reject_refuses_the_write_and_leaves_what_is_there(local_url: str) -> None:
    placement = {"policy": {"by_rank": "reject"}}
    placements = {"memory": placement, "sqlite": placement}
    collection = Collection("orders", KEY, indexes=INDEXES, placements=placements)
    with polystore.open(local_url, [collection]) as store:
        store.create()
        orders = store["orders"]
        version = orders.put({"customer": "c", "order": 1, "state": "", "rank": 7})
        for rank in (None, "secret", float("nan"), [7]):
            record = {"customer": "c", "order": 1, "state": "new", "rank": rank}
            for refused in (
                lambda: orders.put(record),  # noqa: B023  # called at once
                lambda: orders.put(record, when=If.present),  # noqa: B023
                lambda: orders.update("c", 1, Set(rank=rank)),  # noqa: B023
                lambda: orders.insert({**record, "order": 2}),  # noqa: B023
                lambda: store.transaction(lambda tx: tx["orders"].put(record)),  # noqa: B023
            ):
                with pytest.raises(InvalidValue, match="index 'by_rank' takes no") as caught:
                    refused()
                assert "secret" not in str(caught.value)
                assert (caught.value.path, caught.value.collection) == ("rank", "orders")
        (record_there,) = orders.query("c")
        assert (record_there.version, record_there["rank"]) == (version, 7)
        orders.put({"customer": "c", "order": 3, "state": None})
        assert orders.count(index="by_rank", rank=7) == 1


@pytest.fixture
def unequal(tmp_path: Path) -> Config:
    """A group whose target keeps less in its indexes than its source."""
    placements = {"sqlite": {"policy": {"by_state": "omit", "by_rank": "reject"}}}
    group = Group(
        name="shop",
        source=f"memory://{time.monotonic_ns():x}",
        target=f"sqlite:///{tmp_path}/target.db",
        collections=["orders"],
        colocate=1,
        lease=2.0,
        poll=0.05,
        fast_poll=0.01,
        call_timeout=0.5,
        quarantine=1.0,
    )
    orders = Collection("orders", KEY, indexes=INDEXES, placements=placements)
    return Config(collections={"orders": orders}, groups={"shop": group})


def in_index(store: Store) -> list[int]:
    orders = store["orders"]
    return [
        orders.count(index="by_state", state="paid"),
        orders.count(index="by_state", state=None),
        orders.count(index="by_state", state=1),
    ]


@pytest.mark.rule("QRY-11", "CAP-6")
def test_with_two_sides_an_index_has_what_both_keep(unequal: Config) -> None:
    """From the first stage with two sides to the last, whichever side is home."""
    with polystore.open(unequal) as store:
        store.create()
        orders = store["orders"]
        for number, state in enumerate(["paid", None, 1] * 2):
            orders.put({"customer": f"c{number}", "order": 1, "state": state, "rank": 1})

        def between(step: str) -> None:
            one_side = step in ("source-only", "armed")
            assert in_index(store) == ([2, 2, 2] if one_side else [2, 0, 0]), step
            assert orders.get("c1", 1) is not None
            if not one_side:
                with pytest.raises(InvalidValue, match="'by_rank'") as caught:
                    orders.update("c1", 1, Set(rank=None))
                assert caught.value.driver == "sqlite"
                record = orders.get("c1", 1)
                assert record is not None
                assert record["rank"] == 1

        assert walk(store, "shop", between) == 0
