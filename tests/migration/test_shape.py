"""The shape of the load, as members in observe count it."""

from __future__ import annotations

from pathlib import Path

import pytest

import polystore
from polystore import Collection, Config, Group, If, Increment
from polystore.migration.coordinator import Coordinator
from polystore.migration.preflight.shape import shape
from polystore.migration.request import Request

NOTES = Collection("notes", ["id:int"], indexes={"by_tag": ["tag"]})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two files."""
    group = Group(
        name="g",
        collections=("notes",),
        source=f"sqlite:///{tmp_path}/source.db",
        target=f"sqlite:///{tmp_path}/target.db",
    )
    return Config(collections={"notes": NOTES}, groups={"g": group})


@pytest.mark.rule("REH-1")
def test_each_kind_of_operation_is_counted_while_the_source_alone_is_used(config: Config) -> None:
    with polystore.open(config) as store:
        store.create()
        notes = store["notes"]
        notes.put({"id": 1, "tag": "a"})
        notes.put({"id": 1, "tag": "b"}, when=If.field("tag") == "a")
        notes.insert({"id": 2, "tag": "a"})
        notes.update(2, Increment("n"))
        notes.delete(2)
        notes.get(1)
        notes.get_many([(1,), (2,)])
        list(notes.query(index="by_tag", tag="a"))
        list(notes.scan())
        store.transaction(lambda tx: tx["notes"].put({"id": 3, "tag": "c"}))
    with polystore.open(config) as store:
        member = store._databases.member("g")
        run, ledger = store._databases.runner.run, member.group.ledger
        assert run(shape(ledger)) == {
            "notes": {
                "put": 2, "insert": 1, "update": 1, "delete": 1, "get": 1, "get_many": 1,
                "query": 1, "scan": 1, "transaction": 1,
            }
        }  # fmt: skip
        store["notes"].get(1)
    with polystore.open(config) as store:
        member = store._databases.member("g")
        assert run(shape(member.group.ledger))["notes"]["get"] == 2
        run(Coordinator(member.group).forget_observed(Request("me", "mended")))
        assert run(shape(member.group.ledger)) == {}
