"""Fields as JSON that a person can read, with a tag only where JSON would lose the value.

Null, bool, int, finite float, text, list and map are JSON's own. Every other value is a map
``{"_ps_": tag, "v": …}``, which no field can be mistaken for: names that start so are reserved.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from polystore.errors import DriverError
from polystore.values import CANONICAL_NAN, Fields, GeoPoint, Ref, canonical

JSON_KINDS = frozenset({"null", "bool", "int", "float", "text", "list", "list in a list", "map"})
"""Kinds of values that are JSON's own, for the descriptor of a driver that stores documents."""

TAG = "_ps_"
"""Name of the member that says what a tagged map is."""


class Absent:
    """In place of a value: the record has no such field, though the table has such a column."""

    __slots__ = ()


ABSENT = Absent()


def encode_document(fields: Mapping[str, Any]) -> str:
    """``fields`` as JSON text."""
    try:
        return _encode(fields)
    except ValueError:
        # Only NaN and the infinities bring us here; looking for them first would cost every write.
        return _encode(_without_nan(fields))


def decode_document(text: str) -> Fields:
    """What :func:`encode_document` was given; ``ABSENT`` may stand for a value.

    Raises:
        DriverError: the text is of another form, or of a later release.
    """
    # Quotes inside text are escaped, so that a tag shows as it is and nothing else does.
    fields: Fields = _decode_tagged(text) if '"_ps_' in text else _decode(text)
    return fields


def _tagged(value: Any) -> dict[str, Any]:
    kind = type(value)
    if kind is Decimal:
        return {TAG: "decimal", "v": str(value)}
    if kind is datetime:
        return {TAG: "datetime", "v": value.isoformat()}
    if kind is bytes:
        return {TAG: "bytes", "v": b64encode(value).decode()}
    if kind is frozenset:
        return {TAG: "set", "v": sorted(value, key=canonical)}
    if kind is GeoPoint:
        return {TAG: "geo", "v": [value.latitude, value.longitude]}
    if kind is Ref:
        return {TAG: "ref", "v": [value.collection, *value.key]}
    if kind is Absent:
        return {TAG: "absent"}
    raise TypeError(f"{kind.__name__} is not a portable type")


def _without_nan(value: Any) -> Any:
    kind = type(value)
    if kind is float and not math.isfinite(value):
        return {TAG: "float", "v": repr(value)}
    if kind is dict:
        return {name: _without_nan(item) for name, item in value.items()}
    if kind is list:
        return [_without_nan(item) for item in value]
    if kind is frozenset:
        return {TAG: "set", "v": [_without_nan(item) for item in sorted(value, key=canonical)]}
    return value


def _float(text: str) -> float:
    return CANONICAL_NAN if text == "nan" else float(text)


_UNTAG: Mapping[str, Callable[[Any], Any]] = {
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "bytes": b64decode,
    "set": frozenset,
    "geo": lambda degrees: GeoPoint(*degrees),
    "ref": lambda parts: Ref(parts[0], tuple(parts[1:])),
    "float": _float,
    "absent": lambda _: ABSENT,
}


def _untagged(members: dict[str, Any]) -> Any:
    if TAG not in members:
        return members
    untag = _UNTAG.get(members[TAG])
    if untag is None:
        raise DriverError(f"a value has the unknown tag {members[TAG]!r}: of a later release?")
    return untag(members.get("v"))


_encode = json.JSONEncoder(
    ensure_ascii=False,
    allow_nan=False,
    check_circular=False,
    separators=(",", ":"),
    default=_tagged,
).encode
_decode = json.JSONDecoder().decode
_decode_tagged = json.JSONDecoder(object_hook=_untagged).decode
