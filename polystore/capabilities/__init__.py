"""Capability descriptors: what a driver promises, the meet of two, and its words."""

from polystore.capabilities.algebra import at_most, meet
from polystore.capabilities.descriptor import (
    Batches,
    Capabilities,
    Indexes,
    Keys,
    Reads,
    Records,
    Transactions,
    Writes,
)
from polystore.capabilities.terms import (
    CONDITIONS,
    EmptyIndexed,
    EmptyKey,
    Freshness,
    Limit,
    Rule,
    Scope,
    Versions,
)
from polystore.capabilities.wire import from_json, to_json
from polystore.capabilities.words import describe, shortfalls

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
    "Rule",
    "Scope",
    "Transactions",
    "Versions",
    "Writes",
    "at_most",
    "describe",
    "from_json",
    "meet",
    "shortfalls",
    "to_json",
]
