"""What applications call: a store, its collections, queries and transactions; synchronous."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import attrs

from polystore.conditions import Condition, If
from polystore.config import Config, load
from polystore.databases import Databases, opening_line
from polystore.driver import Description
from polystore.effects import Procedure
from polystore.errors import ConfigError, Contention, Throttled
from polystore.operations import Operations, seconds_of, written
from polystore.plugin.registry import Registry, default_registry
from polystore.queries import Range
from polystore.reading import Explanation, Page, Reading
from polystore.records import Record, Version
from polystore.route.direct import Direct
from polystore.schema import Collection
from polystore.serving import Asked
from polystore.transaction import Attempts, Draft, DraftCollection

T = TypeVar("T")


class Run(Protocol):
    """Runs a procedure to its result."""

    def __call__(self, procedure: Procedure[T], /) -> T: ...


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


def opened(
    where: str | os.PathLike[str] | Config,
    collections: Iterable[Collection] | None,
    registry: Registry | None,
    timeout: float | None,
    opened_at: str,
    *,
    check: bool,
) -> Databases:
    """The databases of a store, open and (unless told otherwise) compared with the declaration."""
    finder = registry or default_registry()
    config = configuration(where, collections, finder)
    if timeout is not None:
        config = attrs.evolve(config, timeout=timeout)
    databases = Databases(config, finder, opened_at)
    if not check:
        return databases
    try:
        databases.check()
    except BaseException:
        databases.close()
        raise
    return databases


def configuration(
    where: str | os.PathLike[str] | Config,
    collections: Iterable[Collection] | None,
    registry: Registry,
) -> Config:
    """The configuration that the arguments of ``open`` mean. Raises ConfigError."""
    if isinstance(where, str) and "://" in where:
        if collections is None:
            raise ConfigError("opening a URL needs collections=[Collection(...), …]")
        named = {collection.name: collection for collection in collections}
        return Config(url=where, collections=named)
    if collections is not None:
        raise ConfigError("collections= goes with a URL; a configuration declares its own")
    return where if isinstance(where, Config) else load(where, registry.names())


def asked(
    parts: tuple[object, ...],
    values: Mapping[str, object],
    *,
    sort: Range | None,
    index: str | None,
    order: str,
    where: Condition | None,
    limit: int | None,
    allow_scan: bool,
) -> Asked:
    """The arguments of a query; a mapping in place of key parts gives values by odd names."""
    if len(parts) == 1 and isinstance(parts[0], Mapping):
        values, parts = {**parts[0], **values}, ()
    return Asked(
        prefix=parts,
        sort=sort,
        index=index,
        equals=values,
        order=order,
        where=where,
        limit=limit,
        allow_scan=allow_scan,
    )


class Store:
    """An open store: ``store["orders"]`` is a collection. Any number of threads may use it.

    Close it, or use it in a ``with`` block: while a migration runs it is a member of a fleet.
    """

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._run = databases.runner.run
        self._collections: dict[str, OpenCollection] = {}

    @property
    def config(self) -> Config:
        """What it was opened with."""
        return self._databases.config

    def __getitem__(self, name: str) -> OpenCollection:
        """A collection. Raises InvalidRequest where it is not declared."""
        found = self._collections.get(name)
        if found is None:
            access = self._databases.access(name)
            operations = Operations(access, self.config.timeout)
            found = OpenCollection(operations, self._run, self._databases.direct(name))
            self._collections[name] = found
        return found

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

    def native(self, name: str, side: str | None = None) -> Any:
        """The database's own client, for what polystore does not offer.

        Args:
            name: the collection.
            side: ``"source"`` or ``"target"``, where the collection is in a group.
        """
        return self._databases.native(name, side)

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


class OpenCollection:
    """One collection of an open store.

    Where one database is in play, what needs a single call goes straight to its driver.
    """

    def __init__(self, operations: Operations, run: Run, direct: Direct | None) -> None:
        self._operations = operations
        self._run = run
        self._direct = direct

    @property
    def declared(self) -> Collection:
        """Its declaration."""
        return self._operations.collection

    def put(
        self,
        record: Mapping[str, object],
        when: Condition = If.any,
        *,
        timeout: float | None = None,
    ) -> Version:
        """Write a whole record, whether or not it exists.

        Args:
            record: all fields, key fields included.
            when: what must be so of the record that is there, or of its absence.
            timeout: seconds for the operation; by default the store's.

        Returns:
            The new version.

        Raises:
            Conflict: the condition does not hold; nothing was written.
            InvalidKey, InvalidValue, LimitExceeded: the record cannot be held; nothing was sent.
        """
        if when is If.any and self._direct is not None:
            with suppress(Contention, Throttled):
                return written(self._direct.put(record))
        return self._run(self._operations.put(record, when, timeout))

    def insert(self, record: Mapping[str, object], *, timeout: float | None = None) -> Version:
        """Write a new record. Raises AlreadyExists where there is one with its key."""
        if self._direct is not None:
            with suppress(Contention, Throttled):
                version = self._direct.insert(record)
                if isinstance(version, Version):
                    return version
        return self._run(self._operations.put(record, If.absent, timeout))

    def get(
        self, *key: object, consistency: str = "strong", timeout: float | None = None
    ) -> Record | None:
        """Read one record, or ``None`` where there is none.

        Args:
            key: the parts of the key.
            consistency: ``"strong"`` sees every acknowledged write; ``"eventual"`` may miss some.
            timeout: seconds for the operation; by default the store's.
        """
        if consistency == "strong" and self._direct is not None:
            try:
                return self._direct.get(key)
            except (Contention, Throttled):
                pass  # the way that may wait and ask again
        return self._run(self._operations.get(key, consistency, timeout))

    def get_many(
        self,
        keys: Sequence[tuple[object, ...]],
        *,
        consistency: str = "strong",
        timeout: float | None = None,
    ) -> list[Record | None]:
        """Read several records, in the order of ``keys``; ``None`` where there is none."""
        return self._run(self._operations.get_many(keys, consistency, timeout))

    def update(
        self,
        *key_and_changes: object,
        when: Condition = If.present,
        timeout: float | None = None,
    ) -> Version:
        """Change fields of one record, once.

        Args:
            key_and_changes: the parts of the key, then changes: Set, Remove, Increment, Append.
            when: what must be so of the record. A condition that holds of an absent record, such
                as ``If.any``, makes one of the key and the changes.
            timeout: seconds for the operation; by default the store's.

        Raises:
            NotFound: there is no record, and the condition does not hold without.
            Conflict: the condition does not hold; nothing was written.
        """
        return self._run(self._operations.update(key_and_changes, when, timeout))

    def delete(self, *key: object, when: Condition = If.any, timeout: float | None = None) -> None:
        """Take one record away. Without a condition that succeeds where there is none too."""
        if when is If.any and self._direct is not None:
            with suppress(Contention, Throttled):
                self._direct.delete(key)
                return
        self._run(self._operations.delete(key, when, timeout))

    def query(
        self,
        *prefix: object,
        sort: Range | None = None,
        index: str | None = None,
        order: str = "asc",
        where: Condition | None = None,
        limit: int | None = None,
        allow_scan: bool = False,
        timeout: float | None = None,
        **values: object,
    ) -> Query:
        """Records of one partition in the order of their keys, or of an index in its order.

        Args:
            prefix: leading key parts, at least the whole partition.
            sort: bounds of the key field after those, such as ``Between(10, 20)``.
            index: name of a declared index, in place of ``prefix``.
            order: ``"asc"`` or ``"desc"``.
            where: what is tested on each record after it was read.
            limit: most records of the whole answer, or of each page.
            allow_scan: whether to read the whole collection where no key or index serves.
            timeout: seconds for each page; by default the store's.
            values: values of the index's leading fields, by name, and at most one range after
                them. Names that are no Python names, or are taken by an argument, go into one
                mapping in place of ``prefix``.

        Raises:
            Unsupported: no key and no index serves it; nothing was sent.
        """
        return self._query(
            asked(
                prefix,
                values,
                sort=sort,
                index=index,
                order=order,
                where=where,
                limit=limit,
                allow_scan=allow_scan,
            ),
            timeout,
        )

    def scan(
        self,
        *,
        where: Condition | None = None,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> Query:
        """All records, in no order. Arguments as of :meth:`query`."""
        return self._query(Asked(where=where, limit=limit, allow_scan=True), timeout)

    def count(
        self,
        *prefix: object,
        sort: Range | None = None,
        index: str | None = None,
        order: str = "asc",
        where: Condition | None = None,
        limit: int | None = None,
        allow_scan: bool = False,
        timeout: float | None = None,
        **values: object,
    ) -> int:
        """How many records the same query has. Raises as :meth:`query` does."""
        query = self.query(
            *prefix,
            sort=sort,
            index=index,
            order=order,
            where=where,
            limit=limit,
            allow_scan=allow_scan,
            timeout=timeout,
            **values,
        )
        return query.count()

    def explain(
        self,
        *prefix: object,
        sort: Range | None = None,
        index: str | None = None,
        order: str = "asc",
        where: Condition | None = None,
        limit: int | None = None,
        allow_scan: bool = False,
        timeout: float | None = None,
        **values: object,
    ) -> Explanation:
        """What serves the same query, and what is filtered after reading; nothing is sent."""
        query = self.query(
            *prefix,
            sort=sort,
            index=index,
            order=order,
            where=where,
            limit=limit,
            allow_scan=allow_scan,
            timeout=timeout,
            **values,
        )
        return query.explain()

    def _query(self, asked_: Asked, timeout: float | None) -> Query:
        return Query(Reading(self._operations, asked_, timeout), self._run)


class Query:
    """An answer that is read as it is iterated; each iteration reads it anew."""

    def __init__(self, reading: Reading, run: Run) -> None:
        self._reading = reading
        self._run = run

    def __iter__(self) -> Iterator[Record]:
        walk = self._reading.walk()
        while not walk.done:
            yield from self._run(walk.advance_in_limit())

    def page(self, cursor: str | None = None) -> Page:
        """One page, from the start or from where the cursor of the page before says.

        Raises:
            CursorExpired: the cursor is of another query, or of a side that is gone.
        """
        return self._run(self._reading.page(cursor))

    def count(self) -> int:
        """How many records the query has."""
        return self._run(self._reading.count())

    def explain(self) -> Explanation:
        """What serves the query."""
        return self._reading.explain()


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

    def put(self, record: Mapping[str, object], when: Condition = If.any) -> None:
        """Write a whole record at commit. Raises Conflict at once where ``when`` is false."""
        self._run(self._collection.put(record, when))

    def insert(self, record: Mapping[str, object]) -> None:
        """Write a new record at commit. Raises AlreadyExists at once where there is one."""
        self._run(self._collection.put(record, If.absent))

    def update(self, *key_and_changes: object, when: Condition = If.present) -> None:
        """Change fields of one record at commit. Raises NotFound at once where there is none."""
        self._run(self._collection.update(key_and_changes, when))

    def delete(self, *key: object, when: Condition = If.any) -> None:
        """Take one record away at commit. Raises Conflict at once where ``when`` is false."""
        self._run(self._collection.delete(key, when))
