"""What a collection is, written down beside its records. For authors of drivers.

For databases that have no place of their own where the key and the indexes of a collection stand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
        columns: types of native columns, by the names of the fields that they hold.
    """

    key: tuple[KeyField, ...]
    indexes: tuple[Policed, ...]
    columns: Mapping[str, str] = attrs.field(factory=dict)


def written_down(kept: Kept) -> str:
    """What a collection is, as JSON."""
    key = [f"{field.name}:{field.type.__name__}" for field in kept.key]
    indexes = [one.told for one in kept.indexes]
    return json.dumps({"key": key, "indexes": indexes, "columns": dict(kept.columns)})


@lru_cache(maxsize=1024)
def read_back(text: str | bytes) -> Kept:
    """What :func:`written_down` was given.

    Raises:
        ValueError, TypeError, KeyError: it is nothing that was written so.
    """
    told = json.loads(text)
    indexes = tuple(map(Policed.of, told["indexes"]))
    return Kept(Collection("x", told["key"]).key, indexes, told["columns"])
