"""Capability descriptors: what a driver promises, the meet of two, and its words."""

from polystore.capabilities.algebra import at_most, meet
from polystore.capabilities.comparison import Difference, Effect, differences, shortfalls
from polystore.capabilities.descriptor import (
    Batches,
    Capabilities,
    Expiry,
    Indexes,
    Keys,
    Reads,
    Records,
    Transactions,
    Values,
    Writes,
)
from polystore.capabilities.terms import (
    CONDITIONS,
    EmptyIndexed,
    EmptyKey,
    Filling,
    Freshness,
    Limit,
    Removal,
    Rule,
    Scope,
)
from polystore.capabilities.wire import from_json, to_json
from polystore.capabilities.words import ADVICE, SUBJECTS, describe

__all__ = [
    "ADVICE",
    "CONDITIONS",
    "SUBJECTS",
    "Batches",
    "Capabilities",
    "Difference",
    "Effect",
    "EmptyIndexed",
    "EmptyKey",
    "Expiry",
    "Filling",
    "Freshness",
    "Indexes",
    "Keys",
    "Limit",
    "Reads",
    "Records",
    "Removal",
    "Rule",
    "Scope",
    "Transactions",
    "Values",
    "Writes",
    "at_most",
    "describe",
    "differences",
    "from_json",
    "meet",
    "shortfalls",
    "to_json",
]
