"""The store for asyncio: the names and arguments of :mod:`polystore.store`, to be awaited.

It runs the same procedures; calls of databases go to a pool of threads. What an argument means is
said there and in :mod:`polystore.collection`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from polystore.collection import asked
from polystore.conditions import Condition, If
from polystore.config import Config
from polystore.databases import Databases
from polystore.driver import Description
from polystore.effects import Procedure
from polystore.lifetime import left_to_the_parent, watched
from polystore.opening import opened, opening_line
from polystore.operations import Operations, seconds_of
from polystore.plugin.registry import Registry
from polystore.queries import Range
from polystore.reading import Explanation, Page, Reading
from polystore.records import KEEP, Expiry, Record, Version
from polystore.runner import AsyncRunner
from polystore.schema import Collection
from polystore.serving import Asked
from polystore.transaction import Attempts, Draft, DraftCollection

T = TypeVar("T")


class Run(Protocol):
    """Runs a procedure to its result."""

    def __call__(self, procedure: Procedure[T], /) -> Awaitable[T]: ...


async def open(  # noqa: A001  # as polystore.open
    where: str | os.PathLike[str] | Config,
    collections: Iterable[Collection] | None = None,
    *,
    registry: Registry | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> AsyncStore:
    """Open a store: ``async with await polystore.aio.open(...) as store``."""
    line = opening_line()
    databases = await asyncio.to_thread(
        opened, where, collections, registry, timeout, line, check=check
    )
    return AsyncStore(databases)


class AsyncStore:
    """An open store, of one event loop; in the child of a fork, of one there."""

    def __init__(self, databases: Databases) -> None:
        self._collections: dict[str, AsyncOpenCollection] = {}
        self._serve(databases)
        watched(self, AsyncStore._open_anew, AsyncStore._close)

    def _serve(self, databases: Databases) -> None:
        self._databases = databases
        self._runner = AsyncRunner(wall=databases.runner.wall)
        self._run = self._runner.run

    @property
    def config(self) -> Config:
        """What it was opened with."""
        return self._databases.config

    def __getitem__(self, name: str) -> AsyncOpenCollection:
        """A collection. Raises InvalidRequest where it is not declared."""
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = AsyncOpenCollection(*self._parts(name))
        return found

    def _parts(self, name: str) -> tuple[Operations, Run]:
        return Operations(self._databases.access(name), self.config.timeout), self._run

    async def transaction(
        self,
        function: Callable[[AsyncTransaction], Awaitable[T]],
        *,
        attempts: int | None = None,
        timeout: float | None = None,
    ) -> T:
        """Run an async ``function`` as :meth:`polystore.store.Store.transaction` does."""
        seconds = seconds_of(timeout, self.config.timeout)
        runs = Attempts(self._databases.access, attempts, seconds)
        while True:
            draft = await self._run(runs.begin())
            try:
                result = await function(AsyncTransaction(draft, self._run))
            except Exception as error:
                if await self._run(runs.excused(draft, error)):
                    continue
                raise
            if await self._run(runs.committed(draft)):
                return result

    async def create(self) -> None:
        """Make what the declared collections need and is not there yet; on all sides."""
        await asyncio.to_thread(self._databases.create)

    async def drop(self) -> None:
        """Remove the declared collections with all their records; on all sides."""
        await asyncio.to_thread(self._databases.drop)

    async def describe(self) -> dict[str, dict[str, Description]]:
        """What is really there, by collection and by side."""
        return await asyncio.to_thread(self._databases.describe)

    def counts(self, group: str | None = None) -> dict[str, int]:
        """What was counted in this process since it was opened, as in the synchronous store."""
        return self._databases.counts(group)

    def native(self, name: str, side: str | None = None) -> Any:
        """The database's own client, for what polystore does not offer."""
        return self._databases.native(name, side)

    async def close(self) -> None:
        """Leave all groups and close all connections. A second call does nothing."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._databases.close()
        self._runner.close()

    def _open_anew(self) -> None:
        """In the child of a fork: open everything again; an event loop of its own goes on."""
        if self._databases.closed:
            return
        left_to_the_parent((self._databases, self._runner))
        self._serve(self._databases.again())
        for name, collection in self._collections.items():
            AsyncOpenCollection.__init__(collection, *self._parts(name))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class AsyncOpenCollection:
    """One collection of an open store."""

    def __init__(self, operations: Operations, run: Run) -> None:
        self._operations = operations
        self._run = run

    @property
    def declared(self) -> Collection:
        """Its declaration."""
        return self._operations.collection

    async def put(
        self,
        record: Mapping[str, object],
        when: Condition = If.any,
        *,
        expires_at: datetime | None = None,
        timeout: float | None = None,
    ) -> Version:
        """Write a whole record, whether or not it exists."""
        return await self._run(self._operations.put(record, when, timeout, expires_at))

    async def insert(
        self,
        record: Mapping[str, object],
        *,
        expires_at: datetime | None = None,
        timeout: float | None = None,
    ) -> Version:
        """Write a new record. Raises AlreadyExists where there is one with its key."""
        return await self._run(self._operations.put(record, If.absent, timeout, expires_at))

    async def get(
        self, *key: object, consistency: str = "strong", timeout: float | None = None
    ) -> Record | None:
        """Read one record, or ``None`` where there is none."""
        return await self._run(self._operations.get(key, consistency, timeout))

    async def get_many(
        self,
        keys: Sequence[tuple[object, ...]],
        *,
        consistency: str = "strong",
        timeout: float | None = None,
    ) -> list[Record | None]:
        """Read several records, in the order of ``keys``; ``None`` where there is none."""
        return await self._run(self._operations.get_many(keys, consistency, timeout))

    async def update(
        self,
        *key_and_changes: object,
        when: Condition = If.present,
        expires_at: Expiry = KEEP,
        timeout: float | None = None,
    ) -> Version:
        """Change fields of one record, once."""
        update = self._operations.update(key_and_changes, when, timeout, expires_at)
        return await self._run(update)

    async def delete(
        self, *key: object, when: Condition = If.any, timeout: float | None = None
    ) -> None:
        """Take one record away. Without a condition that succeeds where there is none too."""
        await self._run(self._operations.delete(key, when, timeout))

    async def purge(self, *, rate: float | None = None, timeout: float | None = None) -> int:
        """Remove what has expired and still lies there; how many records."""
        return await self._run(self._operations.purge(rate, timeout))

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
    ) -> AsyncQuery:
        """Records of one partition in the order of their keys, or of an index in its order."""
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
    ) -> AsyncQuery:
        """All records, in no order."""
        return self._query(Asked(where=where, limit=limit, allow_scan=True), timeout)

    async def count(
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
        """How many records the same query has."""
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
        return await query.count()

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

    def _query(self, asked_: Asked, timeout: float | None) -> AsyncQuery:
        return AsyncQuery(Reading(self._operations, asked_, timeout), self._run)


class AsyncQuery:
    """An answer that is read as it is iterated; each iteration reads it anew."""

    def __init__(self, reading: Reading, run: Run) -> None:
        self._reading = reading
        self._run = run

    async def __aiter__(self) -> AsyncIterator[Record]:
        walk = self._reading.walk()
        while not walk.done:
            for record in await self._run(walk.advance_in_limit()):
                yield record

    async def page(self, cursor: str | None = None) -> Page:
        """One page, from the start or from where the cursor of the page before says."""
        return await self._run(self._reading.page(cursor))

    async def count(self) -> int:
        """How many records the query has."""
        return await self._run(self._reading.count())

    def explain(self) -> Explanation:
        """What serves the query."""
        return self._reading.explain()


class AsyncTransaction:
    """One run of a transaction's function: ``tx["orders"]`` is a collection in it."""

    def __init__(self, draft: Draft, run: Run) -> None:
        self._draft = draft
        self._run = run

    def __getitem__(self, name: str) -> AsyncTransactionCollection:
        """A collection in the transaction. Raises Unsupported for one of another group."""
        return AsyncTransactionCollection(self._draft.collection(name), self._run)


