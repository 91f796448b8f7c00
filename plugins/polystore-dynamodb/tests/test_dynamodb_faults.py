"""Lost answers, refusals of the service, threads, forks and the end of a driver."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest
from botocore.exceptions import NoCredentialsError, NoRegionError

from polystore.driver import (
    ANYTHING,
    NOTHING,
    Check,
    Committed,
    Condition,
    Consistency,
    Refused,
    Segment,
    Unprocessed,
    Write,
    Written,
)
from polystore.errors import (
    ConfigError,
    Contention,
    DriverError,
    InvalidRequest,
    LimitExceeded,
    OutcomeUnknown,
    PermissionDenied,
    PolystoreError,
    Throttled,
    Unavailable,
)
from polystore.schema import Collection
from polystore_dynamodb.driver import DynamoDBDriver
from polystore_dynamodb.settings import WIRES, Settings

Made = Callable[..., Collection]
pytestmark = [pytest.mark.engine, pytest.mark.parametrize("transport", WIRES)]


def put(collection: Collection, name: str, condition: Condition = NOTHING) -> Write:
    return Write(collection, (name,), {"id": name, "secret": "s3cr3t"}, condition, "w1")


def told(driver: DynamoDBDriver, call: Callable[[], Any]) -> PolystoreError:
    with pytest.raises(Exception) as raised:  # native, or of the tree
        call()
    error = driver.translate(raised.value)
    assert "s3cr3t" not in str(error)
    return error


@pytest.mark.rule("DRV-7", "DRV-8")
@pytest.mark.parametrize("loss", ["lose_answer", "hold_answer"])
def test_a_write_whose_answer_is_lost_is_unknown_and_its_repeat_recognised(
    wired: DynamoDBDriver, wire: Any, made: Made, loss: str
) -> None:
    things = made()
    write = put(things, "a")
    getattr(wire, loss)()
    assert isinstance(told(wired, lambda: wired.write(write)), OutcomeUnknown)
    assert wired.write(write) == Written(("w", "w1"))


@pytest.mark.rule("DRV-7", "DRV-8")
def test_a_commit_whose_answer_is_lost_is_unknown_and_its_repeat_recognised(
    wired: DynamoDBDriver, wire: Any, made: Made
) -> None:
    things = made()
    writes = [put(things, "a"), put(things, "b")]
    wire.lose_answer()
    assert isinstance(told(wired, lambda: wired.commit(writes, [])), OutcomeUnknown)
    assert wired.commit(writes, []) == Committed((("w", "w1"),) * 2)


@pytest.mark.rule("DRV-3")
def test_checks_are_looked_at_again_after_a_lost_answer(
    wired: DynamoDBDriver, wire: Any, made: Made
) -> None:
    things = made()
    checks = [Check(things, ("a",), NOTHING)]
    assert isinstance(wired.commit([], checks), Committed)
    wired.write(put(things, "a"))
    assert not isinstance(wired.commit([], checks), Committed)
    del wire


@pytest.mark.rule("DRV-7")
@pytest.mark.parametrize("condition", [NOTHING, ANYTHING])
def test_an_unknown_outcome_in_write_many_raises(
    wired: DynamoDBDriver, wire: Any, made: Made, condition: Condition
) -> None:
    things = made()
    wire.lose_answer()
    writes = [put(things, "a", condition), put(things, "b", condition)]
    assert isinstance(told(wired, lambda: wired.write_many(writes)), OutcomeUnknown)


@pytest.mark.rule("DRV-7")
@pytest.mark.parametrize("loss", ["lose_answer", "hold_answer"])
def test_a_read_whose_answer_is_lost_did_nothing(
    wired: DynamoDBDriver, wire: Any, made: Made, loss: str
) -> None:
    things = made()
    getattr(wire, loss)()
    error = told(wired, lambda: wired.read(things, [("a",)], Consistency.STRONG))
    assert isinstance(error, Unavailable)
    assert error.__cause__ is not None
    wire.answer(500, "InternalServerError")
    error = told(wired, lambda: wired.scan(things, Segment(), None, 1))
    assert isinstance(error, Unavailable)


@pytest.mark.rule("DRV-7", "ERR-1")
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ProvisionedThroughputExceededException", Throttled),
        (400, "ThrottlingException", Throttled),
        (400, "RequestLimitExceeded", Throttled),
        (400, "TransactionConflictException", Contention),
        (409, "ReplicatedWriteConflictException", Contention),
        (500, "InternalServerError", OutcomeUnknown),
        (503, "ServiceUnavailable", OutcomeUnknown),
        (400, "AccessDeniedException", PermissionDenied),
        (400, "UnrecognizedClientException", PermissionDenied),
        (400, "ExpiredTokenException", PermissionDenied),
        (400, "ResourceNotFoundException", ConfigError),
        (400, "ItemCollectionSizeLimitExceededException", LimitExceeded),
        (413, "RequestEntityTooLarge", InvalidRequest),
        (400, "ValidationException", InvalidRequest),
        (400, "SomethingNewException", DriverError),
    ],
)
def test_codes_of_the_service(
    wired: DynamoDBDriver, wire: Any, made: Made, status: int, code: str, kind: type
) -> None:
    things = made()
    wire.answer(status, code, message="s3cr3t")
    error = told(wired, lambda: wired.write(put(things, "a")))
    assert type(error) is kind


@pytest.mark.rule("DRV-7")
@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        (["None", "TransactionConflict"], Contention),
        (["ThrottlingError", "TransactionConflict"], Contention),
        (["None", "ProvisionedThroughputExceeded"], Throttled),
        (["ValidationError", "ConditionalCheckFailed"], InvalidRequest),
        (["None", "ItemCollectionSizeLimitExceeded"], LimitExceeded),
    ],
)
def test_reasons_of_a_cancelled_commit(
    wired: DynamoDBDriver, wire: Any, made: Made, codes: list[str], kind: type
) -> None:
    things = made()
    reasons = [{"Code": code} for code in codes]
    wire.answer(400, "TransactionCanceledException", CancellationReasons=reasons)
    writes = [put(things, "a"), put(things, "b")]
    assert type(told(wired, lambda: wired.commit(writes, []))) is kind


@pytest.mark.rule("DRV-7")
def test_a_transaction_in_progress_may_still_succeed(
    wired: DynamoDBDriver, wire: Any, made: Made
) -> None:
    things = made()
    wire.answer(400, "TransactionInProgressException")
    writes = [put(things, "a"), put(things, "b")]
    assert isinstance(told(wired, lambda: wired.commit(writes, [])), OutcomeUnknown)


@pytest.mark.rule("DRV-4")
def test_a_bulk_transaction_takes_out_what_lost_a_race(
    wired: DynamoDBDriver, wire: Any, made: Made
) -> None:
    things = made()
    bulk = DynamoDBDriver(attrs.evolve(wired._settings, bulk="transaction"))
    reasons = [{"Code": "TransactionConflict"}, {"Code": "None"}, {"Code": "ThrottlingError"}]
    wire.answer(400, "TransactionCanceledException", CancellationReasons=reasons)
    first, second, third = bulk.write_many([put(things, name) for name in "abc"])
    assert isinstance(first, Unprocessed)
    assert isinstance(first.error, Contention)
    assert second == Written(("w", "w1"))
    assert isinstance(third, Unprocessed)
    assert isinstance(third.error, Throttled)
    bulk.close()


@pytest.mark.rule("DRV-4")
def test_what_a_batch_hands_back_is_unprocessed(
    wired: DynamoDBDriver, wire: Any, made: Made
) -> None:
    things = made()
    left = [
        {"PutRequest": {"Item": {"id": {"S": "b"}}}},
        {"DeleteRequest": {"Key": {"id": {"S": "c"}}}},
    ]
    wire.answer(200, "", UnprocessedItems={things.name: left})
    writes = [put(things, "a", ANYTHING), put(things, "b", ANYTHING), Write(things, ("c",), None)]
    outcomes = wired.write_many(writes)
    assert outcomes[0] == Written(("w", "w1"))
    assert [type(outcome) for outcome in outcomes[1:]] == [Unprocessed, Unprocessed]


@pytest.mark.rule("DRV-4")
def test_a_throttled_write_of_many_is_unprocessed(
    wired: DynamoDBDriver, wire: Any, made: Made
) -> None:
    things = made()
    wire.answer(400, "ThrottlingException")
    outcomes = wired.write_many([put(things, name) for name in "abc"])
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "Unprocessed", "Written", "Written",
    ]  # fmt: skip


@pytest.mark.rule("DRV-1", "REC-2")
def test_keys_that_a_batch_hands_back_are_unprocessed(
    wired: DynamoDBDriver, wire: Any, made: Made
) -> None:
    things = made()
    left = {things.name: {"Keys": [{"id": {"S": "b"}}]}}
    found = {things.name: [{"id": {"S": "a"}}]}
    wire.answer(200, "", Responses=found, UnprocessedKeys=left)
    reply = wired.read(things, [("a",), ("b",), ("c",)], Consistency.STRONG)
    assert reply.unprocessed == (1,)
    assert reply.records[0] is not None
    assert reply.records[2] is None


@pytest.mark.rule("DRV-7", "ERR-5")
def test_nobody_listens(settings: Settings) -> None:
    things = Collection("things", ["id"])
    closed = DynamoDBDriver(attrs.evolve(settings, endpoint="http://127.0.0.1:9"))
    assert isinstance(told(closed, lambda: closed.write(put(things, "a"))), Unavailable)


@pytest.mark.rule("ERR-5")
def test_a_table_that_is_not_there(driver: DynamoDBDriver) -> None:
    nowhere = Collection("nowhere", ["id"])
    error = told(driver, lambda: driver.write(put(nowhere, "a")))
    assert isinstance(error, ConfigError)
    assert "store.create()" in str(error)


@pytest.mark.rule("ERR-5")
def test_no_credentials_and_no_region(driver: DynamoDBDriver) -> None:
    assert isinstance(driver.translate(NoCredentialsError()), PermissionDenied)
    assert isinstance(driver.translate(NoRegionError()), ConfigError)
    assert type(driver.translate(ZeroDivisionError("s3cr3t"))) is DriverError


@pytest.mark.rule("DRV-10", "CON-3")
def test_of_many_threads_one_inserts(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    writes = [attrs.evolve(put(things, "a"), write_id=f"w{i}") for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(driver.write, writes))
    assert sum(isinstance(outcome, Written) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Refused) for outcome in outcomes) == 15


@pytest.mark.rule("DRV-11")
def test_a_closed_driver_is_unavailable(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    driver.write_many([put(things, name) for name in "ab"])
    other = DynamoDBDriver(driver._settings)
    other.write(put(things, "c"))
    other.close()
    other.close()
    for call in (
        lambda: other.read(things, [("a",)], Consistency.STRONG),
        lambda: other.write(put(things, "a")),
        lambda: other.write_many([put(things, "a"), put(things, "b")]),
        other.native,
    ):
        assert type(told(other, call)) is Unavailable


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_opens_its_own_sockets(driver: DynamoDBDriver, made: Made) -> None:
    things = made()
    driver.write_many([put(things, name) for name in "ab"])
    child = os.fork()
    if child == 0:
        outcomes = driver.write_many([put(things, name) for name in "cd"])
        os._exit(0 if all(isinstance(outcome, Written) for outcome in outcomes) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    reply = driver.read(things, [("c",), ("d",)], Consistency.STRONG)
    assert None not in reply.records
