"""Cleaning up: tombstones and slots are removed once nobody needs them; stamps may stay."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from polystore.driver import Segment, Stored, Unchanged, Unprocessed, Write, Written
from polystore.driver.side import Side
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import SLOTS
from polystore.schema import Collection

PAGE = 500
"""Records of one page."""


@attrs.frozen
class Swept:
    """What a sweep removed: tombstones, and slots."""

    tombstones: int
    slots: int


async def sweep(group: OpenGroup, side: Side) -> Swept:
    """Remove tombstones and slots from one side, each only if it is still as it was read.

    Raises:
        PolystoreError: the store failed; run it again.
    """
    tombstones = 0
    for collection in group.collections.values():
        tombstones += await _sweep(side, collection, lambda stored: stored.fields is None)
    return Swept(tombstones, await _sweep(side, SLOTS, lambda _: True))


async def _sweep(side: Side, collection: Collection, doomed: Callable[[Stored], bool]) -> int:
    removed = 0
    cursor: str | None = None
    limit = side.capabilities(collection).batches.write_items
    size = side.portion(limit.most if limit else PAGE)
    while True:
        page = await side.scan(collection, Segment(), cursor, side.portion(PAGE))
        writes = [
            Write(collection, stored.key, None, Unchanged(stored.token))
            for stored in page.records
            if doomed(stored)
        ]
        for start in range(0, len(writes), size):
            for outcome in await side.write_many(writes[start : start + size]):
                if isinstance(outcome, Unprocessed):
                    raise outcome.error
                removed += isinstance(outcome, Written)
        cursor = page.cursor
        if cursor is None:
            return removed
