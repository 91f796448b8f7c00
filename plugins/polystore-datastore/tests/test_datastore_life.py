"""Lost answers, limits of the service, threads, forks, namespaces and the end of a driver."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from google.cloud.datastore_v1 import DatastoreClient

from polystore.driver import ANYTHING, NOTHING, Consistency, Segment, Write, Written
from polystore.errors import (
    InvalidRequest,
    LimitExceeded,
    OutcomeUnknown,
    Unavailable,
)
from polystore.plugin.specs import DriverURL
from polystore.queries import QueryPlan
from polystore.schema import Collection
from polystore_datastore.driver import DatastoreDriver, open_datastore

Made = Callable[..., Collection]
pytestmark = pytest.mark.engine


def put(things: Collection, name: str, **fields: Any) -> Write:
    return Write(things, (name,), {"id": name, **fields}, NOTHING, f"w-{name}")


def names(driver: DatastoreDriver, things: Collection) -> list[Any]:
    return [record.key[0] for record in driver.scan(things, Segment(), None, 100).records]


@pytest.mark.rule("DRV-7", "DRV-8")
@pytest.mark.parametrize("many", [False, True])
def test_an_applied_write_whose_answer_is_lost_has_an_unknown_outcome(
    driver: DatastoreDriver, wired: DatastoreDriver, wire: Any, made: Made, many: bool
) -> None:
    things = made()
    assert names(wired, things) == []
    wire.lose_answers()
    with pytest.raises(OutcomeUnknown):
        _ = wired.write_many([put(things, "a")]) if many else wired.write(put(things, "a"))
    assert names(driver, things) == ["a"]
    with pytest.raises(OutcomeUnknown):
        wired.commit([put(things, "b")], [])
    assert names(driver, things) == ["a", "b"]
    with pytest.raises(Unavailable):
        wired.read(things, [("a",)], Consistency.STRONG)
    with pytest.raises(Unavailable):
        wired.query(things, QueryPlan(None, ("a",)), None, 1)


@pytest.mark.rule("DRV-7")
def test_a_connection_that_breaks_in_a_write_has_an_unknown_outcome(
    driver: DatastoreDriver, wired: DatastoreDriver, wire: Any, made: Made
) -> None:
    things = made()
    assert names(wired, things) == []
    wire.lose_answers()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(wired.write, put(things, "a"))
        while not names(driver, things):
            pass
        wire.cut()
        with pytest.raises(OutcomeUnknown):
            writing.result()
    assert names(wired, things) == ["a"]


@pytest.mark.rule("DRV-7", "ERR-5")
def test_nothing_is_sent_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    driver = open_datastore(DriverURL("datastore", "p", {"emulator": f"127.0.0.1:{port}"}))
    things = Collection("things", ["id"])
    for call in (
        lambda: driver.write(put(things, "a")),
        lambda: driver.commit([put(things, "a")], []),
        lambda: driver.read(things, [("a",)], Consistency.STRONG),
    ):
        with pytest.raises(Unavailable):
            call()
    driver.close()


@pytest.mark.rule("CAP-4")
def test_limits_pass_at_the_limit_and_are_refused_by_the_service_over_it(
    driver: DatastoreDriver, made: Made
) -> None:
    things = made()
    limit = driver.capabilities(things).records.size
    assert limit is not None
    room = limit.most - driver.measure(put(things, "a", body=b"x" * 1_000_000)).record
    fits = put(things, "a", body=b"x" * (1_000_000 + room // 2), more=b"")
    while (left := limit.most - driver.measure(fits).record) > 0:
        fits = put(things, "a", body=b"x" * (1_000_000 + room // 2), more=b"y" * left)
        if driver.measure(fits).record > limit.most:
            over = driver.measure(fits).record - limit.most
            fits = put(things, "a", body=b"x" * (1_000_000 + room // 2), more=b"y" * (left - over))
    assert isinstance(driver.write(fits), Written)
    assert fits.fields is not None
    more = fits.fields["more"]
    assert isinstance(more, bytes)
    over_it = put(things, "b", **{**fits.fields, "id": "b", "more": more + b"z"})
    with pytest.raises(LimitExceeded):
        driver.write(over_it)


@pytest.mark.rule("CAP-4")
def test_depth_and_names_at_their_limits(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    promised = driver.capabilities(things)
    assert promised.records.depth is not None
    assert promised.keys.part is not None
    lists: Any = frozenset({"x"})
    maps: Any = frozenset({"x"})
    for _ in range(promised.records.depth.most):
        lists, maps = [lists], {"m": maps}
    assert isinstance(driver.write(put(things, "deep", lists=lists, maps=maps)), Written)
    alternate: Any = frozenset({Decimal(1)})
    for level in range(promised.records.depth.most):
        alternate = [alternate, 1] if level % 3 else {"m": alternate}
    assert isinstance(driver.write(put(things, "mixed", alternate=alternate)), Written)
    record = driver.read(things, [("deep",)], Consistency.STRONG).records[0]
    assert record is not None
    assert record.fields == {"id": "deep", "lists": lists, "maps": maps}
    with pytest.raises(InvalidRequest):
        driver.write(put(things, "deeper", maps={"m": {"m": {"m": maps}}}))
    longest = "é" * (promised.keys.part.most // 2)
    assert isinstance(driver.write(put(things, longest)), Written)
    with pytest.raises(InvalidRequest):
        driver.write(put(things, longest + "x"))


@pytest.mark.rule("DRV-10")
def test_threads_share_a_driver(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda n: driver.write(put(things, f"k{n:02}")), range(80)))
    assert all(isinstance(outcome, Written) for outcome in outcomes)
    assert len(names(driver, things)) == 80


def test_a_forked_child_opens_a_channel_of_its_own(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    driver.write(put(things, "parent"))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            outcome = driver.write(Write(things, ("child",), {"id": "child"}, ANYTHING))
            code = 0 if isinstance(outcome, Written) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    driver.write(put(things, "after"))
    assert names(driver, things) == ["after", "child", "parent"]


def test_namespaces_are_apart(opened: Callable[..., DatastoreDriver], made: Made) -> None:
    things = made()
    one, other = opened(namespace="one"), opened(namespace="other")
    one.write(put(things, "a"))
    assert names(one, things) == ["a"]
    assert names(other, things) == []
    assert one.scan(things, Segment(0, 2), None, 10).records
    one.drop(things)


@pytest.mark.rule("DRV-11")
def test_a_closed_driver_is_unavailable(opened: Callable[..., DatastoreDriver]) -> None:
    things = Collection("things", ["id"])
    for used in (False, True):
        driver = opened()
        if used:
            names(driver, things)
        driver.close()
        driver.close()
        calls: list[Callable[..., object]] = [
            partial(driver.read, things, [("a",)], Consistency.STRONG),
            partial(driver.write, put(things, "a")),
            partial(driver.commit, [put(things, "a")], []),
            partial(driver.scan, things, Segment(), None, 1),
            partial(driver.create, things),
            partial(driver.describe, things),
            driver.native,
        ]
        for call in calls:
            with pytest.raises(Unavailable):
                call()


def test_native_is_googles_client(driver: DatastoreDriver) -> None:
    client = driver.native()
    assert isinstance(client, DatastoreClient)
    reply = client.begin_transaction(project_id="polystore-test")
    assert reply.transaction


@pytest.mark.rule("SEC-2")
def test_repr_names_the_place(driver: DatastoreDriver) -> None:
    assert repr(driver).startswith("<DatastoreDriver on 127.0.0.1:")
