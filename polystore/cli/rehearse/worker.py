"""One application process of a rehearsal: operations of the observed kinds on its own records.

It knows nothing of the migration: it opens a store and uses it. Run as
``python -m polystore.cli.rehearse.worker FOLDER NAME RATE``; what it works with, its journal and
what it knows at its end are files of FOLDER.
"""

from __future__ import annotations

import pickle
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import polystore
from polystore import (
    DriverError,
    MirrorPending,
    OutcomeUnknown,
    PolystoreError,
    Record,
    Set,
    Transaction,
)
from polystore.cli.crew.journal import Journal
from polystore.cli.crew.phases import EXPECTED
from polystore.cli.crew.processes import given, journal_of, work
from polystore.cli.rehearse.declared import rehearsed
from polystore.cli.rehearse.load import Known, Place, State, Task, moved_to
from polystore.config import Config, load
from polystore.migration.preflight.shape import (
    DELETE,
    GET,
    GET_MANY,
    INSERT,
    PUT,
    QUERY,
    SCAN,
    TRANSACTION,
    UPDATE,
)
from polystore.plugin.registry import default_registry
from polystore.schema import Collection
from polystore.values import Fields, Key

MOST = 20
"""Records that a query or a scan reads."""


def known_of(folder: Path, name: str) -> Path:
    """The file with what a process knows at its end."""
    return folder / f"{name}.known"


