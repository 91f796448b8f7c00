"""The property that a TTL policy of Datastore removes entities by: set, read, left alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from polystore.capabilities import Removal
from polystore.driver import Stored, Write
from polystore.errors import ConfigError
from polystore.schema import Collection
from polystore.values import Fields, microseconds
from polystore_datastore.codec import Codec
from polystore_datastore.driver import DatastoreDriver
from polystore_datastore.entities import fill_entity, stored
from polystore_datastore.messages import Entity, Message
from polystore_datastore.placement import Place, place_of
from polystore_datastore.refs import Partition

MOMENT = datetime(2027, 1, 15, 8, 0, 0, 123_456, tzinfo=UTC)
MICROS = microseconds(MOMENT)


def placed(ttl: Any = "gone") -> Collection:
    return Collection(
        "things", ["id"], indexes={"by_n": ["n"]}, placements={"datastore": {"ttl": ttl}}
    )


def place(ttl: Any = "gone") -> Place:
    return place_of(placed(ttl), Codec(Partition("proj", "", "")))


def entity_of(fields: Fields, *, expires: int | None = None, stamp: int | None = None) -> Message:
    entity = Entity()
    record = {"id": "a", **fields}
    write = Write(placed(), ("a",), record, write_id="w", stamp=stamp, expires=expires)
    fill_entity(place(), write, entity)
    return Entity.FromString(entity.SerializeToString())


def read(entity: Message) -> Stored:
    class Result:
        version = 7

    result = Result()
    result.entity = entity  # type: ignore[attr-defined]
    record = stored(place(), result)
    assert record is not None
    return record


def strangers(value: Any) -> Message:
    """An entity of another program, with something in the property."""
    entity = entity_of({})
    del entity.properties["_ps_w"]
    place().codec.put(entity.properties["gone"], value, True)
    return entity


@pytest.mark.rule("EXP-6")
def test_the_property_is_set_to_the_microsecond_and_in_no_index() -> None:
    entity = entity_of({}, expires=MICROS)
    value = entity.properties["gone"]
    assert (value.timestamp_value.seconds, value.timestamp_value.nanos) == (
        MICROS // 1_000_000,
        123_456_000,
    )
    assert value.exclude_from_indexes
    assert (read(entity).fields, read(entity).expires) == ({"id": "a"}, MICROS)
    assert "gone" not in entity_of({}).properties


@pytest.mark.rule("EXP-6")
def test_a_stamped_put_gives_datastore_nothing_to_remove_it_by() -> None:
    entity = entity_of({}, expires=MICROS, stamp=1 << 40)
    assert "gone" not in entity.properties
    assert read(entity).expires == MICROS


@pytest.mark.rule("EXP-6", "VAL-10")
def test_what_others_wrote_there_is_the_expiry_and_no_field() -> None:
    found = read(strangers(MOMENT))
    assert (found.fields, found.expires) == ({"id": "a"}, MICROS)
    moved = entity_of({}, expires=9 * MICROS)
    place().codec.put(moved.properties["gone"], MOMENT, True)
    assert read(moved).expires == MICROS


@pytest.mark.rule("EXP-6", "VAL-10")
@pytest.mark.parametrize("value", [7, "soon", None])
def test_what_removes_nothing_is_a_field_and_stays_one(value: Any) -> None:
    found = read(strangers(value))
    assert (found.fields, found.expires) == ({"id": "a", "gone": value}, None)


@pytest.mark.rule("EXP-6", "REC-1")
@pytest.mark.parametrize("value", [7, MOMENT, None])
@pytest.mark.parametrize("expires", [None, 9 * MICROS])
def test_a_field_of_that_name_lies_under_another(value: Any, expires: int | None) -> None:
    found = read(entity_of({"gone": value}, expires=expires))
    assert (found.fields, found.expires) == ({"id": "a", "gone": value}, expires)


@pytest.mark.rule("ERR-5")
@pytest.mark.parametrize("ttl", ["", 7, "id", "n", "__x__", "_ps_w"])
def test_a_ttl_that_is_no_free_property_is_refused(ttl: Any) -> None:
    with pytest.raises(ConfigError, match="placement in datastore: ttl"):
        place(ttl)


@pytest.mark.engine
@pytest.mark.rule("EXP-7", "GATE-7")
def test_only_the_admin_interface_tells(driver: DatastoreDriver) -> None:
    told = driver.native_expiry(placed())
    assert told.on is None
    assert "ttls update gone --collection-group=things --enable-ttl" in told.says
    assert driver.expire_natively(placed()) is False
    assert driver.capabilities(placed()).expiry.removal is Removal.DATABASE
    assert driver.capabilities(Collection("things", ["id"])).expiry.removal is Removal.PURGE
