"""The records of one side, written and read past polystore's routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from polystore.driver import Driver, Segment, Stored, Unprocessed, Write
from polystore.driver.side import Side
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import SLOTS
from polystore.migration.stages import SOURCE
from polystore.schema import Collection
from polystore.values import Fields, Key

AT_ONCE = 2
"""Segments read at once: the database works at one while the other is decoded."""

BATCH = 500
"""Records of one call that writes."""

PAGE = 1000
"""Records of one call that reads."""


def filled(group: OpenGroup, records: Mapping[str, Mapping[Key, Fields]]) -> Iterator[int]:
    """Put records into the source as its own users would: without any mark of polystore.

    Yields:
        How many more are written.
    """
    for name, found in records.items():
        writes = [Write(group.collection(name), key, fields) for key, fields in found.items()]
        for start in range(0, len(writes), BATCH):
            yield _written(group.sides[SOURCE], writes[start : start + BATCH])


def _written(side: Side, writes: Sequence[Write]) -> int:
    """Write records of one collection; what the database does not get to is sent again."""
    limit = side.capabilities(writes[0].collection).batches.write_items
    size = limit.most if limit else len(writes)
    left = list(writes)
    while left:
        part = left[:size]
        outcomes = side.driver.write_many(part)
        left[:size] = [w for w, o in zip(part, outcomes, strict=True) if isinstance(o, Unprocessed)]
    return len(writes)


def contents(driver: Driver, group: OpenGroup) -> tuple[dict[str, dict[Key, Fields]], int]:
    """All records of one side by collection and key; and how many tombstones and slots there are.

    Args:
        driver: the side.
        group: whose collections to read.
    """
    found: dict[str, dict[Key, Fields]] = {name: {} for name in group.collections}
    leftovers = 0
    for collection in (*group.collections.values(), SLOTS):
        for stored in everything(driver, collection):
            if stored.fields is None or collection is SLOTS:
                leftovers += 1
            else:
                found[collection.name][stored.key] = stored.fields
    return found, leftovers


def emptied(side: Side, group: OpenGroup) -> None:
    """Delete all records of a group's collections on one side, tombstones included."""
    for collection in group.collections.values():
        deletes = [
            Write(collection, stored.key, None) for stored in everything(side.driver, collection)
        ]
        for start in range(0, len(deletes), BATCH):
            _written(side, deletes[start : start + BATCH])


def everything(driver: Driver, collection: Collection) -> list[Stored]:
    """All records of a collection on one side, tombstones included."""
    segments = [Segment(index, AT_ONCE) for index in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        parts = pool.map(partial(_segment, driver, collection), segments)
        return [stored for part in parts for stored in part]


def _segment(driver: Driver, collection: Collection, segment: Segment) -> list[Stored]:
    found: list[Stored] = []
    cursor: str | None = None
    while True:
        page = driver.scan(collection, segment, cursor, PAGE)
        found += page.records
        cursor = page.cursor
        if cursor is None:
            return found
