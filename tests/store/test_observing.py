"""What the target would refuse: counted while it is only observed, refused once it is in play."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import polystore
from polystore import Collection, Config, Group, LimitExceeded, Store
from polystore.capabilities import Capabilities, Limit
from polystore.driver import Consistency, Driver, ReadReply
from polystore.drivers.memory import MemoryDriver
from polystore.migration.coordinator import Coordinator
from polystore.migration.request import Request
from polystore.migration.stages import Setting
from polystore.plugin import Registry, hookimpl


class Small:
    """A plugin for an SQLite that takes no record over 200 bytes."""

    @hookimpl
    def polystore_lower_capabilities(
        self, driver: Driver, collection: str, declared: Capabilities
    ) -> Capabilities | None:
        if driver.name != "sqlite" or collection.startswith("_ps_"):
            return None
        limit = Limit(200, "bytes", "the record", "this test")
        return attrs.evolve(declared, records=attrs.evolve(declared.records, size=limit))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A group whose target is smaller than its source."""
    registry = Registry()
    registry.register(Small(), "small")
    config = Config(
        collections={"notes": Collection("notes", ["id"])},
        groups={
            "g": Group(
                name="g",
                collections=("notes",),
                source=f"memory://observing-{tmp_path.name}",
                target=f"sqlite:///{tmp_path}/target.db",
                call_timeout=1.0,
                quarantine=2.0,
            )
        },
    )
    with polystore.open(config, registry=registry) as opened:
        opened.create()
        yield opened


@pytest.mark.rule("CAP-8", "CAP-4")
def test_observed_then_enforced(store: Store) -> None:
    notes = store["notes"]
    large = {"id": "a", "text": "x" * 300}
    notes.put(large)
    member, run = store._databases.member("g"), store._databases.runner.run
    counts = member.session.counters.snapshot()
    assert counts == {"would-refuse:limit-exceeded": 1}
    coordinator, request = Coordinator(member.group), Request("test", "observing", sole=True)
    run(member.session.observed.say(Setting(), at_once=True))
    report = run(coordinator.preflight(request))
    assert [(f.name, f.cases.count) for f in report.unsettled] == [("notes/records.size@sqlite", 2)]
    run(coordinator.sign_off(["notes/records.size@sqlite"], request))
    run(coordinator.start(request))
    run(coordinator.advance(request))
    with pytest.raises(LimitExceeded, match="200") as caught:
        notes.put({**large, "id": "b"})
    assert caught.value.collection == "notes"
    assert notes.get("b") is None
    assert notes.get("a") is not None


class Narrow:
    """A plugin for a memory that reads two keys at a time."""

    @hookimpl
    def polystore_lower_capabilities(self, declared: Capabilities) -> Capabilities:
        limit = Limit(2, "keys", "one read", "this test")
        return attrs.evolve(declared, batches=attrs.evolve(declared.batches, read_keys=limit))


@pytest.mark.rule("CAP-1", "CAP-4")
def test_what_a_plugin_lowered_holds_for_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry()
    registry.register(Narrow(), "narrow")
    widths: list[int] = []
    read = MemoryDriver.read

    def counted(self: MemoryDriver, c: Collection, keys: Any, level: Consistency) -> ReadReply:
        widths.append(len(keys))
        return read(self, c, keys, level)

    monkeypatch.setattr(MemoryDriver, "read", counted)
    notes = Collection("notes", ["id"])
    with polystore.open("memory://narrow", collections=[notes], registry=registry) as opened:
        opened.create()
        assert opened["notes"].get_many([("a",), ("b",), ("c",), ("d",), ("e",)]) == [None] * 5
    assert sorted(widths) == [1, 2, 2]
