"""Faults between a driver and its database: what is told of a call, and what became of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from polystore.driver import ANYTHING, Consistency, Driver, Segment, Unprocessed, Written
from polystore.errors import OutcomeUnknown, PolystoreError, Unavailable
from polystore.queries import QueryPlan
from polystore.testing.harness import Address, Harness
from polystore.testing.proxy import Proxy
from polystore.testing.suite.calls import Make, fill, fresh, put, told_of, written
from polystore.testing.suite.faulty import (
    COMMIT,
    MANY,
    NOT_APPLIED,
    OVERTIME,
    PATIENCE,
    SINGLE,
    TIMEOUT,
    Kind,
    repeated,
    through,
    tried,
)

MOST_PIECES = 12
"""Places of one call at which the connection is cut, in either direction."""


@pytest.fixture(scope="session")
def standing(address: Address) -> Iterator[Proxy]:
    """Stands before the engine."""
    assert address.port is not None
    with Proxy(address.port) as made:
        yield made


@pytest.fixture
def proxy(standing: Proxy) -> Iterator[Proxy]:
    """The same, which lets everything pass as long as a test asks for nothing else."""
    yield standing
    standing.cut_at(None)
    standing.release()


@contextmanager
def held(proxy: Proxy, *, answers: bool) -> Iterator[None]:
    """Requests or answers are held; a call that does not give up is cut off when it is overdue."""
    overdue = threading.Timer(OVERTIME, proxy.cut)
    overdue.start()
    proxy.hold(answers=answers)
    try:
        yield
    finally:
        overdue.cancel()
        proxy.release()


@pytest.fixture(scope="session")
def behind(address: Address, standing: Proxy) -> Iterator[Driver]:
    """The driver behind the proxy; its calls wait for half a second."""
    opened = address.within(TIMEOUT).behind(standing.port).open()
    yield opened
    opened.close()


@pytest.fixture
def patient(address: Address) -> Iterator[Driver]:
    """The driver, whose calls wait for half a second."""
    opened = address.within(TIMEOUT).open()
    yield opened
    opened.close()


def cut_everywhere(
    harness: Harness, driver: Driver, behind: Driver, proxy: Proxy, make: Make, kind: Kind
) -> None:
    """Cut the connection at each piece of a call, each way: before the database has it and after.

    Once the answer to all of it must have got lost, and a call in which nothing was cut succeeds.
    """
    things = make()
    lost, done = 0, []
    for answers in (False, True):
        for piece in range(MOST_PIECES):
            writes = kind.prepare(driver, things)
            through(behind, things)
            met = proxy.met
            proxy.cut_at(piece, answers=answers)
            found = tried(harness, behind, kind, writes)
            proxy.cut_at(None)
            applied = found.agrees(harness)
            if proxy.met == met:
                assert found.succeeded, found.told
                break
            assert found.seconds < OVERTIME
            lost += applied
            if not isinstance(found.told, OutcomeUnknown):
                done.append(found)
            elif kind.call is SINGLE["insert"].call and writes[0].condition is not ANYTHING:
                through(behind, things)
                repeated(harness, behind, writes[0])
    assert lost, "no answer got lost after the database had written"
    for found in done:  # what was surely not applied is not applied later either
        found.agrees(harness)


@pytest.mark.needs("port")
@pytest.mark.rule("DRV-17", "DRV-7")
@pytest.mark.parametrize("kind", SINGLE)
def test_what_is_told_of_a_write_cut_off_anywhere_is_so(
    harness: Harness, driver: Driver, behind: Driver, proxy: Proxy, make: Make, kind: str
) -> None:
    cut_everywhere(harness, driver, behind, proxy, make, SINGLE[kind])


@pytest.mark.needs("port")
@pytest.mark.rule("DRV-17", "DRV-4")
def test_what_is_told_of_many_writes_cut_off_anywhere_is_so_of_each(
    harness: Harness, driver: Driver, behind: Driver, proxy: Proxy, make: Make
) -> None:
    cut_everywhere(harness, driver, behind, proxy, make, MANY)


@pytest.mark.needs("port")
@pytest.mark.claims("transactions over the store")
@pytest.mark.rule("DRV-17", "DRV-3")
def test_what_is_told_of_a_commit_cut_off_anywhere_is_so(
    harness: Harness, driver: Driver, behind: Driver, proxy: Proxy, make: Make
) -> None:
    cut_everywhere(harness, driver, behind, proxy, make, COMMIT)


@pytest.mark.needs("port")
@pytest.mark.rule("DRV-17", "DRV-18", "UNK-1")
@pytest.mark.parametrize("late", ["the answer", "the request"])
def test_a_write_without_an_answer_in_time_is_unknown_and_may_be_applied_later(
    harness: Harness, driver: Driver, behind: Driver, proxy: Proxy, make: Make, late: str
) -> None:
    things = make()
    others = [(fresh(),) for _ in range(3)]
    for number, key in enumerate(others):
        written(driver, put(things, key, n=number))
    through(behind, things)
    written(behind, put(things, (fresh(),), n=1))  # it knows the collection
    (write,) = SINGLE["insert"].prepare(driver, things)
    with held(proxy, answers=late == "the answer"):
        found = tried(harness, behind, SINGLE["insert"], [write])
        assert found.seconds < OVERTIME
        applied = found.agrees(harness)
        assert isinstance(found.told, OutcomeUnknown) or not applied
    through(behind, things)
    for number, key in enumerate(others):  # each answer belongs to its own call
        (record,) = behind.read(things, [key], Consistency.STRONG).records
        assert record is not None
        assert record.fields == {"id": key[0], "n": number}
    if isinstance(found.told, OutcomeUnknown):
        repeated(harness, behind, write)
    else:
        time.sleep(2 * TIMEOUT)
        found.agrees(harness)


@pytest.mark.needs("port")
@pytest.mark.rule("DRV-18", "DRV-8")
def test_a_read_without_an_answer_is_unavailable(behind: Driver, proxy: Proxy, make: Make) -> None:
    """Of a query and a scan the second page: one that is lost must not be taken for the end."""
    things = make(["p", "s:int"])
    plan = QueryPlan(None, ("p",))
    through(behind, make())
    fill(behind, [put(things, ("p", n)) for n in range(3)])
    place = behind.query(things, plan, None, 1).next
    cursor = behind.scan(things, Segment(), None, 1).cursor
    assert place is not None
    assert cursor is not None
    calls: list[Callable[[], object]] = [
        partial(behind.read, things, [("p", 1)], Consistency.STRONG),
        partial(behind.read, things, [("p", 1), ("p", 2)], Consistency.STRONG),
        partial(behind.query, things, plan, place, 10),
        partial(behind.scan, things, Segment(), cursor, 10),
    ]
    for call in calls:
        call()
        began = time.monotonic()
        with held(proxy, answers=True):
            told = told_of(behind, call)
        assert isinstance(told, Unavailable), told
        assert time.monotonic() - began < OVERTIME
        proxy.cut()
        while isinstance(told_of(behind, call), Unavailable):
            assert time.monotonic() - began < 4 * OVERTIME


@pytest.mark.needs("port")
@pytest.mark.rule("DRV-8", "UNK-1")
def test_a_write_is_not_sent_again_over_what_another_wrote(
    harness: Harness, driver: Driver, behind: Driver, proxy: Proxy, make: Make
) -> None:
    """It was applied, its answer was lost, another wrote: sent again it would undo that."""
    things = make()
    (write,) = SINGLE["blind put"].prepare(driver, things)
    through(behind, things)
    written(behind, put(things, (fresh(),), n=1))  # it knows the collection
    before = harness.peek(things, write.key)
    with ThreadPoolExecutor(1) as pool:
        proxy.hold(answers=True)
        call: Future[object] = pool.submit(told_of, behind, lambda: behind.write(write))
        while harness.peek(things, write.key) == before:
            assert not call.done(), call.result()
        proxy.hold()
        proxy.cut()
        time.sleep(0.1)  # another sending waits in the proxy now
        written(driver, put(things, write.key, n=2))
        others = harness.peek(things, write.key)
        proxy.release()
        call.result()
    through(behind, things)
    assert harness.peek(things, write.key) == others


@pytest.mark.needs("port")
@pytest.mark.rule("DRV-18")
def test_faults_leave_no_connections_and_no_threads_behind(
    harness: Harness, driver: Driver, behind: Driver, proxy: Proxy, make: Make
) -> None:
    things = make()
    through(behind, things)
    threads, connections = threading.active_count(), proxy.connections
    for number in range(20):
        through(behind, things)
        proxy.cut_at(0, answers=number % 2 == 0)
        told_of(behind, lambda: behind.write(put(things, (fresh(),), n=1)))
        proxy.cut_at(None)
    for _ in range(2):
        through(behind, things)
        with held(proxy, answers=True):
            told_of(behind, lambda: behind.write(put(things, (fresh(),), n=1)))
    through(behind, things)
    time.sleep(0.05)  # the proxy sees what was closed
    assert proxy.connections <= connections + 1
    assert threading.active_count() <= threads + 2


@pytest.mark.needs("port")
@pytest.mark.rule("DRV-11")
def test_a_driver_that_is_closed_has_no_connections(
    address: Address, proxy: Proxy, make: Make
) -> None:
    """Of no thread that used it."""
    things = make()
    before = proxy.connections
    opened = address.within(TIMEOUT).behind(proxy.port).open()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(partial(through, opened), [things] * 6))
        opened.close()
    until = time.monotonic() + PATIENCE
    while proxy.connections > before:
        assert time.monotonic() < until, "connections are left open"
        time.sleep(0.01)


@pytest.mark.needs("port")
@pytest.mark.rule("DRV-7", "DRV-18", "ERR-5")
def test_where_nobody_listens_nothing_is_executed_until_somebody_does(
    harness: Harness, address: Address, driver: Driver, make: Make
) -> None:
    things = make()
    assert address.port is not None
    with Proxy(address.port) as proxy:
        port = proxy.port
        opened = address.within(TIMEOUT).behind(port).open()
        written(opened, put(things, (fresh(),), n=1))
    for turn in range(4):
        writes = [put(things, (fresh(),), n=1) for _ in range(3)]
        found = tried(harness, opened, SINGLE["insert"], writes[:1])
        assert not found.agrees(harness)
        many = tried(harness, opened, MANY, writes)
        assert not many.agrees(harness)
        if turn:  # what was left open is known to be closed by now
            assert isinstance(found.told, Unavailable), found.told
            read = told_of(opened, lambda: opened.read(things, [("k",)], Consistency.STRONG))
            assert isinstance(read, Unavailable), read
        assert found.seconds < OVERTIME
    with Proxy(address.port, at=port):
        through(opened, things)
        written(opened, put(things, (fresh(),), n=1))
        opened.close()


@pytest.mark.needs("address", "refusing")
@pytest.mark.rule("DRV-17", "DRV-7", "DRV-8")
def test_what_the_database_does_not_take_now_is_not_applied(
    harness: Harness, driver: Driver, patient: Driver, make: Make
) -> None:
    things = make()
    large = "x" * 100_000
    for key in ("a", "b"):
        written(patient, put(things, (key,), n=1))
    before = [harness.peek(things, (key,)) for key in ("a", "b", "c")]
    for name in harness.refusing(patient, things):
        with harness.refusing(patient, things)[name]:
            for key in ("a", "c"):
                put_one = put(things, (key,), note=large)
                began = time.monotonic()
                told = told_of(patient, partial(patient.write, put_one))
                assert isinstance(told, NOT_APPLIED), (name, told)
                assert time.monotonic() - began < OVERTIME
            writes = [put(things, (key,), note=large) for key in ("a", "b", "c")]
            many = told_of(patient, partial(patient.write_many, writes))
            assert isinstance(many, NOT_APPLIED) or (
                isinstance(many, list) and all(isinstance(one, Unprocessed) for one in many)
            ), (name, many)
            read = told_of(patient, lambda: patient.read(things, [("a",)], Consistency.STRONG))
            assert not isinstance(read, PolystoreError) or isinstance(read, Unavailable)
            assert before == [harness.peek(things, (key,)) for key in ("a", "b", "c")]
        assert isinstance(patient.write(put(things, ("d",), note=large)), Written)
        assert before == [harness.peek(things, (key,)) for key in ("a", "b", "c")]
