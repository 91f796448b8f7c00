"""Cleaning up: tombstones and slots are removed once nobody needs them; stamps may stay.

At the end of a run its target is swept. Where a run was given up, the source is; and the target of
all that the run wrote there, where the operator asks for that: another run begins on nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection as Container

import attrs

from polystore.driver import Segment, Stored, Unchanged, Unprocessed, Write, Written
from polystore.driver.side import Side
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import SLOTS
from polystore.migration.stages import SOURCE, STAMP_RUN, TARGET, Setting
from polystore.schema import Collection

PAGE = 500
"""Records of one page."""


@attrs.frozen
class Swept:
    """What a sweep removed: tombstones, slots, and copies on a target that was given up."""

    tombstones: int
    slots: int
    copies: int = 0

    def text(self) -> str:
        """For people."""
        return f"{self.tombstones} tombstones, {self.slots} slots, {self.copies} copies"


async def sweep(group: OpenGroup, side: Side) -> Swept:
    """Remove tombstones and slots from one side, each only if it is still as it was read.

    Raises:
        PolystoreError: the store failed; run it again.
    """
    tombstones = await _records(group, side, _buried)
    return Swept(tombstones, await _sweep(side, SLOTS, lambda _: True))


async def give_up(
    group: OpenGroup, setting: Setting, serving: Container[str], *, copies: bool
) -> Swept:
    """Remove what ended runs left on the source, and with ``copies`` what they wrote to the target.

    A run that somebody begins meanwhile loses nothing: its stamps are higher, and whoever loses a
    slot joins again.

    Args:
        setting: of source-only.
        serving: members that are there: they keep their slots.

    Raises:
        PolystoreError: a store failed; run it again.
    """
    end = (setting.run + 1) << STAMP_RUN
    source, target = (group.sides[name].background() for name in (SOURCE, TARGET))

    def ended(stored: Stored) -> bool:
        """Whether an ended run has written it."""
        return stored.stamp is not None and stored.stamp < end

    def alone(stored: Stored) -> bool:
        return stored.key[0] not in serving

    tombstones = await _records(group, source, lambda s: _buried(s) and ended(s))
    removed = await _records(group, target, ended) if copies else 0
    sides = (source, target) if copies else (source,)
    slots = sum([await _sweep(side, SLOTS, alone) for side in sides])
    return Swept(tombstones, slots, removed)


def _buried(stored: Stored) -> bool:
    """Whether it is a tombstone."""
    return stored.fields is None


async def _records(group: OpenGroup, side: Side, doomed: Callable[[Stored], bool]) -> int:
    """Remove records of all collections from one side; how many."""
    found = [await _sweep(side, collection, doomed) for collection in group.collections.values()]
    return sum(found)


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
