"""The attribute by which DynamoDB itself removes items: set, read, left alone, turned on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from polystore.capabilities import Removal
from polystore.driver import Consistency, Stored, Write
from polystore.errors import ConfigError
from polystore.schema import Collection
from polystore_dynamodb.driver import DynamoDBDriver
from polystore_dynamodb.items import item_of, stored
from polystore_dynamodb.placement import Table, table_of

Made = Callable[..., Collection]
SECOND = 1_000_000
NOON = 1_800_000_000


def placed(ttl: str = "gone", name: str = "things") -> Collection:
    return Collection(name, ["id"], placements={"dynamodb": {"ttl": ttl}})


def table(ttl: str = "gone") -> Table:
    return table_of(placed(ttl), "")


def put(expires: int | None, *, stamp: int | None = None, **fields: Any) -> Write:
    return Write(
        placed(), ("a",), {"id": "a", **fields}, write_id="w", stamp=stamp, expires=expires
    )


def read(**attributes: Any) -> Stored:
    """An item of another program, as polystore reads it."""
    return stored(table(), {"id": {"S": "a"}, **attributes})


@pytest.mark.rule("EXP-6")
@pytest.mark.parametrize(
    ("expires", "seconds"),
    [(NOON * SECOND, NOON), (NOON * SECOND + 1, NOON + 1), (-1, 0), (None, None)],
)
def test_the_attribute_is_set_to_whole_seconds_never_before_the_moment(
    expires: int | None, seconds: int | None
) -> None:
    item = item_of(table(), put(expires))
    assert item.get("gone") == (None if seconds is None else {"N": str(seconds)})
    assert stored(table(), item).expires == expires


@pytest.mark.rule("EXP-6")
def test_a_stamped_put_gives_dynamodb_nothing_to_remove_it_by() -> None:
    item = item_of(table(), put(NOON * SECOND, stamp=1 << 40))
    assert "gone" not in item
    assert stored(table(), item).expires == NOON * SECOND
    assert "_ps_ttl" in item_of(table("_ps_ttl"), put(NOON * SECOND))


@pytest.mark.rule("EXP-6", "VAL-10")
def test_what_others_wrote_there_is_the_expiry_and_no_field() -> None:
    for number, expires in ((f"{NOON}", NOON * SECOND), (f"{NOON}.5", NOON * SECOND + 500_000)):
        found = read(gone={"N": number})
        assert (found.fields, found.expires) == ({"id": "a"}, expires)
    moved = read(gone={"N": str(NOON)}, _ps_exp={"N": str(9 * NOON * SECOND)})
    assert (moved.fields, moved.expires) == ({"id": "a"}, NOON * SECOND)


@pytest.mark.rule("EXP-6", "VAL-10")
@pytest.mark.parametrize(
    ("wire", "value"),
    [({"N": "0"}, 0), ({"N": f"{NOON}000"}, NOON * 1000), ({"S": "soon"}, "soon")],
)
def test_what_removes_nothing_is_a_field_and_stays_one(wire: Any, value: Any) -> None:
    found = read(gone=wire)
    assert (found.fields, found.expires) == ({"id": "a", "gone": value}, None)
    assert found.fields is not None
    again = Write(placed(), ("a",), found.fields, write_id="w", expires=NOON * SECOND)
    item = item_of(table(), again)
    assert item["gone"] == {"N": str(NOON)}
    back = stored(table(), item)
    assert (back.fields, back.expires) == (found.fields, NOON * SECOND)


@pytest.mark.rule("ERR-5")
@pytest.mark.parametrize("ttl", ["", 7, "id", "_ps_w", "x" * 256])
def test_a_ttl_that_is_no_free_attribute_is_refused(ttl: Any) -> None:
    with pytest.raises(ConfigError, match="placement in dynamodb: ttl"):
        table(ttl)


@pytest.mark.engine
@pytest.mark.rule("EXP-7", "GATE-7")
@pytest.mark.parametrize("transport", ["boto3", "lean"], indirect=True)
def test_the_table_is_told_to_remove_and_says_so(driver: DynamoDBDriver, made: Made) -> None:
    things = made(placements={"dynamodb": {"ttl": "gone"}})
    assert driver.capabilities(things).expiry.removal is Removal.DATABASE
    told = driver.native_expiry(things)
    assert told.on is False
    for _ in range(2):
        assert driver.expire_natively(things)
    told = driver.native_expiry(things)
    assert told.on is True
    assert "Enabled=false,AttributeName=gone" in told.says
    elsewhere = Collection(things.name, ["id"], placements={"dynamodb": {"ttl": "other"}})
    with pytest.raises(ConfigError, match="'gone', not 'other'"):
        driver.expire_natively(elsewhere)
    plain = Collection(things.name, ["id"])
    assert driver.expire_natively(plain) is False
    assert driver.capabilities(plain).expiry.removal is Removal.PURGE
    assert driver.native_expiry(plain).on is True  # whoever turned it on
    write = Write(things, ("a",), {"id": "a", "gone": 7}, write_id="w", expires=9 * NOON * SECOND)
    driver.write(write)
    (found,) = driver.read(things, [("a",)], Consistency.STRONG).records
    assert found is not None
    assert (found.fields, found.expires) == (write.fields, write.expires)


@pytest.mark.engine
@pytest.mark.rule("GATE-7")
@pytest.mark.parametrize("code", ["AccessDeniedException", "UnknownOperationException"])
def test_who_may_not_ask_is_told_nothing(wired: DynamoDBDriver, wire: Any, code: str) -> None:
    wire.answer(400, code, message="no")
    told = wired.native_expiry(placed())
    assert told.on is None
    assert "DescribeTimeToLive" in told.says
