"""When an item expires: polystore's own attribute, and the one by which DynamoDB removes it.

DynamoDB takes a number of seconds, ignores other types and what is over five years past, and
removes an item within days (database-facts 2.2). Polystore keeps microseconds beside it. No I/O.
"""

from __future__ import annotations

from decimal import Decimal

from polystore.driver import Write
from polystore.driver.bookkeeping import EXPIRES
from polystore_dynamodb.codec import Item, Wire

_SECOND = 1_000_000
_FIRST, _LAST = 1_325_376_000, 253_402_300_799
"""Seconds that are a moment: from 2012, when DynamoDB began, to the end of the year 9999. Another
number, such as the 0 that often stands for never, removes nothing and is a field like others."""


def put_expiry(ttl: str | None, write: Write, item: Item) -> None:
    """Add to an item when it expires; for DynamoDB too where no migration is under way."""
    if write.expires is None:
        return
    item[EXPIRES] = {"N": str(write.expires)}
    if ttl is not None and write.stamp is None:
        item[ttl] = {"N": str(-(-write.expires // _SECOND))}


def expires_of(ttl: str | None, item: Item) -> int | None:
    """When an item expires, in microseconds since 1970.

    Where the attribute that DynamoDB looks at says something else, another program wrote it, and
    it counts.
    """
    kept = item.get(EXPIRES)
    own = None if kept is None else int(kept["N"])
    seconds = None if ttl is None else _seconds(item.get(ttl))
    if seconds is None or (own is not None and -(-own // _SECOND) == seconds):
        return own
    return int(seconds * _SECOND)


def is_field(ttl: str, item: Item) -> bool:
    """Whether the attribute named for the expiry holds something else of another program."""
    return ttl in item and EXPIRES not in item and _seconds(item[ttl]) is None


def _seconds(wire: Wire | None) -> Decimal | None:
    if wire is None or "N" not in wire:
        return None
    seconds = Decimal(wire["N"])
    return seconds if _FIRST <= seconds <= _LAST else None
