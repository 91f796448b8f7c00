"""Capability descriptors: what a driver promises, the meet of two, and its words."""

from polystore.capabilities.descriptor import (
    CONDITIONS,
    Batches,
    Capabilities,
    EmptyIndexed,
    EmptyKey,
    Freshness,
    Indexes,
    Keys,
    Limit,
    Reads,
    Records,
    Scope,
    Transactions,
    Versions,
    Writes,
)

__all__ = [
    "CONDITIONS",
    "Batches",
    "Capabilities",
    "EmptyIndexed",
    "EmptyKey",
    "Freshness",
    "Indexes",
    "Keys",
    "Limit",
    "Reads",
    "Records",
    "Scope",
    "Transactions",
    "Versions",
    "Writes",
]
