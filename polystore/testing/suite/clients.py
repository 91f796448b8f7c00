"""What threads and processes do at once with a few records, and what they are told."""

from __future__ import annotations

import os
import random
import sys
import traceback
from functools import partial
from itertools import islice
from time import monotonic_ns

import attrs

from polystore.driver import (
    ANYTHING,
    NOTHING,
    Check,
    Committed,
    Consistency,
    Driver,
    Refused,
    Segment,
    Token,
    Unchanged,
    Write,
    Written,
)
from polystore.errors import Contention, OutcomeUnknown, PolystoreError, Throttled
from polystore.schema import Collection
from polystore.testing.history import DONE, Operation
from polystore.testing.suite.calls import delete, fields_of, put, scan_pages, told_of, written
from polystore.values import Fields, Key

KEYS: list[Key] = [("a",), ("b",)]
ACCOUNTS: list[Key] = [(f"account{n}",) for n in range(4)]
EACH = 1000
"""What lies in each account in the beginning."""


@attrs.define
class Client:
    """What one thread or process asks of a driver, and the history that it adds to.

    Args:
        driver: its opening of the database.
        things: the collection.
        name: who it is.
        history: what it adds to; others may, too.
    """

    driver: Driver
    things: Collection
    name: str
    history: list[Operation]
    seen: dict[Key, tuple[int, Token]] = attrs.field(factory=dict)

    def work(self, seed: int, turns: int) -> None:
        """So many operations, drawn by a seed."""
        source = random.Random(seed)
        for turn in range(turns):
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
        operation.outcome, operation.returned = value, monotonic_ns()
        self.seen.pop(key, None)
        if record is not None:
            assert isinstance(value, int)
            self.seen[key] = value, record.token

    def write(self, key: Key, verb: str, argument: object, write: Write) -> None:
        """A write."""
        operation = self.begin(key, verb, argument)
        told = told_of(self.driver, lambda: self.driver.write(write))
        if isinstance(told, OutcomeUnknown):
            return
        if isinstance(told, PolystoreError):
            assert isinstance(told, Contention | Throttled), told
            self.history.remove(operation)
            return
        operation.outcome = DONE if isinstance(told, Written) else "refused"
        operation.returned = monotonic_ns()

    def begin(self, key: Key, verb: str, argument: object) -> Operation:
        """An operation is sent."""
        operation = Operation(self.name, key, verb, argument, monotonic_ns())
        self.history.append(operation)
        return operation


@attrs.frozen
class Asks:
    """The work of a process: operations on :data:`KEYS`; returns their history."""

    things: Collection
    number: int
    turns: int

    def __call__(self, driver: Driver) -> list[Operation]:
        client = Client(driver, self.things, f"process {self.number}", [])
        client.work(self.number, self.turns)
        return client.history


@attrs.frozen
class Scans:
    """The work of a process: it scans one segment, from a cursor on, for so many pages.

    It returns the keys that it found, and the cursor where it stopped.
    """

    things: Collection
    segment: Segment
    cursor: str | None = None
    most: int = 1000

    def __call__(self, driver: Driver) -> tuple[list[Key], str | None]:
        parts = scan_pages(driver, self.things, self.segment, 5, self.cursor)
        pages = list(islice(parts, self.most))
        return [record.key for page in pages for record in page.records], pages[-1].cursor


@attrs.define
class Counted:
    """What a process did with a counter.

    Attributes:
        done: increments that were.
        refused: those that were refused, as others came between.
        unknown: those that had no answer.
    """

    done: int = 0
    refused: int = 0
    unknown: int = 0


@attrs.frozen
class Counts:
    """The work of a process: it reads a counter and puts one more, if nobody has meanwhile."""

    things: Collection
    key: Key
    turns: int

    def __call__(self, driver: Driver) -> Counted:
        counted = Counted()
        for _ in range(self.turns):
            (record,) = driver.read(self.things, [self.key], Consistency.STRONG).records
            assert record is not None
            more = amount_of(record.fields) + 1
            write = put(self.things, self.key, Unchanged(record.token), n=more)
            told = told_of(driver, partial(driver.write, write))
            if isinstance(told, OutcomeUnknown):
                counted.unknown += 1
            elif isinstance(told, Written):
                counted.done += 1
            else:
                assert isinstance(told, Refused | Contention | Throttled), told
                counted.refused += 1
        return counted


@attrs.define
class Seen:
    """What a process did with accounts.

    Attributes:
        moved, looked: commits that moved something, and that confirmed what was read.
        odd: what was confirmed and is not the right sum.
    """

    moved: int = 0
    looked: int = 0
    odd: list[object] = attrs.field(factory=list)


@attrs.frozen
class Moves:
    """The work of a process: it moves amounts from account to account, and looks at all at once."""

    things: Collection
    number: int
    turns: int

    def __call__(self, driver: Driver) -> Seen:
        source, seen = random.Random(self.number), Seen()
        for turn in range(self.turns):
            if turn % 3:
                self._move(driver, seen, source.sample(ACCOUNTS, 2), source.randrange(1, 100))
            else:
                self._look(driver, seen)
        return seen

    def _move(self, driver: Driver, seen: Seen, keys: list[Key], amount: int) -> None:
        records = driver.read(self.things, keys, Consistency.STRONG).records
        writes = []
        for record, change in zip(records, (-amount, amount), strict=True):
            assert record is not None
            writes.append(
                put(
                    self.things,
                    record.key,
                    Unchanged(record.token),
                    n=amount_of(record.fields) + change,
                )
            )
        told = told_of(driver, lambda: driver.commit(writes, []))
        given_way = isinstance(told, Contention | Throttled | OutcomeUnknown)
        assert given_way or not isinstance(told, PolystoreError), told
        seen.moved += isinstance(told, Committed)

    def _look(self, driver: Driver, seen: Seen) -> None:
        records = driver.read(self.things, ACCOUNTS, Consistency.STRONG).records
        there = [record for record in records if record is not None]
        checks = [Check(self.things, one.key, Unchanged(one.token)) for one in there]
        if isinstance(told_of(driver, lambda: driver.commit([], checks)), Committed):
            seen.looked += 1
            held = [amount_of(one.fields) for one in there]
            if sum(held) != EACH * len(ACCOUNTS):
                seen.odd.append(held)


def amount_of(fields: Fields | None) -> int:
    """What lies in an account."""
    assert fields is not None
    amount = fields["n"]
    assert isinstance(amount, int)
    return amount


@attrs.frozen
class Forks:
    """The work of a process: it uses a driver and forks; both use it at once, and one closes it."""

    things: Collection
    turns: int

    def __call__(self, driver: Driver) -> int:
        self._uses(driver, "before")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                self._uses(driver, "child")
                driver.close()
                code = 0
            except BaseException:  # noqa: BLE001  # the parent gets the code
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        try:
            self._uses(driver, "parent")
        finally:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == 0, "the driver does not work in the child of a fork"
        self._uses(driver, "after")
        return self.turns

    def _uses(self, driver: Driver, name: str) -> None:
        for number in range(self.turns):
            key = (f"{name}{number % 3}",)
            written(driver, put(self.things, key, n=number, of=name))
            assert fields_of(driver, self.things, key) == {
                "id": key[0], "n": number, "of": name,
            }  # fmt: skip
