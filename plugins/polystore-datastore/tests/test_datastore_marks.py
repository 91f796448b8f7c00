"""What is excluded from indexes, and the meanings of values: kept where polystore writes again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.cloud.datastore_v1.types import CommitRequest, Entity, LookupRequest, Mutation

from polystore.driver import ANYTHING, Condition, Consistency, OlderThan, Unchanged, Write, Written
from polystore.errors import ConfigError
from polystore.schema import Collection
from polystore_datastore.driver import DatastoreDriver

Made = Callable[..., Collection]
pytestmark = pytest.mark.engine

PROJECT = "polystore-test"
LONG = "x" * 1501


def text(value: str, **marks: Any) -> dict[str, Any]:
    return {"string_value": value, **marks}


LEFT: dict[str, Any] = {
    "plain": text("a"),
    "hidden": text("b", exclude_from_indexes=True),
    "note": text("c", exclude_from_indexes=True, meaning=15),
    "packed": {"blob_value": b"x", "exclude_from_indexes": True, "meaning": 22},
    "long": text(LONG, exclude_from_indexes=True),
    "tags": {"array_value": {"values": [text(t, exclude_from_indexes=True) for t in "ab"]}},
    "bytes": {"array_value": {"values": [{"blob_value": b"a", "meaning": 16}, text("b")]}},
    "none": {"null_value": 0, "exclude_from_indexes": True},
}


def leave(driver: DatastoreDriver, things: Collection, name: str) -> None:
    """Another program writes an entity, with marks of its own."""
    key = {"path": [{"kind": things.name, "name": name}]}
    mutation = Mutation(upsert=Entity(key=key, properties=LEFT))
    mode = CommitRequest.Mode.NON_TRANSACTIONAL
    driver.native().commit(CommitRequest(project_id=PROJECT, mode=mode, mutations=[mutation]))


def marks(driver: DatastoreDriver, things: Collection, name: str) -> dict[str, list[Any]]:
    """The marks of each property, of the elements where it is an array."""
    key = {"path": [{"kind": things.name, "name": name}]}
    (found,) = driver.native().lookup(LookupRequest(project_id=PROJECT, keys=[key])).found
    return {
        field: [(v.exclude_from_indexes, v.meaning) for v in value.array_value.values or [value]]
        for field, value in found.entity.properties.items()
        if not field.startswith("_ps_")
    }


def rewritten(
    driver: DatastoreDriver, things: Collection, name: str, way: str, **changes: Any
) -> dict[str, list[Any]]:
    """The marks after polystore has read the record and written it in this way."""
    (record,) = driver.read(things, [(name,)], Consistency.STRONG).records
    assert record is not None
    assert record.fields is not None
    fields = record.fields | changes
    condition: Condition = Unchanged(record.token) if way == "update" else OlderThan(9)
    if way == "put":
        condition = ANYTHING
    stamp = None if way in ("update", "put") else 9
    write = Write(things, (name,), fields, condition, f"w-{way}", stamp)
    if way == "bulk":
        driver.write_many([write])
    elif way == "commit":
        driver.commit([write], [])
    else:
        driver.write(write)
    return marks(driver, things, name)


@pytest.mark.rule("VAL-12")
@pytest.mark.parametrize("way", ["update", "mirror", "bulk", "commit"])
def test_marks_stay_where_the_entity_was_looked_at(
    driver: DatastoreDriver, made: Made, way: str
) -> None:
    things = made()
    leave(driver, things, "e")
    before = marks(driver, things, "e")
    assert rewritten(driver, things, "e", way) == before
    leave(driver, things, "e")
    after = rewritten(
        driver, things, "e", way, plain="changed", hidden=7, note="longer", packed=b"yy",
        long="short", tags=["a", "b", "c"], none=1, bytes=[b"longer"],
    )  # fmt: skip
    assert after == {
        "plain": [(False, 0)], "hidden": [(True, 0)], "note": [(True, 15)], "packed": [(True, 22)],
        "long": [(False, 0)], "tags": [(True, 0)] * 3, "none": [(True, 0)], "bytes": [(False, 0)],
    }  # fmt: skip
    assert rewritten(driver, things, "e", "update", note=5)["note"] == [(True, 0)]


@pytest.mark.rule("VAL-12")
def test_marks_stay_where_the_token_is_that_of_ones_own_last_write(
    driver: DatastoreDriver, made: Made
) -> None:
    things = made()
    leave(driver, things, "e")
    before = marks(driver, things, "e")
    (record,) = driver.read(things, [("e",)], Consistency.STRONG).records
    assert record is not None
    token: Any = record.token
    for _ in range(3):
        written = driver.write(Write(things, ("e",), record.fields, Unchanged(token), "w"))
        assert isinstance(written, Written)
        token = written.token
        assert marks(driver, things, "e") == before


@pytest.mark.rule("VAL-12", "QRY-11")
def test_a_native_index_has_its_fields_whatever_was_excluded(
    driver: DatastoreDriver, made: Made
) -> None:
    things = made(indexes={"by_hidden": ["hidden", "packed"]})
    leave(driver, things, "e")
    after = rewritten(driver, things, "e", "update")
    assert after["hidden"] == after["packed"] == [(False, 0)]
    assert after["note"] == [(True, 15)]


@pytest.mark.rule("VAL-12")
def test_what_is_declared_unindexed_never_is(driver: DatastoreDriver, made: Made) -> None:
    """Also where nothing is there to look at: a put, and a database that was empty."""
    placement = {"datastore": {"unindexed": ["hidden", "note", "tags", "none", "empty"]}}
    things = made(placements=placement)
    leave(driver, things, "e")
    after = rewritten(driver, things, "e", "put", empty=[])
    for name in ("hidden", "note", "tags", "none", "long"):
        assert all(excluded for excluded, _ in after[name]), name
    assert after["plain"] == [(False, 0)]


@pytest.mark.rule("PLC-6", "ERR-5")
def test_what_a_native_index_needs_cannot_be_unindexed(driver: DatastoreDriver) -> None:
    for unindexed, policy, message in (
        (["a"], {}, "unindexed has a, which a native index needs"),
        ("a", {}, "unindexed is a list"),
        (["a"], {"by_a": "encode"}, None),
    ):
        placement = {"datastore": {"unindexed": unindexed, "policy": policy}}
        things = Collection("t", ["id"], indexes={"by_a": ["a"]}, placements=placement)
        if message is None:
            driver.capabilities(things)
            continue
        with pytest.raises(ConfigError, match=message):
            driver.capabilities(things)


@pytest.mark.rule("DRV-9", "QRY-11")
def test_describe_says_what_a_native_index_does_not_have(
    driver: DatastoreDriver, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stub has every composite index, so that the service's refusal has to be played."""
    indexes = {"by_note": ["note"], "by_long": ["long"], "by_two": ["plain", "tags"]}
    things = made(indexes=indexes)
    leave(driver, things, "e")
    (problem,) = driver.describe(things).problems
    assert "1 of the first 1 entities of kind" in problem
    assert "exclude 'note' from indexes" in problem
    assert "encode" in problem
    asked = driver._connection.run_query

    def refused(request: Any) -> Any:
        if len(request.query.order) > 1:
            raise ConfigError("a query needs a composite index")
        return asked(request)

    monkeypatch.setattr(driver._connection, "run_query", refused)
    _, problem = driver.describe(things).problems
    assert "'by_two' needs a composite index" in problem
    assert "on plain, tags" in problem
    encoded = {"datastore": {"policy": dict.fromkeys(indexes, "encode")}}
    things = Collection(things.name, ["id"], indexes=indexes, placements=encoded)
    assert driver.describe(things).problems == ()
