"""The records that tests of pairs write."""

from __future__ import annotations

from typing import Any

from polystore.records import Record
from polystore.values import Fields, Key


def item(key: Key, **fields: Any) -> Fields:
    """An item with its key, and a place in the index that no other owner has."""
    owner, number = key
    return {"owner": owner, "item": number, "state": owner, "rank": number, **fields}


def shown(record: Record | None) -> Fields | None:
    """A record's fields."""
    return None if record is None else dict(record)
