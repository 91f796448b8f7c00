"""What a collection is, written down beside its records. For authors of drivers.

For databases that have no place of their own where the key and the indexes of a collection stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache

import attrs

from polystore.driver.policies import Policed
from polystore.schema import Collection, KeyField


@attrs.frozen
class Kept:
    """What a collection is in a database.

    Attributes:
        key: the fields of its key.
        indexes: the indexes that are kept, under their policies.
    """

    key: tuple[KeyField, ...]
    indexes: tuple[Policed, ...]


def written_down(collection: Collection, indexes: Iterable[Policed]) -> str:
    """A collection that keeps these indexes, as JSON."""
    key = [f"{field.name}:{field.type.__name__}" for field in collection.key]
    return json.dumps({"key": key, "indexes": [kept.told for kept in indexes]})


@lru_cache(maxsize=1024)
def read_back(text: str | bytes) -> Kept:
    """What :func:`written_down` was given.

    Raises:
        ValueError, TypeError, KeyError: it is nothing that was written so.
    """
    told = json.loads(text)
    return Kept(Collection("x", told["key"]).key, tuple(map(Policed.of, told["indexes"])))
