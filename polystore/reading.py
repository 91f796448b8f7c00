"""One query or scan as it goes: its pages, its count, and the account of how it is answered."""

from __future__ import annotations

import attrs

from polystore.capabilities import Freshness
from polystore.cursors import (
    position_of,
    position_text,
    scan_cursor_of,
    scan_text,
    signature,
)
from polystore.effects import Now
from polystore.operations import Operations, located
from polystore.queries import Position
from polystore.records import Record
from polystore.serving import Asked, Serving, serve

PAGE = 300
"""Records asked for at a time; no database here answers with more in one call (Datastore: 300)."""


@attrs.frozen(eq=False)
class Page:
    """A part of an answer, in its order.

    Attributes:
        records: the records; there may be few or none of them, and more pages after.
        cursor: text with which the next page begins; ``None`` where the answer is at its end.
            It belongs to this query alone, and holds the key and indexed values of a record.
    """

    records: list[Record]
    cursor: str | None


@attrs.frozen(kw_only=True)
class Explanation:
    """How a query is answered; ``str`` is one line.

    Attributes:
        served_by: the key, an index, or a scan of the whole collection.
        filtered: fields that are tested on each record after it was read.
        order: what the records are ordered by.
        freshness: what the answer may miss.
        count: how ``count`` finds the number.
    """

    served_by: str
    filtered: tuple[str, ...]
    order: str
    freshness: str
    count: str

    def __str__(self) -> str:
        tested = ", ".join(self.filtered) or "nothing"
        return (
            f"served by {self.served_by}; filtered after reading: {tested}; order: {self.order}; "
            f"{self.freshness}; count: {self.count}"
        )


class Reading:
    """A query of one collection.

    Raises:
        Unsupported, InvalidRequest: as :func:`polystore.serving.serve`; nothing was sent.
    """

    def __init__(self, operations: Operations, asked: Asked, timeout: float | None) -> None:
        self.operations = operations
        self.seconds = operations.seconds(timeout)
        with located(operations.collection):
            self.serving = serve(operations.collection, asked)
        self.name = signature(operations.collection, self.serving.plan, self.serving.filters)

    def walk(self, cursor: str | None = None) -> Walk:
        """Begin at the start, or where a cursor says. Raises CursorExpired for a foreign one."""
        with located(self.operations.collection):
            return Walk(self, cursor)

    async def page(self, cursor: str | None) -> Page:
        """One page; it is cut short where it would take longer than the time limit."""
        walk = self.walk(cursor)
        most = self.serving.limit or PAGE
        records: list[Record] = []
        deadline = await Now() + self.seconds
        while not walk.done and len(records) < most:
            records += await walk.advance(most - len(records), resumable=True)
            if await Now() >= deadline:
                break
        return Page(records, walk.cursor())

    async def count(self) -> int:
        """How many records the query has; all of them are read."""
        walk, found = self.walk(), 0
        while not walk.done:
            found += len(await walk.advance_in_limit())
        return found

    def explain(self) -> Explanation:
        """How the query is answered."""
        plan, reads = self.serving.plan, self.operations.access.bound().capabilities.reads
        names = ", ".join(self.operations.collection.key_names)
        level = reads.index if plan is not None and plan.index else reads.query
        if plan is None:
            served, order = "a scan of the whole collection", "none"
        elif plan.index is not None:
            served = f"index {plan.index.name} ({', '.join(plan.index.fields)})"
            order = f"{', '.join(plan.index.fields)}, then {names}"
        else:
            served, order = f"the key ({names})", names
        direction = "" if plan is None else ", descending" if plan.descending else ", ascending"
        fresh = "sees every acknowledged write" if level is Freshness.STRONG else "may be stale"
        return Explanation(
            served_by=served,
            filtered=self.serving.filtered,
            order=order + direction,
            freshness=fresh,
            count="reads every record and counts",
        )


class Walk:
    """How far one reading has come. ``done`` says that there is nothing left."""

    def __init__(self, reading: Reading, cursor: str | None) -> None:
        self._reading = reading
        self._serving: Serving = reading.serving
        self._left = self._serving.limit
        self._position: Position | None = None
        self._scan: str | None = None
        self.done = self._serving.empty
        if cursor is None:
            return
        if self._serving.plan is None:
            self._scan = scan_cursor_of(reading.name, cursor)
        else:
            self._position = position_of(reading.name, cursor)
            reading.operations.collection.check_key(self._position.key)

    def cursor(self) -> str | None:
        """Text with which another walk goes on from here; ``None`` at the end."""
        if self.done:
            return None
        if self._position is not None:
            return position_text(self._reading.name, self._position)
        return None if self._scan is None else scan_text(self._reading.name, self._scan)

    async def advance_in_limit(self) -> list[Record]:
        """The next records, and none beyond the query's limit."""
        if self._left is None:
            return await self.advance(PAGE, resumable=False)
        records = await self.advance(self._left, resumable=False)
        self._left -= len(records)
        self.done = self.done or self._left == 0
        return records

    async def advance(self, most: int, *, resumable: bool) -> list[Record]:
        """The next records, at most so many; none is not the end.

        Args:
            most: how many.
            resumable: whether :meth:`cursor` will be asked for: a scan cannot go on in the middle
                of what it was answered.
        """
        access = self._reading.operations.access
        access.enter()
        whole = self._serving.filters is None or (resumable and self._serving.plan is None)
        chunk = min(most, PAGE) if whole else PAGE
        with located(access.collection):
            found = await (
                self._scanned(chunk) if self._serving.plan is None else self._queried(chunk)
            )
        kept = [record for record in found if self._serving.keeps(record)]
        if len(kept) > most:
            del kept[most:]
            self.done = False
            if self._serving.plan is not None:
                self._position = self._serving.position(kept[-1])
        return kept

    async def _queried(self, chunk: int) -> list[Record]:
        access, plan = self._reading.operations.access, self._serving.plan
        assert plan is not None
        seconds = self._reading.seconds
        bound = access.bound()
        page = await access.route.query(bound, plan, self._position, chunk, seconds)
        self._position = page.next
        self.done = page.next is None
        return bound.indexed(plan.index, page.records)

    async def _scanned(self, chunk: int) -> list[Record]:
        access = self._reading.operations.access
        page = await access.route.scan(access.bound(), self._scan, chunk, self._reading.seconds)
        self._scan = page.cursor
        self.done = page.cursor is None
        return page.records
