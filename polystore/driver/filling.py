"""Giving every record its place in an index that is new. For authors of drivers."""

from __future__ import annotations

from polystore.driver.contract import Driver, ScanPage, Segment, Unchanged, Write
from polystore.schema import Collection

_PAGE = 500
"""Records of one page; any number will do."""


def fill(driver: Driver, collection: Collection) -> None:
    """Write every record as it is, if it is still so: for a driver whose writes make the entries.

    Who writes a record meanwhile makes its entries himself, if all writers know of the index by
    now. Tombstones have no entries, and stay as they are.
    """
    cursor: str | None = None
    page = ScanPage([], "")
    while page.cursor is not None:
        page = driver.scan(collection, Segment(), cursor, _PAGE)
        cursor = page.cursor
        for one in page.records:
            if one.fields is not None:
                same, kept = Unchanged(one.token), (one.write_id, one.stamp, one.expires)
                driver.write(Write(collection, one.key, one.fields, same, *kept))
