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
    Filling,
    Freshness,
    Limit,
    Removal,
    Scope,
)
from polystore.kinds import KINDS
from polystore.values import INT_MAX, INT_MIN


@attrs.frozen(kw_only=True)
class Keys:
    """Keys: their sizes as the database stores them, and what their parts may hold.

    Attributes:
        partition, sort: the two parts that DynamoDB stores a key in.
        part: the largest single part.
        whole: all of it together.
        empty: an empty text or empty bytes as a part that the database stores by itself.
        int_min, int_max: bounds of int parts.
    """

    partition: Limit | None = None
    sort: Limit | None = None
    part: Limit | None = None
    whole: Limit | None = None
    empty: EmptyKey = EmptyKey.HELD
    int_min: int = INT_MIN
    int_max: int = INT_MAX


@attrs.frozen(kw_only=True)
class Records:
    """Whole records: their size, how deep containers nest, and the longest name at any depth."""

    size: Limit | None = None
    depth: Limit | None = None
    name: Limit | None = None


@attrs.frozen(kw_only=True)
class Values:
    """Values, every kind of which every database holds.

    Attributes:
        size: the longest text or bytes that no index holds.
        native: the kinds that the database stores as its own types. Values of other kinds are
            translated: they come back as they were, but take more room, and another program sees a
            form that polystore gave them.
    """

    size: Limit | None = None
    native: frozenset[str] = KINDS


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
    """Declared indexes: sizes of a record's entry, and which records they hold.

    Attributes:
        value: the largest single value.
        first: the first field's value, where it is stored by itself.
        rest: the other fields' values and the key, where they are stored as one.
        empty: of each index, by name, what becomes of a value that is empty, null or not of the
            type that the index declares.
        filled: which records an index holds that ``create`` adds to those of a collection, or makes
            otherwise than it was: all, or those that are written from then on.
    """

    value: Limit | None = None
    first: Limit | None = None
    rest: Limit | None = None
    empty: Mapping[str, EmptyIndexed] = attrs.field(factory=dict, converter=_frozen, hash=False)
    filled: Filling = Filling.ALL


@attrs.frozen(kw_only=True)
class Reads:
    """Freshness of each way to read. ``point`` is the best that can be asked for."""

    point: Freshness = Freshness.STRONG
    query: Freshness = Freshness.STRONG
    index: Freshness = Freshness.STRONG


@attrs.frozen(kw_only=True)
class Expiry:
    """Records that have expired: who removes them while no migration is under way."""

    removal: Removal = Removal.PURGE


@attrs.frozen(kw_only=True)
class Capabilities:
    """What one opened driver promises for one collection."""

    keys: Keys = Keys()
    records: Records = Records()
    values: Values = Values()
    writes: Writes = Writes()
    transactions: Transactions = Transactions()
    batches: Batches = Batches()
    indexes: Indexes = Indexes()
    reads: Reads = Reads()
    expiry: Expiry = Expiry()

    def __and__(self, other: Capabilities) -> Capabilities:
        """The meet: what holds on both sides."""
        return meet(self, other)
