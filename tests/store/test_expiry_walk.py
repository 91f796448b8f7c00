"""Expiry through a whole migration on the real engines: hidden, carried, and told to one alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from benchmarks.walk import walk
from polystore import Config, Group, Set, Store
from polystore.databases import Databases
from polystore.plugin.registry import default_registry
from tests.store.conftest import orders
from tests.store.timed import DAWN, MICROSECOND, Clock

PLACEMENTS = {"datastore": {"ttl": "gone"}, "dynamodb": {"ttl": "gone"}}
LATE = DAWN + timedelta(days=9)


@pytest.mark.engine
@pytest.mark.timeout(120)
@pytest.mark.rule("EXP-2", "EXP-4", "EXP-6", "GATE-7")
def test_expiry_from_datastore_to_dynamodb(url_of: Callable[[str], str]) -> None:
    declared = attrs.evolve(orders(), placements=PLACEMENTS)
    name, clock = declared.name, Clock()
    group = Group(
        name=f"group-{name}",
        source=url_of("datastore"),
        target=url_of("dynamodb"),
        collections=[name],
        colocate=1,
        lease=3.0,
        poll=0.1,
        fast_poll=0.02,
        call_timeout=1.0,
        quarantine=2.0,
    )
    config = Config(collections={name: declared}, groups={group.name: group})
    told: dict[str, bool] = {}
    with Store(Databases(config, default_registry(), "here", clock)) as store:
        store.create()
        things = store[name]

        def item(customer: str) -> dict[str, Any] | None:
            key = {"customer": {"S": customer}, "order": {"N": "1"}}
            reply: dict[str, Any] = store.native(name, "target").get_item(TableName=name, Key=key)
            return reply.get("Item")

        def between(step: str) -> None:
            things.put({"customer": step, "order": 1}, expires_at=LATE)
            things.update(step, 1, Set(seen=True))
            things.put({"customer": "all", "order": 1}, expires_at=LATE)
            things.put({"customer": step, "order": 2}, expires_at=clock.now + MICROSECOND)
            assert [r["order"] for r in things.query(step)] == [1, 2]
            clock.now += MICROSECOND
            assert things.get(step, 2) is None
            assert [r.expires_at for r in things.query(step)] == [LATE]
            things.insert({"customer": step, "order": 2}, expires_at=clock.now)
            assert things.count(step) == 1
            there = item("all")
            if there is not None:
                told[step] = "gone" in there
                assert there["_ps_exp"] is not None

        assert walk(store, group.name, between) == 0
        assert told.pop("clean") is True  # plain again: DynamoDB may remove it
        assert len(told) >= 6
        assert not any(told.values())
        assert things.purge() == 11
        records = {r.key: r.expires_at for r in things.scan()}
        assert len(records) == 12
        assert set(records.values()) == {LATE}
        store.drop()
