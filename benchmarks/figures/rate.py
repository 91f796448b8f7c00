"""How fast the copier is: 25,000 records from SQLite to memory."""

from __future__ import annotations

import tempfile
import time

import polystore
from polystore import Collection, Config, Group
from polystore.cli.demo.dataset import COLLECTIONS, load
from polystore.driver import Write
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.request import Request


def backfill_rate() -> tuple[int, float]:
    """Records copied, and seconds that the copy took.

    Raises:
        AssertionError: the copy is not complete.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Config(
            collections={
                name: Collection(name, declared["key"], indexes=declared.get("indexes", ()))
                for name, declared in COLLECTIONS.items()
            },
            groups={
                "geo": Group(
                    name="geo",
                    collections=tuple(COLLECTIONS),
                    source=f"sqlite:///{folder}/source.db",
                    target="memory://figures-rate",
                    colocate=1,
                )
            },
        )
        with polystore.open(config) as store:
            store.create()
            return _copied(store)


def _copied(store: polystore.Store) -> tuple[int, float]:
    member, run = store._databases.member("geo"), store._databases.runner.run
    group = member.group
    for name, records in load().records().items():
        writes = [Write(group.collection(name), key, fields) for key, fields in records.items()]
        group.sides["source"].driver.write_many(writes)
    coordinator = Coordinator(group)
    request = Request("figures", "rate of the copy", sole=True)
    run(coordinator.preflight(request))
    run(coordinator.start(request))
    for _ in ("prepare", "dual-write"):
        run(coordinator.advance(request))
    began = time.perf_counter()
    found = run(Copier(group).run())
    seconds = time.perf_counter() - began
    assert all(summary.done for summary in found.values()), found
    return sum(summary.scanned for summary in found.values()), seconds
