"""Descriptors in sentences, for errors, ``polystore drivers``, the preflight and the docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polystore.capabilities.algebra import alternatives, leaves, within
from polystore.capabilities.descriptor import Capabilities
from polystore.capabilities.terms import (
    EmptyIndexed,
    EmptyKey,
    Freshness,
    Limit,
    Rule,
    Scope,
    Versions,
)

SUBJECTS: Mapping[str, str] = {
    "keys.partition": "The partition part of a key",
    "keys.sort": "The sort part of a key",
    "keys.empty": "An empty text or empty bytes as a key part",
    "keys.int_min": "An int in a key",
    "keys.int_max": "An int in a key",
    "keys.reserved": "A text in a key",
    "records.size": "A record",
    "records.depth": "A record's nesting",
    "writes.conditions": "A write",
    "transactions.scope": "An atomic commit",
    "transactions.items": "An atomic commit",
    "transactions.size": "An atomic commit",
    "batches.read_keys": "One call that reads many (the core splits larger ones)",
    "batches.write_items": "One call that writes many (the core splits larger ones)",
    "indexes.value": "An indexed value",
    "indexes.empty": "An empty, null or other-typed value in an indexed field",
    "reads.point": "A read by key",
    "reads.query": "A query of a partition",
    "reads.index": "A query of an index",
    "versions": "A state of a record",
}
"""What each promise is about, by its path in the descriptor."""

RULES: Mapping[Rule, str] = {
    EmptyKey.REJECTED: "is rejected",
    EmptyKey.HELD: "is held",
    EmptyIndexed.REJECTED: "is rejected",
    EmptyIndexed.OMITTED: "is left out of the index",
    EmptyIndexed.ENCODED: "is indexed through an encoded copy",
    EmptyIndexed.INDEXED: "is indexed",
    Scope.NONE: "is not possible",
    Scope.RECORD: "reaches one record",
    Scope.PARTITION: "reaches one partition",
    Scope.STORE: "reaches the whole store",
    Freshness.EVENTUAL: "may miss the latest writes",
    Freshness.STRONG: "sees the latest writes",
    Versions.WRITTEN: "is marked by a write id that polystore writes",
    Versions.NATIVE: "is marked by the database",
}

_NO_INDEX = "is in no index: none is declared"


def describe(c: Capabilities) -> list[str]:
    """Everything that a descriptor says, a sentence each, limits with unit and source."""
    return [f"{SUBJECTS[path]} {_says(path, value)}." for path, value in leaves(c)]


def shortfalls(a: Capabilities, b: Capabilities) -> list[str]:
    """What ``b`` cannot hold of what ``a`` can, a sentence each; empty if ``b`` holds it all."""
    return [
        f"{SUBJECTS[path]} {_says(path, offered)}; elsewhere it {_says(path, wanted, brief=True)}."
        for (path, wanted), (_, offered) in zip(leaves(a), leaves(b), strict=True)
        if not within(path, wanted, offered)
    ]


def _says(path: str, value: Any, *, brief: bool = False) -> str:
    if isinstance(value, Rule):
        return RULES[value]
    if isinstance(value, Limit):
        size = f"has at most {value.most:,} {value.unit}"
        return size if brief else f"{size} ({value.counts}; {value.source})"
    if isinstance(value, frozenset):
        return f"may be conditional on: {', '.join(sorted(value)) or 'nothing'}"
    if isinstance(value, Mapping):
        return "; ".join(f"{RULES[value[name]]} ({name})" for name in sorted(value)) or _NO_INDEX
    if isinstance(value, int):
        return f"is at {'least' if path == 'keys.int_min' else 'most'} {value}"
    if path == "keys.reserved":
        patterns = " or ".join(sorted(alternatives(value)))
        return f"must not be of the form {patterns}" if patterns else "may have any form"
    return "has no limit of its own"
