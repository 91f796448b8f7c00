"""Datastore asks for fewer calls: each call is one attempt, and the side's rate is halved."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from polystore.capacity import Capacity
from polystore.driver import NOTHING, Write
from polystore.driver.side import Side, declared
from polystore.errors import Throttled
from polystore.pacing.limiter import Limiter
from polystore.pacing.pace import Pace
from polystore.plugin.specs import DriverURL
from polystore.runner import SyncRunner, ThreadSignal
from polystore.schema import Collection
from polystore_datastore.driver import DatastoreDriver, open_datastore

THINGS = Collection("things", ["id"])


class Exhausted(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in its stubs alone
    """A Datastore that answers every call with RESOURCE_EXHAUSTED, and counts them."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method.rpartition("/")[2]

        def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls[method] += 1
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "quota")
            raise AssertionError("abort raises")

        return grpc.unary_unary_rpc_method_handler(refuse)


@pytest.fixture
def service() -> Iterator[tuple[Exhausted, DatastoreDriver]]:
    """The service, and a driver on it."""
    handler = Exhausted()
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    options = {"emulator": f"127.0.0.1:{port}"}
    driver = open_datastore(DriverURL("datastore", "project", options))
    yield handler, driver
    driver.close()
    server.stop(None).wait()


@pytest.mark.rule("THR-4", "DRV-7")
def test_a_throttled_call_is_made_once_and_halves_the_rate(
    service: tuple[Exhausted, DatastoreDriver],
) -> None:
    handler, driver = service
    counts: Counter[str] = Counter()
    capacity = Capacity(rate=1000)
    limiter = Limiter("source", ThreadSignal(), lambda name: counts.update([name]), capacity)
    side = Side("source", driver, declared, Pace(limiter))
    write = Write(THINGS, ("a",), {"id": "a"}, NOTHING, "w1")

    async def read() -> object:
        return await side.read(THINGS, [("a",)])

    async def write_one() -> object:
        return await side.write(write)

    async def commit() -> object:
        return await side.commit([write])

    async def many() -> object:
        return await side.write_many([write])

    runner = SyncRunner()
    for call in (read, write_one, commit):
        with pytest.raises(Throttled):
            runner.run(call())
    assert handler.calls == {"Lookup": 1, "Commit": 2}
    runner.run(many())
    assert handler.calls == {"Lookup": 1, "Commit": 3}
    assert counts["throttled:source"] == 4
    assert limiter.rate(time.monotonic()) < 200