class Actor:
    """One process's operations.

    Args:
        store: an open store.
        config: how its collections are declared.
        task: what to do.
        journal: the log.
        number: which of the processes this is.
    """

    def __init__(
        self, store: polystore.Store, config: Config, task: Task, journal: Journal, number: int
    ) -> None:
        self.known = Known(task.owned(number))
        self._store = store
        self._collections = config.collections
        self._records = {name: list(found.values()) for name, found in task.records.items()}
        self._colocate = task.colocate
        self._journal = journal
        self._random = random.Random(number)
        self._choices, self._weights = task.choices()
        self._kinds: Mapping[str, Callable[[str, Key], str | None]] = {
            GET: self._get, GET_MANY: self._get_many, QUERY: self._query, SCAN: self._scan,
            PUT: self._put, INSERT: self._insert, UPDATE: self._update, DELETE: self._delete,
            TRANSACTION: self._transaction,
        }  # fmt: skip

    def one(self) -> None:
        """Carry out the next operation, and log how it went."""
        (name, kind), *_ = self._random.choices(self._choices, self._weights)
        keys = self.known.keys(name)
        if not keys:
            return
        began, error, wrong = time.monotonic(), None, None
        try:
            wrong = self._kinds[kind](name, self._random.choice(keys))
        except PolystoreError as raised:
            error = raised.code
            if error not in EXPECTED:
                print(f"{kind}: {raised}", file=sys.stderr, flush=True)
        self._journal.read(kind, began, [], error=error, wrong=wrong)

    # -- reads --------------------------------------------------------------------------------

    def _get(self, name: str, key: Key) -> str | None:
        return self._judged(name, [key], [self._store[name].get(*key)])

    def _get_many(self, name: str, key: Key) -> str | None:
        keys = list({key, *self._random.choices(self.known.keys(name), k=2)})
        return self._judged(name, keys, self._store[name].get_many(keys))

    def _query(self, name: str, key: Key) -> str | None:
        """Of an index by the values of a record, or of the partition of its key."""
        collection = self._collections[name]
        index = self._random.choice([None, *collection.indexes])
        if index is not None:
            field = index.fields[0]
            value: Any = self._random.choice(self._records[name]).get(field)
            if isinstance(value, str | int | bool) and field.isidentifier():
                query = self._store[name].query({field: value}, index=index.name, limit=MOST)
                list(islice(query, MOST))
                return None
        found = list(islice(self._store[name].query(*key[: collection.partition]), MOST))
        return self._judged(name, [r.key for r in found], found)

    def _scan(self, name: str, _: Key) -> str | None:
        list(islice(self._store[name].scan(), MOST))
        return None

    def _judged(
        self, name: str, keys: Sequence[Key], records: Sequence[Record | None]
    ) -> str | None:
        """What a read should not have seen, in words."""
        for key, record in zip(keys, records, strict=True):
            if self.known.wrong((name, key), None if record is None else dict(record)):
                return f"{name} {key!r} is not as this process left it"
        return None

    # -- writes -------------------------------------------------------------------------------

    def _put(self, name: str, key: Key) -> str | None:
        new = self._others(name, key)
        self._writing({(name, key): lambda _: new}, lambda: self._store[name].put(new))
        return None

    def _insert(self, name: str, key: Key) -> str | None:
        """Bring back what was deleted; where everything is there, delete something first."""
        absent = [k for k in self.known.keys(name) if self.known.states[name, k] == (None,)]
        if not absent:
            return self._delete(name, key)
        key = self._random.choice(absent)
        new = self._others(name, key)
        self._writing({(name, key): lambda _: new}, lambda: self._store[name].insert(new))
        return None

    def _update(self, name: str, key: Key) -> str | None:
        """Take over one field of another record."""
        place = (name, key)
        names = self._collections[name].key_names
        fields = [f for f in self._random.choice(self._records[name]).items() if f[0] not in names]
        if not fields or not (self.known.certain(place) and self.known.present(place)):
            return self._put(name, key)
        field = dict([self._random.choice(fields)])
        self._writing(
            {place: lambda state: {**(state or {}), **field}},
            lambda: self._store[name].update(*key, Set(field)),
        )
        return None

    def _delete(self, name: str, key: Key) -> str | None:
        self._writing({(name, key): lambda _: None}, lambda: self._store[name].delete(*key))
        return None

    def _transaction(self, name: str, key: Key) -> str | None:
        """Read two records that belong together, and write both."""
        places = [(name, key), *self._beside(name, key)]
        new = {place: self._others(*place) for place in places}
        wrong: list[str | None] = []

        def both(tx: Transaction) -> None:
            wrong[:] = [self._judged(n, [k], [tx[n].get(*k)]) for n, k in places]
            for (n, _), fields in new.items():
                tx[n].put(fields)

        def change(place: Place) -> Callable[[State], State]:
            return lambda _: new[place]

        self._writing({p: change(p) for p in places}, lambda: self._store.transaction(both))
        return next((w for w in wrong if w is not None), None)

    def _beside(self, name: str, key: Key) -> list[Place]:
        """Another record of this process with the same colocation key, if there is one."""
        if self._colocate is None:
            return []
        head = key[: self._colocate]
        near = [k for k in self.known.keys(name) if k[: self._colocate] == head and k != key]
        return [(name, self._random.choice(near))] if near else []

    def _writing(
        self, changes: Mapping[Place, Callable[[State], State]], write: Callable[[], object]
    ) -> None:
        """Carry out a write, and remember what may be there now."""
        sure = True
        try:
            write()
        except MirrorPending:
            pass  # the write stands
        except (OutcomeUnknown, DriverError):
            sure = False
            raise
        except PolystoreError:
            changes = {}
            raise
        finally:
            for place, change in changes.items():
                self.known.written(place, change, sure=sure)

    def _others(self, name: str, key: Key) -> Fields:
        """The fields of some record of the sample, under this key."""
        collection: Collection = self._collections[name]
        return moved_to(collection.key_names, key, self._random.choice(self._records[name]))


def main(folder: str, name: str, rate: str) -> None:
    """Work from the sign ``go`` to the sign ``stop``, and leave what is known then."""
    task: Task = given(Path(folder))
    declared = load(task.config, default_registry().names())
    config = rehearsed(declared, task.group, task.source, task.target)
    journal = Journal(journal_of(Path(folder), name))
    with closing(journal), polystore.open(config) as store:
        actor = Actor(store, config, task, journal, int(name.removeprefix("p")))
        work(Path(folder), float(rate), actor.one)
    with known_of(Path(folder), name).open("wb") as file:
        pickle.dump(actor.known.states, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
