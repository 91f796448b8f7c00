"""What DynamoDB promises for a table, every number with its source. No I/O."""

from __future__ import annotations

from polystore.capabilities import (
    Batches,
    Capabilities,
    EmptyIndexed,
    EmptyKey,
    Expiry,
    Filling,
    Freshness,
    Indexes,
    Keys,
    Limit,
    Reads,
    Records,
    Removal,
    Scope,
    Transactions,
    Values,
)
from polystore.driver import Tariff
from polystore.driver.policies import empties
from polystore_dynamodb.placement import Table

_QUOTAS = "DynamoDB developer guide, Quotas"
_MODEL = "botocore's service model of DynamoDB"

ITEM = Limit(409_600, "bytes", "the item: names and values of all attributes", _QUOTAS)
DEPTH = Limit(31, "levels", "lists and maps around a value", "DynamoDB Local 3.3.0, at the limit")
PARTITION_KEY = Limit(2048, "bytes", "the partition key's value", _QUOTAS)
SORT_KEY = Limit(1024, "bytes", "the sort key's value", _QUOTAS)
NAME = Limit(
    50_000,
    "bytes",
    "the attribute's name, escaped",
    "DynamoDB Local 3.3.0, at the limit; the service documents 64 KB",
)
INDEX_HASH = Limit(2048, "bytes", "the index's partition key, encoded", _QUOTAS)
INDEX_RANGE = Limit(1024, "bytes", "the index's sort key, encoded", _QUOTAS)
TRANSACTION_ITEMS = Limit(100, "items", "writes and checks", _MODEL)
TRANSACTION_SIZE = Limit(4 * 1024 * 1024, "bytes", "the items together", _QUOTAS)
READ_KEYS = Limit(100, "keys", "keys of a BatchGetItem", _MODEL)
BATCH_WRITE = 25
"""Writes of one BatchWriteItem (botocore's service model)."""
REQUEST = Limit(16 * 1024 * 1024, "bytes", "a request as it is sent", _QUOTAS)
WRITE_ITEMS = Limit(
    100, "items", "writes", "one transaction, 4 BatchWriteItem or 100 puts in flight"
)

NATIVE = frozenset(
    {
        "null", "bool", "int", "text", "bytes", "list", "list in a list", "map", "set of text",
        "set of bytes", "set of int",
    }
)  # fmt: skip
"""Kinds that an attribute value tells by itself; the others have a hint beside them."""

TARIFF = Tariff(
    writes="write units",
    reads="read units",
    write_bytes=1024,
    read_bytes=4096,
    atomic=2,
    index_writes=True,
    overhead=100,
    source="DynamoDB developer guide, Capacity unit consumption; item sizes",
)
"""Capacity: every declared index has a copy of the whole item, written on its own."""


def capabilities_of(table: Table) -> Capabilities:
    """The descriptor of one table."""
    rejects = any(key.kind != "N" and key.field is not None for key in table.keys)
    return Capabilities(
        keys=Keys(
            partition=PARTITION_KEY,
            sort=SORT_KEY,
            empty=EmptyKey.REJECTED if rejects else EmptyKey.HELD,
        ),
        records=Records(size=ITEM, depth=DEPTH, name=NAME),
        values=Values(native=NATIVE),
        transactions=Transactions(
            scope=Scope.STORE, items=TRANSACTION_ITEMS, size=TRANSACTION_SIZE
        ),
        batches=Batches(read_keys=READ_KEYS, write_items=WRITE_ITEMS),
        indexes=Indexes(
            first=INDEX_HASH,
            rest=INDEX_RANGE,
            empty=empties((index.policed for index in table.indexes), EmptyIndexed.REJECTED),
            filled=Filling.WRITTEN,
        ),
        reads=Reads(index=Freshness.EVENTUAL),
        expiry=Expiry(removal=Removal.PURGE if table.ttl is None else Removal.DATABASE),
    )
