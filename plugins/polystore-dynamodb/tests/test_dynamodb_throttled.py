"""DynamoDB asks for fewer calls: each wire makes one attempt, and the side's rate is halved."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from polystore.capacity import Capacity
from polystore.driver import ANYTHING, Refused, Unprocessed, Write, Written
from polystore.driver.side import Side, declared
from polystore.errors import Throttled
from polystore.pacing.limiter import Limiter
from polystore.pacing.pace import Pace
from polystore.runner import SyncRunner, ThreadSignal
from polystore_dynamodb.driver import DynamoDBDriver


@pytest.mark.engine
@pytest.mark.rule("THR-4", "DRV-7")
@pytest.mark.parametrize("transport", ["boto3", "lean"])
def test_a_throttled_call_is_made_once_and_halves_the_rate(
    wired: DynamoDBDriver, wire: Any, made: Any
) -> None:
    things = made()
    counts: Counter[str] = Counter()
    capacity = Capacity(rate=1000)
    limiter = Limiter("target", ThreadSignal(), lambda name: counts.update([name]), capacity)
    side = Side("target", wired, declared, Pace(limiter))
    write = Write(things, ("a",), {"id": "a"}, ANYTHING, "w1")

    async def one() -> Written | Refused:
        return await side.write(write)

    async def many() -> list[Written | Refused | Unprocessed]:
        return await side.write_many([write])

    runner = SyncRunner()
    wire.answer(400, "ProvisionedThroughputExceededException")
    with pytest.raises(Throttled):  # a second attempt of the SDK would reach the engine
        runner.run(one())
    assert counts["throttled:target"] == 1
    first = limiter.rate(time.monotonic())
    assert first <= 520
    assert isinstance(runner.run(one()), Written)
    left = {things.name: [{"PutRequest": {"Item": {"id": {"S": "a"}}}}]}
    wire.answer(200, "", UnprocessedItems=left)
    (outcome,) = runner.run(many())
    assert isinstance(outcome, Unprocessed)
    assert counts["throttled:target"] == 2
    assert isinstance(runner.run(many())[0], Written)
