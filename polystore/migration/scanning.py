"""Reading a source page by page: patiently, and in ever smaller pages where it keeps failing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from polystore.driver import ScanPage, Segment
from polystore.driver.side import Side
from polystore.effects import Sleep, Uniform
from polystore.errors import OutcomeUnknown, Unavailable
from polystore.schema import Collection

T = TypeVar("T")

TRIES = 8
"""How often a call is made before it counts as one that keeps failing."""

FEW_TRIES = 2
"""How often where it is known to keep failing, and only how much of it is looked for."""


async def patiently(call: Callable[[], Awaitable[T]], tries: int = TRIES) -> T:
    """Repeat a read that fails for a moment; the last failure is raised."""
    for attempt in range(tries - 1):
        try:
            return await call()
        except (Unavailable, OutcomeUnknown):
            await Sleep(0.1 * 2**attempt * (0.5 + 0.5 * await Uniform()))
    return await call()


class Scanning:
    """The pages of one segment.

    Args:
        source: what is read.
        segment: a half of one begins with small pages: something of it is known to fail.
        most: records of one page.
    """

    def __init__(self, source: Side, collection: Collection, segment: Segment, most: int) -> None:
        self._source = source
        self._collection = collection
        self._segment = segment
        self._page = most
        self._narrow = bool(segment.path)
        self._most = 1 if self._narrow else most

    async def page(self, cursor: str | None) -> ScanPage:
        """The next page, in small portions where the source is limited.

        Raises:
            PolystoreError: it failed again and again; see :meth:`narrower`.
        """
        found = ScanPage([], cursor)
        tries = FEW_TRIES if self._narrow else TRIES
        while True:
            most = self._most - len(found.records)
            portion = self._source.portion(most)
            scan = partial(self._source.scan, self._collection, self._segment, cursor, portion)
            page = await patiently(scan, tries)
            found.records += page.records
            found.unreadable += page.unreadable
            found.cursor = cursor = page.cursor
            if cursor is None or portion == most or len(found.records) >= self._most:
                self._most = min(2 * self._most, self._page)
                return found

    def narrower(self) -> bool:
        """Ask for half as much from now on; ``False`` where it was a single record already."""
        self._narrow = True
        self._most //= 2
        if self._most:
            return True
        self._most = 1
        return False
