"""One collection of an open store, and its queries; synchronous."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol, TypeVar

from polystore.conditions import Condition, If
from polystore.effects import Procedure
from polystore.errors import Contention, Throttled
from polystore.operations import Operations, written
from polystore.queries import Range
from polystore.reading import Explanation, Page, Reading
from polystore.records import KEEP, Expiry, Record, Version, expiry_of
from polystore.route.direct import Direct
from polystore.schema import Collection
from polystore.serving import Asked

T = TypeVar("T")


class Run(Protocol):
    """Runs a procedure to its result."""

    def __call__(self, procedure: Procedure[T], /) -> T: ...


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
        expires_at: datetime | None = None,
        timeout: float | None = None,
    ) -> Version:
        """Write a whole record, whether or not it exists.

        Args:
            record: all fields, key fields included.
            when: what must be so of the record that is there, or of its absence.
            expires_at: the moment from which on the record is gone; ``None`` for never.
            timeout: seconds for the operation; by default the store's.

        Returns:
            The new version.

        Raises:
            Conflict: the condition does not hold; nothing was written.
            InvalidKey, InvalidValue, LimitExceeded: the record cannot be held; nothing was sent.
        """
        if when is If.any and self._direct is not None:
            with suppress(Contention, Throttled):
                return written(self._direct.put(record, expiry_of(expires_at)))
        return self._run(self._operations.put(record, when, timeout, expires_at))

    def insert(
        self,
        record: Mapping[str, object],
        *,
        expires_at: datetime | None = None,
        timeout: float | None = None,
    ) -> Version:
        """Write a new record. Raises AlreadyExists where there is one with its key."""
        if self._direct is not None:
            with suppress(Contention, Throttled):
                version = self._direct.insert(record, expiry_of(expires_at))
                if isinstance(version, Version):
                    return version
        return self._run(self._operations.put(record, If.absent, timeout, expires_at))

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
        expires_at: Expiry = KEEP,
        timeout: float | None = None,
    ) -> Version:
        """Change fields of one record, once.

        Args:
            key_and_changes: the parts of the key, then changes: Set, Remove, Increment, Append.
            when: what must be so of the record. A condition that holds of an absent record, such
                as ``If.any``, makes one of the key and the changes.
            expires_at: the moment from which on the record is gone, ``None`` for never, or ``KEEP``
                what it has; with another moment there need be no changes.
            timeout: seconds for the operation; by default the store's.

        Raises:
            NotFound: there is no record, and the condition does not hold without.
            Conflict: the condition does not hold; nothing was written.
        """
        return self._run(self._operations.update(key_and_changes, when, timeout, expires_at))

    def delete(self, *key: object, when: Condition = If.any, timeout: float | None = None) -> None:
        """Take one record away. Without a condition that succeeds where there is none too."""
        if when is If.any and self._direct is not None:
            with suppress(Contention, Throttled):
                self._direct.delete(key)
                return
        self._run(self._operations.delete(key, when, timeout))

    def purge(self, *, rate: float | None = None, timeout: float | None = None) -> int:
        """Remove what has expired and still lies there: run it now and then, from one process.

        Args:
            rate: records that are looked at in a second, at most; by default as many as go.
            timeout: seconds for each page and each record; by default the store's.

        Returns:
            How many records were removed.
        """
        return self._run(self._operations.purge(rate, timeout))

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
