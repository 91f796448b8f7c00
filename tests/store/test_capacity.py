"""A store of one database with limits: what waits, what is declined, and what that costs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import polystore
from polystore import Collection, Config, Declined, NotFound, Set, Store, Throttled, Unavailable
from polystore.capacity import Capacity
from polystore.driver import Consistency, ReadReply, Refused, Unprocessed, Write, Written
from polystore.drivers.memory import MemoryDriver

Calls = list[str]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The calls that the driver gets, by method."""
    made: Calls = []
    for name in ("read", "write", "write_many", "commit", "scan", "query"):
        method = getattr(MemoryDriver, name)

        def counted(*arguments: Any, _method: Any = method, _name: str = name) -> Any:
            made.append(_name)
            return _method(*arguments)

        monkeypatch.setattr(MemoryDriver, name, counted)
    return made


@contextmanager
def limited(overload: str = "decline", **limits: Any) -> Iterator[Store]:
    """A store whose database may be asked for so much."""
    notes = Collection("notes", ["id"], overload=overload)
    config = Config(
        url="memory://", collections={"notes": notes}, capacity=Capacity(**limits), timeout=30
    )
    with polystore.open(config) as store:
        store.create()
        yield store


def counts(store: Store) -> dict[str, int]:
    return store.counts()


OPERATIONS: dict[str, Callable[[Store], object]] = {
    "get": lambda s: s["notes"].get("a"),
    "get_many": lambda s: s["notes"].get_many([("a",), ("b",)]),
    "put": lambda s: s["notes"].put({"id": "b"}),
    "insert": lambda s: s["notes"].insert({"id": "b"}),
    "update": lambda s: s["notes"].update("a", Set(n=1)),
    "delete": lambda s: s["notes"].delete("a"),
    "scan": lambda s: list(s["notes"].scan()),
    "query": lambda s: list(s["notes"].query("a")),
    "count": lambda s: s["notes"].count("a"),
    "transaction": lambda s: s.transaction(lambda tx: tx["notes"].get("a")),
    "blind transaction": lambda s: s.transaction(lambda tx: tx["notes"].put({"id": "b"})),
}


@pytest.mark.rule("THR-2")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_declined_operation_makes_no_call(operation: str, calls: Calls) -> None:
    with limited(rate=0.01) as store:
        store["notes"].put({"id": "a"})
        calls.clear()
        with pytest.raises(Declined, match=r"0\.01 operations a second") as caught:
            OPERATIONS[operation](store)
        assert calls == []
        assert isinstance(caught.value, Throttled)
        assert caught.value.retry.kind == "after"
        assert 50 < (caught.value.retry.seconds or 0) <= 200
        assert counts(store) == {"declined:database": 1}


@pytest.mark.rule("THR-2")
def test_waiting_is_for_those_whose_turn_comes_before_their_deadline(calls: Calls) -> None:
    with limited("wait", rate=20) as store:
        notes = store["notes"]
        begun = time.monotonic()
        for number in range(4):
            notes.put({"id": f"{number}"})
        assert time.monotonic() - begun >= 2 / 20
        assert calls == ["write"] * 4
        notes.get_many([(f"{i}",) for i in range(100)])  # a debt of five seconds
        calls.clear()
        begun = time.monotonic()
        with pytest.raises(Declined):
            notes.put({"id": "late"}, timeout=4)
        assert time.monotonic() - begun < 4  # told at once, not at the deadline
        assert calls == []


@pytest.mark.rule("THR-1", "THR-2")
@pytest.mark.parametrize("limit", ["rate", "bytes"])
def test_what_a_read_brings_is_owed_afterwards(limit: str) -> None:
    limits: dict[str, Any] = {limit: {"rate": 1.0, "bytes": 10.0}[limit]}
    with limited(**limits) as store:
        for number in range(50):
            _plant(store, f"{number:03}")
        assert len(list(store["notes"].scan())) == 50
        with pytest.raises(Declined) as caught:
            store["notes"].get("000")
        assert 40 < (caught.value.retry.seconds or 0) < 100


@pytest.mark.rule("THR-2")
def test_what_an_operation_took_in_advance_and_did_not_need_is_there_for_others() -> None:
    with limited(rate=0.01) as store:
        with pytest.raises(NotFound):  # it took two, and only read
            store["notes"].update("missing", Set(n=1))
        with pytest.raises(Declined) as caught:
            store["notes"].get("a")
        assert 90 < (caught.value.retry.seconds or 0) <= 100


def _plant(store: Store, id_: str) -> None:
    """A record that was there before, past every limit."""
    driver = store._databases._plain_side().driver
    driver.write(Write(store.config.collections["notes"], (id_,), {"id": id_}))


