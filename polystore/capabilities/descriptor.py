"""What an opened driver promises for one collection: frozen records, numbers with their source.

Scopes and rules are enums ordered from weak to strong, so that the meet of two descriptors is the
smaller one. A limit that is ``None`` does not exist in that database.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from polystore.capabilities.algebra import meet
from polystore.capabilities.terms import (
    CONDITIONS,
    EmptyIndexed,
    EmptyKey,
    Freshness,
    Limit,
    Scope,
    Versions,
)


@attrs.frozen(kw_only=True)
class Keys:
    """Keys: sizes of the partition part and of the sort part, and what their parts may hold.

    ``int_min`` and ``int_max`` bound int parts; ``reserved`` is a regular expression (full match)
    of text parts that the database keeps for itself, or ``None``; without back-references and
    inline flags, so that the patterns of two sides can be joined.
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


def _frozen(by_name: Mapping[str, EmptyIndexed]) -> Mapping[str, EmptyIndexed]:
    return MappingProxyType(dict(by_name))


@attrs.frozen(kw_only=True)
class Indexes:
    """Declared indexes: largest indexed value, and of each, by name, what becomes of empty values.

    Empty counts, too, a null, and a value that is not of the type that the index declares.
    """

    value: Limit | None = None
    empty: Mapping[str, EmptyIndexed] = attrs.field(factory=dict, converter=_frozen, hash=False)


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
        return meet(self, other)
