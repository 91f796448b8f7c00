"""What Datastore promises for a collection, every number with its source. No I/O."""

from __future__ import annotations

from polystore.capabilities import (
    Batches,
    Capabilities,
    Expiry,
    Filling,
    Indexes,
    Keys,
    Limit,
    Records,
    Removal,
    Scope,
    Transactions,
    Values,
)
from polystore.driver import Tariff
from polystore.driver.policies import empties
from polystore.kinds import KINDS
from polystore.values import INT_MIN
from polystore_datastore.codec import INDEXED_BYTES
from polystore_datastore.entities import TEXT_BYTES
from polystore_datastore.placement import Place
from polystore_datastore.refs import KEY_BYTES, NAME_BYTES

_PAGE = "cloud.google.com/datastore/docs/concepts/limits"

ENTITY = Limit(1_048_572, "bytes", "the entity as it is sent", _PAGE)
DEPTH = Limit(
    18,
    "levels",
    "lists and maps around a value",
    "Google's emulator in Datastore mode: 20 entities and arrays, and a set takes two",
)
TEXT = Limit(TEXT_BYTES, "bytes", "an unindexed text or bytes", _PAGE)
PROPERTY = Limit(NAME_BYTES, "bytes", "the property's name, escaped", _PAGE)
NAME = Limit(NAME_BYTES, "bytes", "the longest name in the native key", _PAGE)
KEY = Limit(KEY_BYTES, "bytes", "the native key with kinds and namespace", _PAGE)
INDEXED = Limit(INDEXED_BYTES, "bytes", "an indexed text or bytes", _PAGE)
TRANSACTION = Limit(
    10 * 1024 * 1024 - 256 * 1024,
    "bytes",
    "the entities together",
    f"{_PAGE}: 10 MiB a request, less what surrounds the entities and the checks",
)
LOOKUP = Limit(1000, "keys", "keys of a Lookup", _PAGE)
COMMIT_ITEMS = 500
"""Mutations of one commit of ``write_many``: what the service once took at most, still enough."""

COMMIT_BYTES = 3_500_000
"""Bytes of one commit of ``write_many``: emulators and proxies take 4 MiB a message."""

WRITES = Limit(COMMIT_ITEMS, "items", "mutations of a Commit", "this driver")

NATIVE = frozenset(
    kind
    for kind in KINDS
    if "set" not in kind and kind not in ("decimal", "list in a list", "reference")
)
"""Kinds with a value type of their own; a reference has one only where it fits a path."""

TARIFF = Tariff(
    writes="entity writes",
    reads="entity reads",
    looks=1,
    overhead=32,
    source="cloud.google.com/datastore/pricing; storage-size",
)
"""An entity is one write of any size, its index entries included; a stamp is compared by a look."""


def capabilities_of(place: Place) -> Capabilities:
    """The descriptor of one collection."""
    ids = any(element.form == "id" for element in place.elements)
    return Capabilities(
        keys=Keys(part=NAME, whole=KEY, int_min=1 if ids else INT_MIN),
        records=Records(size=ENTITY, depth=DEPTH, name=PROPERTY),
        values=Values(size=TEXT, native=NATIVE),
        transactions=Transactions(scope=Scope.STORE, size=TRANSACTION),
        batches=Batches(read_keys=LOOKUP, write_items=WRITES),
        indexes=Indexes(
            value=INDEXED,
            empty=empties(place.indexes),
            filled=Filling.WRITTEN,
        ),
        expiry=Expiry(removal=Removal.PURGE if place.ttl is None else Removal.DATABASE),
    )
