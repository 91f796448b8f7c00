"""What applications call: a store and its transactions; synchronous."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from polystore.collection import OpenCollection, Run
from polystore.conditions import Condition, If
from polystore.config import Config
from polystore.databases import Databases
from polystore.driver import Description
from polystore.lifetime import left_to_the_parent, watched
from polystore.opening import opened, opening_line
from polystore.operations import Operations, seconds_of
from polystore.plugin.registry import Registry
from polystore.records import KEEP, Expiry, Record
from polystore.route.direct import Direct
from polystore.schema import Collection
from polystore.transaction import Attempts, Draft, DraftCollection

T = TypeVar("T")


def open(  # noqa: A001  # the module's one door; it is called as polystore.open
    where: str | os.PathLike[str] | Config,
    collections: Iterable[Collection] | None = None,
    *,
    registry: Registry | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Store:
    """Open a store.

    Args:
        where: URL of a database such as ``sqlite:///app.db``, path of a TOML file, or a
            configuration.
        collections: what the store holds; for a URL, the others declare them themselves.
        registry: finds drivers; by default all that are installed.
        timeout: seconds that one operation may take, retries and waits included; by default what
            the configuration says, or 10.
        check: whether to compare what is there with what is declared. ``False`` is for
            ``store.create()``, where an index has been declared that is not there yet.

    Raises:
        ConfigError: the configuration or URL is wrong, or what is there differs from it.
        UnknownDriver: no driver of this name is installed.
        Unavailable: a database cannot be reached.
    """
    return Store(opened(where, collections, registry, timeout, opening_line(), check=check))


class Store:
    """An open store: ``store["orders"]`` is a collection. Any number of threads may use it.

    Close it, or use it in a ``with`` block: while a migration runs it is a member of a fleet.
    """

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._run = databases.runner.run
        self._collections: dict[str, OpenCollection] = {}
        watched(self, Store._open_anew, Store.close)

    @property
    def config(self) -> Config:
        """What it was opened with."""
        return self._databases.config

    def __getitem__(self, name: str) -> OpenCollection:
        """A collection. Raises InvalidRequest where it is not declared."""
        found = self._collections.get(name)
        if found is None:
            found = OpenCollection(*self._parts(name))
            self._collections[name] = found
        return found

    def _parts(self, name: str) -> tuple[Operations, Run, Direct | None]:
        """What a collection is made of."""
        operations = Operations(self._databases.access(name), self.config.timeout)
        return operations, self._run, self._databases.direct(name)

    def transaction(
        self,
        function: Callable[[Transaction], T],
        *,
        attempts: int | None = None,
        timeout: float | None = None,
    ) -> T:
        """Run ``function`` on one state of the records that it reads, and write all or nothing.

        What it reads is remembered, what it writes is kept; at the end all is written if nothing
        that it read has changed. If something has, it runs again, so it must have no other
        effects. An error that it raises ends the transaction with nothing written, unless it
        came from having read what was never so at one moment: then it runs again too.

        Args:
            function: gets the transaction; ``tx["orders"].get("c1", 17)`` reads.
            attempts: runs at most; by default as many as the time allows.
            timeout: seconds for all of them together; by default the store's.

        Returns:
            What ``function`` returned.

        Raises:
            Contention: others were quicker each time; nothing was applied.
            LimitExceeded: more records than one commit takes; nothing was applied.
            Unsupported: collections of different groups or databases; nothing was applied.
            OutcomeUnknown: the commit was sent and has no answer.
        """
        seconds = seconds_of(timeout, self.config.timeout)
        runs = Attempts(self._databases.access, attempts, seconds)
        while True:
            draft = self._run(runs.begin())
            try:
                result = function(Transaction(draft, self._run))
            except Exception as error:
                if self._run(runs.excused(draft, error)):
                    continue
                raise
            if self._run(runs.committed(draft)):
                return result

    def create(self) -> None:
        """Make what the declared collections need and is not there yet; on all sides."""
        self._databases.create()

    def drop(self) -> None:
        """Remove the declared collections with all their records; on all sides."""
        self._databases.drop()

    def describe(self) -> dict[str, dict[str, Description]]:
        """What is really there, by collection and by side."""
        return self._databases.describe()

    def counts(self, group: str | None = None) -> dict[str, int]:
        """What was counted in this process since it was opened: declines, waits and the like.

        Args:
            group: the name of one; by default the database of collections in no group.
        """
        return self._databases.counts(group)

    def native(self, name: str, side: str | None = None) -> Any:
        """The database's own client, for what polystore does not offer.

        Args:
            name: the collection.
            side: ``"source"`` or ``"target"``, where the collection is in a group.
        """
        return self._databases.native(name, side)

    def _open_anew(self) -> None:
        """In the child of a fork: open everything again, as a process of its own.

        Called by itself. The collections that were taken from this store go on to work.
        """
        if self._databases.closed:
            return
        left_to_the_parent(self._databases)
        self._databases = self._databases.again()
        self._run = self._databases.runner.run
        for name, collection in self._collections.items():
            OpenCollection.__init__(collection, *self._parts(name))

    def close(self) -> None:
        """Leave all groups and close all connections. A second call does nothing."""
        self._databases.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Transaction:
    """One run of a transaction's function: ``tx["orders"]`` is a collection in it."""

    def __init__(self, draft: Draft, run: Run) -> None:
        self._draft = draft
        self._run = run

    def __getitem__(self, name: str) -> TransactionCollection:
        """A collection in the transaction. Raises Unsupported for one of another group."""
        return TransactionCollection(self._draft.collection(name), self._run)


class TransactionCollection:
    """One collection in a transaction: reads see the transaction's own writes."""

    def __init__(self, collection: DraftCollection, run: Run) -> None:
        self._collection = collection
        self._run = run

    def get(self, *key: object) -> Record | None:
        """Read one record; the commit checks that it is still so.

        The version of a record that this transaction wrote means something in it alone.
        """
        return self._run(self._collection.get(key))

    def put(
        self,
        record: Mapping[str, object],
        when: Condition = If.any,
        *,
        expires_at: datetime | None = None,
    ) -> None:
        """Write a whole record at commit. Raises Conflict at once where ``when`` is false."""
        self._run(self._collection.put(record, when, expires_at))

    def insert(self, record: Mapping[str, object], *, expires_at: datetime | None = None) -> None:
        """Write a new record at commit. Raises AlreadyExists at once where there is one."""
        self._run(self._collection.put(record, If.absent, expires_at))

    def update(
        self,
        *key_and_changes: object,
        when: Condition = If.present,
        expires_at: Expiry = KEEP,
    ) -> None:
        """Change fields of one record at commit. Raises NotFound at once where there is none."""
        self._run(self._collection.update(key_and_changes, when, expires_at))

    def delete(self, *key: object, when: Condition = If.any) -> None:
        """Take one record away at commit. Raises Conflict at once where ``when`` is false."""
        self._run(self._collection.delete(key, when))
