"""What settles a finding: the line of configuration, or what else there is to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from polystore.migration.preflight.findings import Cause

_OTHERWISE = "change these records, or sign the finding off"

SETTLES: Mapping[str, str] = {
    "records.size": "shorten these records, or move their largest fields to records of their own",
    "records.depth": "nest these fields less deep, or store the inner part as one text",
    "keys.partition": "give these records shorter keys",
    "keys.sort": "give these records shorter keys",
    "keys.empty": "give these records a key without empty parts",
    "keys.int_min": (
        "leave out `path` in [collections.{collection}.{driver}], which makes the key one name; or "
        "give these records keys from 1 on"
    ),
    "keys.int_max": "give these records smaller keys",
    "keys.reserved": "give these records keys of another form",
    "indexes.value": "shorten these values, or leave the index out of [collections.{collection}]",
    "indexes.empty": (
        'give the index named a policy in [collections.{collection}.{driver}.policy]: "encode", or '
        '"omit" to leave these records out of it'
    ),
    "transactions.items": (
        "write fewer records in one transaction: while two databases are in play one of them is "
        "polystore's own"
    ),
    "transactions.size": "write less in one transaction",
    "values": "write these fields with a type that every database holds (docs: values)",
}
"""By code; ``{collection}``, ``{driver}`` and ``{path}`` are those of the finding."""


def settles(collection: str, cause: Cause) -> str:
    """What to do about a finding, in one line."""
    text = SETTLES.get(cause.code, _OTHERWISE)
    return text.format(collection=collection, driver=cause.driver, path=cause.path)
