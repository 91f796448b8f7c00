"""Where a page ends and the next one goes on, for orders that are kept as text. For driver authors.

A cursor of a scan is the encoded key of the record after which it goes on.
"""

from __future__ import annotations

from polystore.driver.contract import Stored
from polystore.driver.keycodec import decode_key
from polystore.errors import CursorExpired
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key


def position(plan: QueryPlan, last: Stored) -> Position:
    """Where a query goes on after a record: the values of its index, and the key."""
    names = plan.index.fields if plan.index else ()
    return Position(last.key, tuple((last.fields or {})[name] for name in names))


def key_at(driver: str, collection: Collection, cursor: str) -> Key:
    """The key after which a scan goes on.

    Raises:
        CursorExpired: it is no cursor of a scan of this collection.
    """
    try:
        key = decode_key(cursor)
    except ValueError:
        key = ()
    if tuple(map(type, key)) != tuple(field.type for field in collection.key):
        raise CursorExpired("not a cursor of this scan", collection=collection.name, driver=driver)
    return key
