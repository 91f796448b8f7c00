"""What settles a finding: the line of configuration, or else what the application does. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from polystore.capabilities import ADVICE
from polystore.migration.preflight.findings import Cause

LINES: Mapping[str, str] = {
    "records.size": (
        'in [collections.{collection}] say oversized = "compress", if these records shrink enough; '
        "or keep their large values elsewhere"
    ),
    "keys.int_min": (
        "leave `path` out of [collections.{collection}.{driver}]: the key is then one text"
    ),
    "unreadable": (
        "another program wrote these: write them anew, remove them, or sign them off, and the copy "
        "of {collection} leaves them behind"
    ),
    "indexes.empty": (
        'in [collections.{collection}.{driver}.policy] give the index the policy "encode", or '
        '"omit" to leave these records out of it'
    ),
}
"""By code, with the collection and driver of the finding; advice alone for all other codes."""

_NO_ADVICE = "Change these records, or sign the finding off."


def settles(collection: str, cause: Cause) -> str:
    """What to do about a finding, in one line."""
    line = LINES.get(cause.code)
    if line is None:
        return ADVICE.get(cause.code, _NO_ADVICE)
    return line.format(collection=collection, driver=cause.driver)
