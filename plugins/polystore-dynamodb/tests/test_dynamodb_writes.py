"""Reads, writes, tokens and commits on DynamoDB Local."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import pytest

from polystore.driver import (
    ANYTHING,
    NOTHING,
    Check,
    Committed,
    Condition,
    Consistency,
    OlderThan,
    Refused,
    Rejected,
    Stored,
    Unchanged,
    Unprocessed,
    Write,
    Written,
)
from polystore.errors import InvalidKey, Unsupported
from polystore.schema import Collection
from polystore_dynamodb.driver import DynamoDBDriver
from polystore_dynamodb.settings import Settings

Made = Callable[..., Collection]
pytestmark = pytest.mark.engine


def put(
    collection: Collection,
    name: str,
    condition: Condition = ANYTHING,
    write_id: str | None = "w1",
    stamp: int | None = None,
    **fields: Any,
) -> Write:
    return Write(collection, (name,), {"id": name, **fields}, condition, write_id, stamp)


def read(driver: DynamoDBDriver, collection: Collection, name: str) -> Stored | None:
    (found,) = driver.read(collection, [(name,)], Consistency.STRONG).records
    return found


def native_put(driver: DynamoDBDriver, collection: Collection, **item: Any) -> None:
    driver.native().put_item(TableName=collection.name, Item=item)


@pytest.mark.rule("DRV-1", "DRV-2")
def test_a_record_comes_back_with_its_token(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    written = driver.write(put(things, "a", stamp=7, n=1.5))
    found = read(driver, things, "a")
    assert found is not None
    assert (found.key, found.fields) == (("a",), {"id": "a", "n": 1.5})
    assert (found.write_id, found.stamp) == ("w1", 7)
    assert written == Written(found.token)


@pytest.mark.rule("DRV-2", "VAL-10")
@pytest.mark.parametrize("stamp", [None, 7])
def test_a_record_without_a_write_id_has_a_token_too(
    driver: DynamoDBDriver, made: Made, stamp: int | None
) -> None:
    things = made()
    fields: dict[str, Any] = {
        "n": 10**17,
        "f": 1e16,
        "s": frozenset({"b", "a", "c"}),
        "l": [{"n": Decimal("1.0")}],
    }
    written = driver.write(put(things, "a", write_id=None, stamp=stamp, **fields))
    found = read(driver, things, "a")
    assert found is not None
    assert written == Written(found.token)
    changed = put(things, "a", Unchanged(found.token), n=2)
    assert isinstance(driver.write(changed), Written)
    assert isinstance(driver.write(attrs.evolve(changed, write_id="w2")), Refused)


@pytest.mark.rule("DRV-1", "REC-2")
def test_many_keys_come_back_in_their_order(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    for name in "abc":
        driver.write(put(things, name))
    reply = driver.read(things, [("c",), ("x",), ("a",)], Consistency.EVENTUAL)
    assert [r and r.key for r in reply.records] == [("c",), None, ("a",)]
    assert reply.unprocessed == ()


@pytest.mark.rule("DRV-1", "REC-2")
def test_keys_beyond_a_reply_of_16_mib_are_unprocessed(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    keys = [(f"k{i:02}",) for i in range(50)]
    for (name,) in keys:
        driver.write(put(things, name, text="x" * 400_000))
    reply = driver.read(things, keys, Consistency.STRONG)
    assert len(reply.unprocessed) > 0
    for i, record in enumerate(reply.records):
        assert (record is None) == (i in reply.unprocessed)


@pytest.mark.rule("DRV-2")
def test_the_condition_nothing(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    assert isinstance(driver.write(put(things, "a", NOTHING)), Written)
    refused = driver.write(put(things, "a", NOTHING, write_id="w2"))
    assert isinstance(refused, Refused)
    assert refused.told
    assert refused.current is not None
    assert refused.current.write_id == "w1"


@pytest.mark.rule("DRV-2", "PLC-4")
def test_a_tombstone_is_something(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    driver.write(Write(things, ("a",), None, write_id="w1", stamp=5))
    found = read(driver, things, "a")
    assert found is not None
    assert (found.fields, found.stamp, found.write_id) == (None, 5, "w1")
    assert isinstance(driver.write(put(things, "a", NOTHING, write_id="w2")), Refused)


@pytest.mark.rule("DRV-2")
def test_a_delete_leaves_nothing(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    token = driver.write(put(things, "a"))
    assert isinstance(token, Written)
    wrong = driver.write(Write(things, ("a",), None, Unchanged(("w", "other"))))
    assert isinstance(wrong, Refused)
    assert driver.write(Write(things, ("a",), None, Unchanged(token.token))) == Written(None)
    assert driver.write(Write(things, ("a",), None)) == Written(None)
    gone = driver.write(Write(things, ("a",), None, Unchanged(token.token)))
    assert gone == Refused(told=True)


@pytest.mark.rule("DRV-2", "MIR-1", "MIR-2")
def test_the_condition_older_than(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    native_put(driver, things, id={"S": "a"})
    assert isinstance(driver.write(put(things, "a", OlderThan(5), "w5", 5)), Written)
    refused = driver.write(put(things, "a", OlderThan(5), "w6", 5))
    assert isinstance(refused, Refused)
    assert refused.current is not None
    assert refused.current.stamp == 5
    assert isinstance(driver.write(put(things, "b", OlderThan(5), "w7", 5)), Written)


@pytest.mark.rule("DRV-8")
def test_a_refusal_by_its_own_write_is_a_success(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    first = put(things, "a", NOTHING)
    assert driver.write(first) == driver.write(first) == Written(("w", "w1"))


@pytest.mark.rule("CON-4")
def test_an_item_of_other_writers_compares_all_attributes(
    driver: DynamoDBDriver, made: Made
) -> None:
    things = made()
    item = {f"a{i}": {"S": "x"} for i in range(99)} | {"id": {"S": "a"}}
    native_put(driver, things, **item)
    found = read(driver, things, "a")
    assert found is not None
    native_put(driver, things, **(item | {"a98": {"S": "y"}}))
    assert isinstance(driver.write(put(things, "a", Unchanged(found.token))), Refused)
    native_put(driver, things, **item)
    assert isinstance(driver.write(put(things, "a", Unchanged(found.token))), Written)


@pytest.mark.rule("CON-4")
def test_an_item_of_more_attributes_than_can_be_compared(
    driver: DynamoDBDriver, made: Made
) -> None:
    things = made()
    item = {f"a{i}": {"S": "x"} for i in range(100)} | {"id": {"S": "a"}}
    native_put(driver, things, **item)
    found = read(driver, things, "a")
    assert found is not None
    write = put(things, "a", Unchanged(found.token))
    with pytest.raises(Unsupported):
        driver.write(write)
    (outcome,) = driver.write_many([write])
    assert isinstance(outcome, Unprocessed)


@pytest.mark.rule("VAL-10")
def test_a_key_of_other_writers_that_cannot_be_one(driver: DynamoDBDriver, made: Made) -> None:
    things = made(("n:int",))
    native_put(driver, things, n={"N": "1.5"})
    page = driver.scan(things, _whole(), None, 10)
    assert page.records == []
    with pytest.raises(InvalidKey, match="collection things"):
        page.whole()


def _whole() -> Any:
    from polystore.driver import Segment

    return Segment()


@pytest.mark.rule("DRV-4")
@pytest.mark.parametrize("bulk", ["single", "transaction"])
def test_write_many_gives_an_outcome_for_each(settings: Settings, made: Made, bulk: str) -> None:
    driver = DynamoDBDriver(attrs.evolve(settings, bulk=bulk))
    things = made()
    driver.write(put(things, "k001", write_id="old", stamp=9))
    driver.write(put(things, "k003", write_id="w3", stamp=5))
    writes = [
        put(things, f"k{i:03}", OlderThan(5) if i < 40 else ANYTHING, f"w{i}", 5) for i in range(98)
    ]
    writes.append(Write(things, ("k900",), None))
    outcomes = driver.write_many(writes)
    assert len(outcomes) == 99
    refused = outcomes[1]
    assert isinstance(refused, Refused)
    assert refused.current is not None
    assert refused.current.stamp == 9
    for i in (0, 2, 3, *range(4, 98)):
        assert outcomes[i] == Written(("w", f"w{i}"))
    assert outcomes[98] == Written(None)
    driver.close()


@pytest.mark.rule("DRV-3")
def test_a_commit_is_whole_or_not_at_all(driver: DynamoDBDriver, made: Made) -> None:
    left, right = made(), made()
    driver.write(put(right, "b", write_id="w0"))
    writes = [put(left, "a", NOTHING), put(right, "b", NOTHING)]
    rejected = driver.commit(writes, [])
    assert isinstance(rejected, Rejected)
    first, second = rejected.refusals
    assert first is None
    assert second is not None
    assert second.current is not None
    assert second.current.write_id == "w0"
    assert read(driver, left, "a") is None
    writes[1] = put(right, "b", Unchanged(second.current.token))
    assert driver.commit(writes, []) == Committed((("w", "w1"), ("w", "w1")))


@pytest.mark.rule("DRV-3")
def test_checks_alone(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    driver.write(put(things, "a"))
    same = [Check(things, ("a",), Unchanged(("w", "w1"))), Check(things, ("b",), NOTHING)]
    assert driver.commit([], same) == Committed(())
    driver.write(put(things, "b"))
    rejected = driver.commit([], same)
    assert isinstance(rejected, Rejected)
    assert rejected.refusals[0] is None
    assert rejected.refusals[1] is not None


@pytest.mark.rule("DRV-3", "DRV-8")
@pytest.mark.parametrize("width", [1, 2])
def test_a_repeated_commit_is_applied_once(driver: DynamoDBDriver, made: Made, width: int) -> None:
    things = made()
    writes = [put(things, f"k{i}", NOTHING) for i in range(width)]
    committed = Committed((("w", "w1"),) * width)
    assert driver.commit(writes, []) == committed
    assert driver.commit(writes, []) == committed
    # Long after, when DynamoDB has forgotten the request's token: the records tell.
    again = [
        attrs.evolve(write, fields={**write.fields, "x": 1}) for write in writes if write.fields
    ]
    assert driver.commit(again, []) == committed


@pytest.mark.rule("DRV-3", "TX-3")
def test_a_commit_of_100_records(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    writes = [put(things, f"k{i:03}", NOTHING) for i in range(99)]
    checks = [Check(things, ("other",), NOTHING)]
    assert isinstance(driver.commit(writes, checks), Committed)


def test_deletes_in_a_commit(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    driver.write(put(things, "a"))
    writes = [
        Write(things, ("a",), None, Unchanged(("w", "w1"))),
        put(things, "b", NOTHING),
    ]
    assert driver.commit(writes, []) == Committed((None, ("w", "w1")))
    assert read(driver, things, "a") is None