class AsyncTransactionCollection:
    """One collection in a transaction: reads see the transaction's own writes."""

    def __init__(self, collection: DraftCollection, run: Run) -> None:
        self._collection = collection
        self._run = run

    async def get(self, *key: object) -> Record | None:
        """Read one record; the commit checks that it is still so."""
        return await self._run(self._collection.get(key))

    async def put(
        self,
        record: Mapping[str, object],
        when: Condition = If.any,
        *,
        expires_at: datetime | None = None,
    ) -> None:
        """Write a whole record at commit. Raises Conflict at once where ``when`` is false."""
        await self._run(self._collection.put(record, when, expires_at))

    async def insert(
        self, record: Mapping[str, object], *, expires_at: datetime | None = None
    ) -> None:
        """Write a new record at commit. Raises AlreadyExists at once where there is one."""
        await self._run(self._collection.put(record, If.absent, expires_at))

    async def update(
        self,
        *key_and_changes: object,
        when: Condition = If.present,
        expires_at: Expiry = KEEP,
    ) -> None:
        """Change fields of one record at commit. Raises NotFound at once where there is none."""
        await self._run(self._collection.update(key_and_changes, when, expires_at))

    async def delete(self, *key: object, when: Condition = If.any) -> None:
        """Take one record away at commit. Raises Conflict at once where ``when`` is false."""
        await self._run(self._collection.delete(key, when))
