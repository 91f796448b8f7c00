"""A transaction of a migration needs room for its slot too; where there is none nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

import polystore
from polystore import Collection, Config, Group, LimitExceeded, Store, Transaction
from polystore.capabilities import Capabilities, Limit
from polystore.driver import Write
from polystore.drivers.memory import MemoryDriver
from polystore.migration.ledger import SLOTS
from polystore.migration.stages import Setting, Stage
from polystore.plugin import Registry, hookimpl

ROOM = 6_000


class Small:
    """A plugin for databases with little room in a commit, or in a slot.

    Args:
        slots: whether it is the slot that has little.
    """

    def __init__(self, slots: bool) -> None:
        self.slots = slots

    @hookimpl
    def polystore_lower_capabilities(
        self, collection: str, declared: Capabilities
    ) -> Capabilities | None:
        limit = Limit(ROOM, "bytes", "all of it", "this test")
        if self.slots:
            if collection != SLOTS.name:
                return None
            return attrs.evolve(declared, records=attrs.evolve(declared.records, size=limit))
        return attrs.evolve(declared, transactions=attrs.evolve(declared.transactions, size=limit))


class Narrow:
    """A plugin for databases that take two writes in one call of ``write_many``."""

    @hookimpl
    def polystore_lower_capabilities(self, declared: Capabilities) -> Capabilities:
        limit = Limit(2, "items", "one call", "this test")
        return attrs.evolve(declared, batches=attrs.evolve(declared.batches, write_items=limit))


@pytest.fixture(params=["commit", "slot"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A group in dual-write on two memories that are small."""
    with dual_write(Small(request.param == "slot"), f"{tmp_path.name}-{request.param}") as opened:
        yield opened


@contextmanager
def dual_write(plugin: object, name: str) -> Iterator[Store]:
    """A group in dual-write on two memories that a plugin lowers."""
    registry = Registry()
    registry.register(plugin, "test")
    place = f"memory://room-{name}"
    group = Group(
        name="g", collections=("notes",), source=f"{place}-a", target=f"{place}-b", colocate=1
    )
    notes = Collection("notes", ["folder", "id"])
    config = Config(collections={"notes": notes}, groups={"g": group})
    with polystore.open(config, registry=registry) as opened:
        opened.create()
        ledger = opened._databases.member("g").group.ledger
        setting = Setting(run=1, epoch=4, stage=Stage.DUAL_WRITE)
        opened._databases.runner.run(ledger.change_setting(lambda _: setting))
        yield opened


@pytest.mark.rule("TX-3", "CAP-4", "WR-3")
def test_the_slot_counts_too(store: Store) -> None:
    def filled(tx: Transaction, records: int) -> None:
        for number in range(records):
            tx["notes"].put({"folder": "f", "id": f"{number:0500}"})

    store.transaction(lambda tx: filled(tx, 2))
    # The records of six keys of 500 bytes have room in 6,000 bytes, but not with a slot of the
    # same keys; of twelve keys the slot has no room by itself.
    slot_alone = store._databases.member("g").group.slots["source"].capabilities.records.size
    with pytest.raises(LimitExceeded) as refused:
        store.transaction(lambda tx: filled(tx, 12 if slot_alone else 6))
    assert refused.value.collection == "notes"
    assert refused.value.retry.kind == "never"
    assert store["notes"].count("f") == 2
    session = store._databases.member("g").session
    assert session.incarnation is not None
    states = {slot.state for pool in session.incarnation.pools.values() for slot in pool.slots}
    assert states == {"free"}
    store.transaction(lambda tx: filled(tx, 3))
    assert store["notes"].count("f") == 3


@pytest.mark.rule("CAP-4", "MIR-3")
def test_a_transaction_wider_than_the_batch_of_the_mirror_is_mirrored_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = []
    write_many = MemoryDriver.write_many

    def counted(self: MemoryDriver, writes: Sequence[Write]) -> object:
        widths.append(len(writes))
        return write_many(self, writes)

    monkeypatch.setattr(MemoryDriver, "write_many", counted)
    with dual_write(Narrow(), tmp_path.name) as store:

        def filled(tx: Transaction) -> None:
            for number in range(5):
                tx["notes"].put({"folder": "f", "id": str(number)})

        store.transaction(filled)
        group = store._databases.member("g").group
        tables = [side.driver.native(None)["notes"].rows for side in group.sides.values()]
    assert widths == [2, 2, 1]
    assert tables[0].keys() == tables[1].keys() == {("f", str(number)) for number in range(5)}
