"""Many threads on few records, on two openings: one order for each record explains all answers."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import attrs
import pytest

from polystore.driver import (
    ANYTHING,
    NOTHING,
    Check,
    Committed,
    Consistency,
    Driver,
    Token,
    Unchanged,
    Write,
    Written,
)
from polystore.errors import Contention, OutcomeUnknown, Throttled
from polystore.schema import Collection
from polystore.testing.history import DONE, Operation, check
from polystore.testing.suite.calls import Make, delete, put, refusal_of
from polystore.values import Key

THREADS = 6
TURNS = 12
KEYS: list[Key] = [("a",), ("b",)]


@attrs.define
class Client:
    """One thread: what it asks of a driver, and the history that it adds to.

    Args:
        driver: its opening of the database.
        things: the collection.
        name: of the thread.
        history: of all threads.
        moments: numbers in the order of things.
    """

    driver: Driver
    things: Collection
    name: str
    history: list[Operation]
    moments: count[int]
    seen: dict[Key, tuple[int, Token]] = attrs.field(factory=dict)

    def work(self, seed: int) -> None:
        """Operations drawn by a seed."""
        source = random.Random(seed)
        for turn in range(TURNS):
            key, value = source.choice(KEYS), 1000 * seed + turn
            known = self.seen.get(key)
            match source.randrange(6):
                case 0:
                    self.write(key, "put", value, put(self.things, key, ANYTHING, v=value))
                case 1:
                    self.write(key, "insert", value, put(self.things, key, NOTHING, v=value))
                case 2:
                    self.write(key, "delete", None, delete(self.things, key))
                case 3 | 4 if known is not None:
                    held = Unchanged(known[1])
                    asked = put(self.things, key, held, v=value)
                    self.write(key, "replace", (known[0], value), asked)
                case _:
                    self.read(key)

    def read(self, key: Key) -> None:
        """A strong read; it remembers the token."""
        operation = self.begin(key, "get", None)
        reply = self.driver.read(self.things, [key], Consistency.STRONG)
        (record,) = reply.records
        if reply.unprocessed:
            self.history.remove(operation)
            return
        value = None if record is None or record.fields is None else record.fields["v"]
        operation.outcome, operation.returned = value, next(self.moments)
        self.seen.pop(key, None)
        if record is not None:
            assert isinstance(value, int)
            self.seen[key] = value, record.token

    def write(self, key: Key, verb: str, argument: object, write: Write) -> None:
        """A write."""
        operation = self.begin(key, verb, argument)
        outcome: list[object] = []
        error = refusal_of(self.driver, lambda: outcome.append(self.driver.write(write)))
        if isinstance(error, OutcomeUnknown):
            return
        if error is not None:
            assert isinstance(error, Contention | Throttled), error
            self.history.remove(operation)
            return
        operation.outcome = DONE if isinstance(outcome[0], Written) else "refused"
        operation.returned = next(self.moments)

    def begin(self, key: Key, verb: str, argument: object) -> Operation:
        """An operation is sent."""
        operation = Operation(self.name, key, verb, argument, next(self.moments))
        self.history.append(operation)
        return operation


@pytest.mark.rule("DRV-1", "DRV-2", "DRV-10", "CON-3", "REC-8")
@pytest.mark.parametrize("seed", range(3))
def test_one_order_explains_what_many_threads_were_answered(
    driver: Driver, another: Driver, make: Make, seed: int
) -> None:
    things = make()
    history: list[Operation] = []
    moments = count(1)
    clients = [
        Client((driver, another)[n % 2], things, f"thread {n}", history, moments)
        for n in range(THREADS)
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        for future in [
            pool.submit(client.work, 100 * seed + n) for n, client in enumerate(clients, 1)
        ]:
            future.result()
    assert check(history) > THREADS * TURNS // 2


@pytest.mark.claims("transactions over the store")
@pytest.mark.rule("DRV-3", "DRV-10", "TX-4")
def test_what_is_read_together_was_there_together(
    driver: Driver, another: Driver, make: Make
) -> None:
    """Two records have one value; whoever reads both and commits a check of both, saw one state."""
    things = make()
    left, right = KEYS
    driver.commit([put(things, key, v=0) for key in KEYS], [])
    odd: list[tuple[object, object]] = []

    def changes(value: int) -> None:
        opened = (driver, another)[value % 2]
        writes = [put(things, key, v=value) for key in KEYS]
        error = refusal_of(opened, lambda: opened.commit(writes, []))
        assert error is None or isinstance(error, Contention | Throttled | OutcomeUnknown)

    def looks(number: int) -> None:
        opened = (driver, another)[number % 2]
        one, two = opened.read(things, [left, right], Consistency.STRONG).records
        assert one is not None
        assert two is not None
        checks = [Check(things, s.key, Unchanged(s.token)) for s in (one, two)]
        outcome: list[object] = []
        refusal_of(opened, lambda: outcome.append(opened.commit([], checks)))
        assert one.fields is not None
        assert two.fields is not None
        if outcome and isinstance(outcome[0], Committed) and one.fields["v"] != two.fields["v"]:
            odd.append((one.fields["v"], two.fields["v"]))

    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(changes if n % 3 == 0 else looks, n) for n in range(1, 8 * THREADS)]
        for future in waiting:
            future.result()
    assert odd == []
