"""The clients of one application process: operations on few keys, each in the journal."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Hashable
from itertools import count
from typing import Any

from polystore.conditions import If
from polystore.errors import Conflict, DriverError, OutcomeUnknown, PolystoreError
from polystore.records import Increment, Version
from polystore.store import Store, Transaction
from polystore.testing.history import DONE, Model, pair, register
from polystore.testing.kills.journal import GONE, READS, Journal
from polystore.testing.kills.settings import ITEMS, PAIRED, TOTALS, Settings
from polystore.values import Key

SHARE = 1_000_000
"""Values of one process: none that another writes."""

STEP = 1000
"""Between two values of a process: increments by one never reach the next."""


class Client:
    """One thread of an application.

    Args:
        store: an open store.
        journal: of its process.
        values: numbers that nobody else writes.
        settings: of the run.
        source: of its choices.
    """

    def __init__(
        self,
        store: Store,
        journal: Journal,
        values: Callable[[], int],
        settings: Settings,
        source: random.Random,
    ) -> None:
        self._store = store
        self._items = store[ITEMS]
        self._journal = journal
        self._value = values
        self._settings = settings
        self._random = source
        self._owners = settings.owner_names()
        self._seen: dict[Key, tuple[int, Version]] = {}

    def one(self) -> None:
        """One operation."""
        owner = self._random.choice(self._owners)
        act = self._random.randrange(20)
        if act < 14:
            self._single((owner, self._random.choice(self._settings.hot())), act)
        elif act < 17:
            self._move(owner)
        elif act < 19:
            self.both(owner)
        else:
            self._query(owner)

    def _single(self, key: Key, act: int) -> None:
        new = self._value()
        record = {"owner": key[0], "item": key[1], "v": new}
        known = self._seen.get(key)
        if act < 4:
            self.get(key)
        elif act < 7:
            self._write(key, "put", new, lambda: self._items.put(record))
        elif act < 9:
            self._write(key, "insert", new, lambda: self._items.insert(record))
        elif act < 11 and known is not None:
            when = If.version(known[1])
            argument = [known[0], new]
            self._write(key, "replace", argument, lambda: self._items.put(record, when))
        elif act < 12:
            self._write(key, "add", 1, lambda: self._items.update(*key, Increment("v")))
        elif act < 13 and known is not None:
            when = If.version(known[1])
            self._write(key, "remove", known[0], lambda: self._items.delete(*key, when=when))
        else:
            self._write(key, "delete", None, lambda: self._items.delete(*key))

    def get(self, key: Key) -> None:
        """Read one record, and remember its version."""

        def read() -> Any:
            record = self._items.get(*key)
            if record is None:
                return None
            self._seen[key] = (record["v"], record.version)
            return record["v"]

        self._asked(key, "get", None, read)

    def both(self, owner: str) -> None:
        """Read an owner's pair as one."""
        self._asked(
            ("pair", owner),
            "both",
            None,
            lambda: self._store.transaction(lambda tx: _pair(tx, owner)),
        )

    def _move(self, owner: str) -> None:
        """Move an amount from one record of a pair to the other, relying on what both hold."""
        amount = self._value()
        number = self._journal.asked(("pair", owner), "transfer", [amount])

        def move(tx: Transaction) -> str:
            one, other = _pair(tx, owner)
            self._journal.read(number, [one, other])
            tx[ITEMS].put({"owner": owner, "item": PAIRED, "v": (one or 0) - amount})
            tx[TOTALS].put({"owner": owner, "v": (other or 0) + amount})
            return DONE

        self._answer(number, "transfer", lambda: self._store.transaction(move))

    def _query(self, owner: str) -> None:
        """All items of an owner by a query: as good as a read of each."""
        keys = [(owner, item) for item in self._settings.hot()]
        numbers = [self._journal.asked(key, "get", None) for key in keys]
        try:
            found = {record["item"]: record["v"] for record in self._items.query(owner)}
        except PolystoreError as error:
            for number in numbers:
                self._journal.answered(number, GONE, error.code)
            return
        for number, (_, item) in zip(numbers, keys, strict=True):
            self._journal.answered(number, found.get(item))

    def _write(self, cell: Hashable, verb: str, argument: Any, write: Callable[[], object]) -> None:
        def done() -> str:
            write()
            return DONE

        self._asked(cell, verb, argument, done)

    def _asked(self, cell: Hashable, verb: str, argument: Any, call: Callable[[], Any]) -> None:
        self._answer(self._journal.asked(cell, verb, argument), verb, call)

    def _answer(self, number: int, verb: str, call: Callable[[], Any]) -> None:
        """Make the call, and write down what it told."""
        try:
            outcome = call()
        except Conflict:
            self._journal.answered(number, "refused")
        except (OutcomeUnknown, DriverError) as error:
            if verb in READS:
                self._journal.answered(number, GONE, error.code)
            else:
                self._journal.unknown(number, error.code)
        except PolystoreError as error:
            self._journal.answered(number, GONE, error.code)
        else:
            self._journal.answered(number, outcome)


def _pair(tx: Transaction, owner: str) -> tuple[Any, Any]:
    one, other = tx[ITEMS].get(owner, PAIRED), tx[TOTALS].get(owner)
    return (None if one is None else one["v"], None if other is None else other["v"])


def model(cell: Hashable) -> Model:
    """How a cell of the history behaves."""
    return pair if isinstance(cell, tuple) and cell[0] == "pair" else register


def work(
    store: Store, journal: Journal, number: int, settings: Settings, running: Callable[[], bool]
) -> None:
    """Let the clients of process ``number`` work as long as ``running()``."""
    counted = count(1)
    values = lambda: number * SHARE * STEP + next(counted) * STEP  # noqa: E731 - shared by clients

    def client(which: int) -> None:
        source = random.Random(f"{settings.seed}.{number}.{which}")
        mine = Client(store, journal, values, settings, source)
        while running():
            mine.one()
            time.sleep(settings.think * source.random())

    threads = [
        threading.Thread(target=client, args=(which,), daemon=True)
        for which in range(settings.threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def orphaned(parent: int) -> bool:
    """Whether the process that started this one is gone."""
    return os.getppid() != parent
