"""What descriptors are made of: limits with their source, and rules ordered from weak to strong."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import attrs

from polystore.kinds import KINDS


@attrs.frozen
class Limit:
    """The most that a database takes.

    Attributes:
        most: the largest size that passes.
        unit: ``bytes``, ``items``, ``keys`` or ``levels``.
        counts: what is counted, in a few words.
        source: where the number comes from.
    """

    most: int
    unit: str
    counts: str
    source: str


class Rule(Enum):
    """An enum whose members are ordered from weak to strong, as they are written."""

    @property
    def strength(self) -> int:
        """0 for the weakest."""
        return list(type(self)).index(self)


class Scope(Rule):
    """How far one atomic commit reaches."""

    NONE = "none"
    RECORD = "record"
    PARTITION = "partition"
    STORE = "store"


class Freshness(Rule):
    """What a read may miss."""

    EVENTUAL = "eventual"
    STRONG = "strong"


class EmptyKey(Rule):
    """What becomes of an empty text or empty bytes as a key part."""

    REJECTED = "rejected"
    HELD = "held"


class EmptyIndexed(Rule):
    """What becomes of an empty or null value under an index."""

    REJECTED = "rejected"
    OMITTED = "omitted"
    ENCODED = "encoded"
    INDEXED = "indexed"


class Filling(Rule):
    """Which records an index holds that is made, or made otherwise, where records are already."""

    WRITTEN = "written"
    ALL = "all"


class Removal(Rule):
    """Who removes a record that has expired; it is hidden whether or not anybody has."""

    PURGE = "purge"
    DATABASE = "database"


CONDITIONS: frozenset[str] = frozenset({"anything", "nothing", "unchanged", "older-than"})
"""Names of the four conditions that a write may carry."""

MEMBERS: Mapping[str, frozenset[str]] = {"values.native": KINDS, "writes.conditions": CONDITIONS}
"""What a set of a descriptor may hold, by its path."""
