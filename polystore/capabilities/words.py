"""Descriptors in sentences, for errors, the command line, the preflight and the docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polystore.capabilities.algebra import leaves
from polystore.capabilities.descriptor import Capabilities
from polystore.capabilities.terms import (
    EmptyIndexed,
    EmptyKey,
    Filling,
    Freshness,
    Limit,
    Removal,
    Rule,
    Scope,
)
from polystore.kinds import KINDS

SUBJECTS: Mapping[str, str] = {
    "keys.partition": "The partition part of a key",
    "keys.sort": "The sort part of a key",
    "keys.part": "One part of a key",
    "keys.whole": "A whole key",
    "keys.empty": "An empty text or empty bytes as a key part",
    "keys.int_min": "An int in a key",
    "keys.int_max": "An int in a key",
    "records.size": "A record",
    "records.depth": "A field's nesting",
    "records.name": "A field name",
    "values.size": "A text or bytes",
    "values.native": "A value",
    "writes.conditions": "A write",
    "transactions.scope": "An atomic commit",
    "transactions.items": "An atomic commit",
    "transactions.size": "An atomic commit",
    "batches.read_keys": "One call that reads many",
    "batches.write_items": "One call that writes many",
    "indexes.value": "An indexed value",
    "indexes.first": "The value of an index's first field",
    "indexes.rest": "The values of an index's other fields, with the key,",
    "indexes.empty": "An empty, null or other-typed value in an indexed field",
    "indexes.filled": "An index that is added later",
    "reads.point": "A read by key",
    "reads.query": "A query of a partition",
    "reads.index": "A query of an index",
    "expiry.removal": "A record that has expired",
}
"""What each promise is about, by its path in the descriptor."""

_SHORTER = "Shorten the texts and bytes"
_SMALLER = "Write fewer or smaller records in one transaction: polystore never splits one."
_BY_KEY = "Read by key where a write must be seen at once."

TRANSLATED = (
    "Nothing to stop: what is read is what was written. Other programs that read the database see "
    "the translated form."
)

ADVICE: Mapping[str, str] = {
    "keys.partition": f"{_SHORTER} in the leading key fields.",
    "keys.sort": f"{_SHORTER} in the key fields after the partition.",
    "keys.part": f"{_SHORTER} in key fields.",
    "keys.whole": f"{_SHORTER} in key fields.",
    "keys.empty": "Give such records a key part that is not empty.",
    "keys.int_min": "Use larger ints in keys, or a placement that stores the key as text.",
    "keys.int_max": "Use smaller ints in keys, or a placement that stores the key as text.",
    "records.size": 'Make the record smaller, or let the collection say oversized = "compress".',
    "records.depth": "Nest lists and maps less deeply.",
    "records.name": "Shorten the field name.",
    "values.size": "Keep large texts and bytes elsewhere, or split them.",
    "values.native": TRANSLATED,
    "writes.conditions": "Stop using the conditions that are lacking.",
    "transactions.scope": "Stop using transactions that reach further.",
    "transactions.items": _SMALLER,
    "transactions.size": _SMALLER,
    "batches.read_keys": "Nothing to stop: larger calls are split.",
    "batches.write_items": "Nothing to stop: larger calls are split.",
    "indexes.value": f"{_SHORTER} in indexed fields.",
    "indexes.first": f"{_SHORTER} in the index's first field.",
    "indexes.rest": f"{_SHORTER} in the index's other fields and in the key.",
    "indexes.empty": "Do not rely on finding such records through the index.",
    "indexes.filled": "Write the older records again once it is there.",
    "reads.point": _BY_KEY,
    "reads.query": _BY_KEY,
    "reads.index": _BY_KEY,
    "expiry.removal": "Run `polystore purge` now and then.",
}
"""What an application does about a promise that is not enough, by its path in the descriptor."""

RULES: Mapping[Rule, str] = {
    EmptyKey.REJECTED: "is rejected",
    EmptyKey.HELD: "is held",
    EmptyIndexed.REJECTED: "is rejected",
    EmptyIndexed.OMITTED: "is left out of the index",
    EmptyIndexed.ENCODED: "is indexed through an encoded copy",
    EmptyIndexed.INDEXED: "is indexed",
    Filling.WRITTEN: "holds what is written from then on",
    Filling.ALL: "holds the older records too",
    Scope.NONE: "is not possible",
    Scope.RECORD: "reaches one record",
    Scope.PARTITION: "reaches one partition",
    Scope.STORE: "reaches the whole store",
    Freshness.EVENTUAL: "may miss the latest writes",
    Freshness.STRONG: "sees the latest writes",
    Removal.PURGE: "lies there unseen until a purge",
    Removal.DATABASE: "is removed by the database in time",
}

_NO_INDEX = "is in no index: none is declared"


def describe(c: Capabilities) -> list[str]:
    """Everything that a descriptor says, a sentence each, limits with unit and source."""
    return [f"{SUBJECTS[path]} {says(path, value)}." for path, value in leaves(c)]


def says(path: str, value: Any, *, brief: bool = False) -> str:
    """The predicate of a sentence about one promise; ``brief`` leaves out where it comes from."""
    if isinstance(value, Rule):
        return RULES[value]
    if isinstance(value, Limit):
        size = f"has at most {value.most:,} {value.unit}"
        return size if brief else f"{size} ({value.counts}; {value.source})"
    if isinstance(value, frozenset):
        if path == "values.native":
            translated = ", ".join(sorted(KINDS - value))
            return (
                f"is translated where it is: {translated}" if translated else "is stored as it is"
            )
        return f"may be conditional on: {', '.join(sorted(value)) or 'nothing'}"
    if isinstance(value, Mapping):
        return "; ".join(f"{RULES[value[name]]} ({name})" for name in sorted(value)) or _NO_INDEX
    if isinstance(value, int):
        return f"is at {'least' if path == 'keys.int_min' else 'most'} {value}"
    return "has no limit of its own"
