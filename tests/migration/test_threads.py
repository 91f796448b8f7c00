"""The same walk without the simulator: threads, real time, a file of SQLite on one side."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import polystore
from polystore.config import Config, Group
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.fleet import Fleet
from polystore.migration.stages import Stage
from polystore.migration.verify import Verifier
from polystore.runner import SyncRunner
from polystore.testing.simulator import ITEMS, TOTALS
from polystore.testing.simulator.operator import REQUEST


class Worker(threading.Thread):
    """Writes records that nobody else writes, and counts what it was told."""

    def __init__(self, store: polystore.Store, number: int) -> None:
        super().__init__(daemon=True)
        self.store, self.owner = store, f"w{number}"
        self.held: dict[int, int] = {}
        self.moved = 0
        self.operations = 0
        self.error: BaseException | None = None
        self.going = True

    def run(self) -> None:
        try:
            while self.going:
                self.step(random.randrange(6), 1 + random.randrange(5))
                self.operations += 1
                time.sleep(0.01)
        except BaseException as error:  # noqa: BLE001  # the test raises it
            self.error = error

    def step(self, act: int, item: int) -> None:
        items, key = self.store["items"], (self.owner, item)
        if act < 3:
            value = self.operations + 1
            items.put({"owner": self.owner, "item": item, "v": value, "state": "x", "rank": item})
            self.held[item] = value
        elif act == 3:
            items.delete(*key)
            self.held.pop(item, None)
        elif act == 4:
            record = items.get(*key)
            assert (record and record["v"]) == self.held.get(item)
            rows = {r["item"]: r["v"] for r in items.query(self.owner) if r["item"] > 0}
            assert rows == self.held
        else:
            self.store.transaction(self.move)
            self.moved += 1

    def move(self, tx: Any) -> None:
        one, other = tx["items"].get(self.owner, 0), tx["totals"].get(self.owner)
        less = (one["v"] if one else 0) - 1
        more = (other["v"] if other else 0) + 1
        assert less == -more
        tx["items"].put({"owner": self.owner, "item": 0, "v": less, "state": "x", "rank": 0})
        tx["totals"].put({"owner": self.owner, "v": more})


@pytest.fixture
def open_(tmp_path: Path) -> Iterator[Callable[[], polystore.Store]]:
    group = Group(
        name="shop",
        source=f"sqlite:///{tmp_path / 'source.db'}",
        target=f"memory://{tmp_path.name}",
        collections=("items", "totals"),
        colocate=1,
        lease=1.0,
        poll=0.1,
        fast_poll=0.02,
        quarantine=1.0,
        call_timeout=0.5,
    )
    config = Config(collections={"items": ITEMS, "totals": TOTALS}, groups={"shop": group})
    stores: list[polystore.Store] = []

    def opened() -> polystore.Store:
        stores.append(polystore.open(config))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.mark.rule("STG-3", "STG-4", "STG-6", "TX-4", "VER-2", "DIA-5")
@pytest.mark.timeout(120)
def test_whole_way_from_sqlite_to_memory_with_threads(open_: Callable[[], polystore.Store]) -> None:
    first = open_()
    first.create()
    workers = [Worker(open_(), n) for n in range(2)] + [Worker(first, n) for n in range(2, 4)]
    operator = open_()
    operator["items"].get("nobody", 1)  # joins the fleet
    member = operator._databases.member("shop")
    runner, coordinator = SyncRunner(), Coordinator(member.group, patience=20)
    for worker in workers:
        worker.start()

    def verify() -> None:
        for found in runner.run(Verifier(member.session, Fleet(member.group)).run()).values():
            assert found.discrepancies == []

    runner.run(coordinator.preflight(REQUEST))
    runner.run(coordinator.start(REQUEST))
    runner.run(coordinator.advance(REQUEST))
    runner.run(coordinator.advance(REQUEST))
    copied = runner.run(Copier(member.group, page=7).run())
    assert all(summary.done for summary in copied.values())
    runner.run(coordinator.advance(REQUEST))
    verify()
    for percent in (30, 100, 0, 100):
        runner.run(coordinator.dial(percent, REQUEST))
        time.sleep(0.1)
    verify()
    for _ in range(3):
        runner.run(coordinator.advance(REQUEST))
    assert runner.run(member.group.ledger.setting()).stage is Stage.DETACHED
    for worker in workers:
        worker.going = False
        worker.join(20)
        if worker.error is not None:
            raise worker.error
    for worker in workers:
        held = {r["item"]: r["v"] for r in first["items"].query(worker.owner) if r["item"] > 0}
        assert held == worker.held
        if worker.moved:
            total = first["totals"].get(worker.owner)
            assert total is not None
            assert total["v"] == worker.moved
        assert worker.operations > 20
    runner.close()