@pytest.mark.rule("THR-6")
def test_without_limits_a_store_keeps_its_short_way() -> None:
    with limited() as store:
        assert store._databases.direct("notes") is not None
        assert store._databases._plain_side().pace is None
    with limited(concurrency=1) as store:
        assert store._databases.direct("notes") is None


@pytest.mark.rule("THR-4")
def test_where_the_database_asks_for_less_the_rate_falls_and_the_call_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = MemoryDriver.write
    left = 3

    def throttled(self: MemoryDriver, asked: Write) -> Written | Refused:
        nonlocal left
        if left:
            left -= 1
            raise Throttled("too much")
        return write(self, asked)

    with limited("wait", rate=1000) as store:
        monkeypatch.setattr(MemoryDriver, "write", throttled)
        store["notes"].put({"id": "a"})
        assert counts(store)["throttled:database"] == 3
        assert store._databases._limiter.rate(time.monotonic()) < 60
        assert store["notes"].get("a") is not None


@pytest.mark.rule("THR-4")
def test_parts_that_a_database_leaves_undone_count_as_asking_for_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = MemoryDriver.read

    def partly(self: MemoryDriver, c: Collection, keys: Any, level: Consistency) -> ReadReply:
        reply = read(self, c, keys, level)
        return ReadReply(reply.records, tuple(range(1, len(keys))))

    def undone(_: MemoryDriver, writes: Any) -> list[Unprocessed]:
        return [Unprocessed(Throttled("later")) for _ in writes]

    monkeypatch.setattr(MemoryDriver, "read", partly)
    monkeypatch.setattr(MemoryDriver, "write_many", undone)
    with limited("wait", rate=1000) as store:
        assert store["notes"].get_many([("a",), ("b",)]) == [None, None]
        assert counts(store)["throttled:database"] == 1
        side = store._databases._plain_side()
        write = Write(store.config.collections["notes"], ("a",), {"id": "a"})

        async def many() -> object:
            return await side.write_many([write])

        store._databases.runner.run(many())
        assert counts(store)["throttled:database"] == 2


@pytest.mark.rule("THR-4")
def test_a_database_that_never_has_time_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def throttled(_: MemoryDriver, __: Write) -> Written:
        raise Throttled("too much", driver="memory")

    monkeypatch.setattr(MemoryDriver, "write", throttled)
    notes = Collection("notes", ["id"])
    with polystore.open("memory://", collections=[notes]) as store:
        with pytest.raises(Throttled, match="too much") as caught:
            store["notes"].put({"id": "a"}, timeout=0.05)
        assert (caught.value.collection, caught.value.key) == ("notes", ("a",))


@pytest.mark.rule("THR-5")
def test_calls_at_a_time_and_their_permits(monkeypatch: pytest.MonkeyPatch) -> None:
    write = MemoryDriver.write
    running = most = 0
    lock = threading.Lock()

    def slow(self: MemoryDriver, asked: Write) -> Written | Refused:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1
        if asked.key[0] == "3":
            raise Unavailable("gone")
        return write(self, asked)

    monkeypatch.setattr(MemoryDriver, "write", slow)
    with limited("wait", concurrency=2) as store:

        def put(number: int) -> None:
            if number == 3:
                with pytest.raises(Unavailable):
                    store["notes"].put({"id": "3"})
            else:
                store["notes"].put({"id": f"{number}"})

        threads = [threading.Thread(target=put, args=(i,)) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == 2
        assert store._databases._limiter._running == 0


@pytest.mark.rule("THR-5")
def test_a_permit_of_a_cancelled_call_comes_back_when_the_call_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = MemoryDriver.write
    begun, go_on = threading.Event(), threading.Event()

    def stuck(self: MemoryDriver, asked: Write) -> Written | Refused:
        begun.set()
        go_on.wait(10)
        return write(self, asked)

    monkeypatch.setattr(MemoryDriver, "write", stuck)
    notes = Collection("notes", ["id"], overload="wait")
    config = Config(url="memory://", collections={"notes": notes}, capacity=Capacity(concurrency=1))

    async def scene() -> None:
        async with await polystore.aio.open(config, check=False) as store:
            await store.create()
            limiter = store._databases._limiter
            put = asyncio.create_task(store["notes"].put({"id": "a"}))
            await asyncio.to_thread(begun.wait, 10)
            put.cancel()
            with pytest.raises(asyncio.CancelledError):
                await put
            assert limiter._running == 1
            go_on.set()
            await store["notes"].put({"id": "b"})
            assert limiter._running == 0
            assert store.counts() == {"waited:database": 1} or store.counts() == {}

    asyncio.run(scene())
