"""What an opened driver promises for one collection: frozen records, numbers with their source.

Scopes and rules are enums ordered from weak to strong, so that the meet of two descriptors is the
smaller one. A limit that is ``None`` does not exist in that database.
"""

from __future__ import annotations

from enum import Enum


import attrs


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


class Versions(Rule):
    """Who marks the states of a record: polystore (a write id in every write), or the database."""

    WRITTEN = "written"
    NATIVE = "native"


CONDITIONS = frozenset({"anything", "nothing", "unchanged", "older-than"})
"""Names of the four conditions that a write may carry."""


@attrs.frozen(kw_only=True)
class Keys:
    """Keys: sizes of the partition part and of the sort part, and what their parts may hold.

    ``int_min`` and ``int_max`` bound int parts; ``reserved`` is a regular expression (full match)
    of text parts that the database keeps for itself, or ``None``.
    """

    partition: Limit | None = None
    sort: Limit | None = None
    empty: EmptyKey = EmptyKey.HELD
    int_min: int = -(2**63)
    int_max: int = 2**63 - 1
    reserved: str | None = None


@attrs.frozen(kw_only=True)
class Records:
    """Whole records: their size as ``Driver.measure`` counts it, and how deep containers nest."""

    size: Limit | None = None
    depth: Limit | None = None


@attrs.frozen(kw_only=True)
class Writes:
    """Single writes: the conditions that they may carry, of :data:`CONDITIONS`."""

    conditions: frozenset[str] = CONDITIONS


@attrs.frozen(kw_only=True)
class Transactions:
    """Commits: scope, most records (writes and checks) and most bytes at once."""

    scope: Scope = Scope.NONE
    items: Limit | None = None
    size: Limit | None = None


@attrs.frozen(kw_only=True)
class Batches:
    """How much one call of ``read`` and of ``write_many`` takes."""

    read_keys: Limit | None = None
    write_items: Limit | None = None


@attrs.frozen(kw_only=True)
class Indexes:
    """Declared indexes: largest indexed value, and what becomes of empty and null values."""

    value: Limit | None = None
    empty: EmptyIndexed = EmptyIndexed.INDEXED


@attrs.frozen(kw_only=True)
class Reads:
    """Freshness of each way to read. ``point`` is the best that can be asked for."""

    point: Freshness = Freshness.STRONG
    query: Freshness = Freshness.STRONG
    index: Freshness = Freshness.STRONG


@attrs.frozen(kw_only=True)
class Capabilities:
    """What one opened driver promises for one collection."""

    keys: Keys = Keys()
    records: Records = Records()
    writes: Writes = Writes()
    transactions: Transactions = Transactions()
    batches: Batches = Batches()
    indexes: Indexes = Indexes()
    reads: Reads = Reads()
    versions: Versions = Versions.WRITTEN

    def __and__(self, other: Capabilities) -> Capabilities:
        """The meet: what holds on both sides."""
        from polystore.capabilities.algebra import meet

        return meet(self, other)


