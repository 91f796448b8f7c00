"""One application process of the demo: it reads, writes, deletes, queries and transacts.

It knows nothing of the migration: it opens a store from a configuration file and uses it. Run as
``python -m polystore.cli.demo.worker CONFIG FOLDER NAME RATE``; its journal and the signs that it
is given are files of FOLDER.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import polystore
from polystore import AlreadyExists, If, Increment, PolystoreError, Record, Set, Transaction
from polystore.cli.crew.journal import Journal, Mark, Touch
from polystore.cli.crew.processes import given, journal_of, work
from polystore.cli.demo.dataset import SHARED, Dataset
from polystore.cli.demo.judge import LOADED
from polystore.values import Fields, Key

KINDS = ("get", "get_many", "query", "put", "insert", "update", "delete", "transaction")
"""Kinds of operations; each stage sees enough of each."""

OWN = 12
"""Notes that belong to one process alone."""


class Worker:
    """One process's operations, each logged.

    Args:
        store: an open store.
        data: what was loaded.
        journal: the log.
        number: of this process; its own notes carry it.
    """

    def __init__(
        self, store: polystore.Store, data: Dataset, journal: Journal, number: str
    ) -> None:
        self._cities = store["cities"]
        self._notes = store["notes"]
        self._store = store
        self._data = data
        self._journal = journal
        self._number = number
        self._random = random.Random(number)
        self._count = 0
        self._mine: dict[Key, Mark] = {}
        self._city_keys = list(data.cities)
        self._small = [c for c, cities in data.by_country.items() if len(cities) <= 12]
        self._turn: list[Callable[[], None]] = []

    def one(self) -> None:
        """Carry out the next operation: all kinds in turn, in random order.

        Each kind has a tenth of them at least: no stage waits long for its rarest.
        """
        if not self._turn:
            self._turn = [
                self.get, self.get_many, self.put_own, self.insert, self.update, self.delete,
                self.delete_own, self.increment,
                self._random.choice([self.partition, self.index]),
                self._random.choice([self.transfer, self.look]),
            ]  # fmt: skip
            self._random.shuffle(self._turn)
        self._turn.pop()()

    # -- reads --------------------------------------------------------------------------------

    def get(self) -> None:
        """Read a city that is always there."""
        key = self._random.choice(self._city_keys)
        self._reading("get", lambda: self._seen("cities", [key], [self._cities.get(*key)]))

    def get_many(self) -> None:
        """Read three cities, as a rule of different countries."""
        keys = self._random.sample(self._city_keys, 3)
        self._reading("get_many", lambda: self._seen("cities", keys, self._cities.get_many(keys)))

    def partition(self) -> None:
        """Read all cities of a small country, in order: they are always the same ones."""
        country = self._random.choice(self._small)
        order = self._random.choice(["asc", "desc"])

        def read() -> tuple[list[Touch], str | None]:
            cities = [r.key[1] for r in self._cities.query(country, order=order)]
            wanted = sorted(self._data.by_country[country], reverse=order == "desc")
            return [], None if cities == wanted else f"{country}: {len(cities)} of {len(wanted)}"

        self._reading("query", read)

    def index(self) -> None:
        """Find the cities whose state is the empty string: they are always the same ones."""

        def read() -> tuple[list[Touch], str | None]:
            found = [r.key for r in self._cities.query(index="by_state", state="")]
            wanted = self._data.stateless
            good = len(found) == len(wanted) and frozenset(found) == wanted
            return [], None if good else f"by_state: {len(found)} of {len(wanted)}"

        self._reading("query", read)

    def look(self) -> None:
        """Read a pair in one transaction: its inhabitants are always as many."""
        number, pair = self._pair()

        def read() -> tuple[list[Touch], str | None]:
            records = self._store.transaction(lambda tx: [tx["cities"].get(*key) for key in pair])
            touches, wrong = self._seen("cities", list(pair), records)
            people = sum(int(r["population"]) for r in records if r is not None)
            return touches, wrong or (None if people == self._sum(number) else "a sum has changed")

        self._reading("transaction", read)

    def _seen(
        self, name: str, keys: list[Key], records: list[Record | None]
    ) -> tuple[list[Touch], str | None]:
        touches = [Touch((name, k), _mark(r)) for k, r in zip(keys, records, strict=True)]
        return touches, "a city is missing" if None in records else None

    def _reading(self, kind: str, read: Callable[[], tuple[list[Touch], str | None]]) -> None:
        began = time.monotonic()
        try:
            touches, wrong = read()
        except PolystoreError as error:
            self._journal.read(kind, began, [], error=error.code)
        else:
            self._journal.read(kind, began, touches, wrong=wrong)

    # -- writes -------------------------------------------------------------------------------

    def put_own(self) -> None:
        """Write one of the notes of this process, whatever is there."""
        key = self._own_key()
        mark = self._new_mark()
        touch = Touch(("notes", key), self._mine.get(key), mark)

        def write() -> None:
            self._notes.put(self._note(key, mark))
            self._mine[key] = mark

        self._writing("put", [touch], write)

    def delete_own(self) -> None:
        """Delete one of the notes of this process."""
        key = self._own_key()
        if key not in self._mine:
            return self.put_own()

        def write() -> None:
            self._notes.delete(*key)
            del self._mine[key]

        return self._writing("delete", [Touch(("notes", key), self._mine[key])], write)

    def insert(self) -> None:
        """Create a note that others create, too."""
        key, mark = self._shared_key(), self._new_mark()
        touch = Touch(("notes", key), None, mark)
        self._writing("insert", [touch], lambda: self._notes.insert(self._note(key, mark)))

    def update(self) -> None:
        """Change a note, if it is still as it was read."""
        key, record = self._shared_note("update")
        if record is None:
            return
        mark = self._new_mark()
        touch = Touch(("notes", key), _mark(record), mark)
        change = Set(mark=mark, text=self._text())
        self._writing(
            "update",
            [touch],
            lambda: self._notes.update(*key, change, when=If.version(record.version)),
        )

    def delete(self) -> None:
        """Delete a note, if it is still as it was read."""
        key, record = self._shared_note("delete")
        if record is None:
            return
        touch = Touch(("notes", key), _mark(record))
        self._writing(
            "delete",
            [touch],
            lambda: self._notes.delete(*key, when=If.field("mark") == _mark(record)),
        )

    def _shared_note(self, kind: str) -> tuple[Key, Record | None]:
        """A shared note that is there; it is created where it is not."""
        key = self._shared_key()
        try:
            record = self._notes.get(*key)
        except PolystoreError as error:
            self._journal.read(kind, time.monotonic(), [], error=error.code)
            return key, None
        if record is None:
            self.insert()
        return key, record

    def increment(self) -> None:
        """Count a visit."""
        key = self._random.choice(self._city_keys[:400])
        self._writing(
            "update", [], lambda: self._cities.update(*key, Increment("visits")),
            counted=[("cities", key)],
        )  # fmt: skip

    def transfer(self) -> None:
        """Move an inhabitant from one city to the other, in one transaction."""
        _, pair = self._pair()
        marks = [self._new_mark(), self._new_mark()]
        number = 0

        def move(tx: Transaction) -> None:
            nonlocal number
            records = [tx["cities"].get(*key) for key in pair]
            touches = [
                Touch(("cities", key), _mark(record), mark)
                for key, record, mark in zip(pair, records, marks, strict=True)
            ]
            if number:
                self._journal.done(number, "conflict")
                marks[:] = [self._new_mark(), self._new_mark()]
                touches = [
                    Touch(t.place, t.saw, mark) for t, mark in zip(touches, marks, strict=True)
                ]
            number = self._journal.announce("transaction", touches)
            for key, people, mark in zip(pair, (-1, 1), marks, strict=True):
                tx["cities"].update(*key, Increment("population", people), Set(mark=mark))

        try:
            self._store.transaction(move)
        except PolystoreError as error:
            self._finish(number, "transaction", error)
        else:
            self._journal.done(number)

    def _writing(
        self, kind: str, touches: list[Touch], write: Callable[[], object],
        counted: list[tuple[str, Key]] | None = None,
    ) -> None:  # fmt: skip
        number = self._journal.announce(kind, touches, counted)
        try:
            write()
        except PolystoreError as error:
            self._finish(number, kind, error)
        else:
            self._journal.done(number)

    def _finish(self, number: int, kind: str, error: PolystoreError) -> None:
        if number:
            self._journal.done(number, error.code)
        else:
            self._journal.read(kind, time.monotonic(), [], error=error.code)
        if not isinstance(error, AlreadyExists | polystore.Conflict):
            print(f"{kind}: {error}", file=sys.stderr, flush=True)

    # -- what to write ------------------------------------------------------------------------

    def _pair(self) -> tuple[int, tuple[Key, Key]]:
        number = self._random.randrange(len(self._data.pairs))
        return number, self._data.pairs[number]

    def _sum(self, number: int) -> int:
        people = [self._data.cities[key]["population"] for key in self._data.pairs[number]]
        return sum(p for p in people if isinstance(p, int))

    def _own_key(self) -> Key:
        number = self._random.randrange(OWN)
        return (self._small[number % len(self._small)], f"own-{self._number}-{number}")

    def _shared_key(self) -> Key:
        number = self._random.randrange(SHARED)
        return (self._small[number % len(self._small)], f"shared-{number}")

    def _new_mark(self) -> Mark:
        self._count += 1
        return f"{self._number}.{self._count}"

    def _note(self, key: Key, mark: Mark) -> Fields:
        return {"country": key[0], "note": key[1], "mark": mark, "text": self._text(), "empty": ""}

    def _text(self) -> str:
        return "x" * self._random.randrange(200)


def _mark(record: Record | None) -> Mark | None:
    if record is None:
        return None
    mark = record.get("mark", LOADED)
    assert isinstance(mark, str)
    return mark


def main(config: str, folder: str, name: str, rate: str) -> None:
    """Work from the sign ``go`` to the sign ``stop``."""
    data: Dataset = given(Path(folder))
    journal = journal_of(Path(folder), name)
    with closing(Journal(journal)) as log, polystore.open(config) as store:
        work(Path(folder), float(rate), Worker(store, data, log, name).one)


if __name__ == "__main__":
    main(*sys.argv[1:])
