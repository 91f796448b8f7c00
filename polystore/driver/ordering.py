"""Values as text in the one order that indexes have everywhere. For driver authors.

null < bool < number (int, float and Decimal by size, NaN lowest; at one size int before float
before Decimal) < timestamp < str (UTF-8 bytes) < bytes < reference < geo point. Lists, maps and
sets have no place in an index. The text holds no U+0000, ends with U+0001, and no text of one
value is a prefix of another's, so texts of several fields may simply be joined.
"""

from __future__ import annotations

import struct
from datetime import datetime
from decimal import Decimal
from math import isnan
from typing import Any

from polystore.driver.keycodec import END, encode_key, escaped
from polystore.values import GeoPoint, Ref, microseconds

SCALARS: frozenset[type] = frozenset(
    {type(None), bool, int, float, Decimal, str, bytes, datetime, GeoPoint, Ref}
)
"""Types that an index holds."""

_RANK = {int: "0", float: "1", Decimal: "2"}
_NINES = str.maketrans("0123456789", "9876543210")


def encode_ordered(value: Any) -> str:
    """``value`` as text whose byte order is the order of values.

    Raises:
        TypeError: a list, map or set, which no index holds.
    """
    kind = type(value)
    if kind is str:
        return "5" + escaped(value) + END
    if kind in _RANK:
        return "3" + _number(value) + END
    if value is None:
        return "1" + END
    if kind is bool:
        return f"2{int(value)}{END}"
    if kind is datetime:
        return f"4{microseconds(value) + (1 << 63):016x}{END}"
    if kind is bytes:
        return f"6{value.hex()}{END}"
    if kind is Ref:
        return "7" + escaped(value.collection) + "\x02\x02" + escaped(encode_key(value.key)) + END
    if kind is GeoPoint:
        return "8" + _double(value.latitude) + _double(value.longitude) + END
    raise TypeError(f"{kind.__name__} has no place in an index")


def _number(value: int | float | Decimal) -> str:
    """Sign, exponent and digits of a number, exactly; then its type and what the size lacks."""
    rank = _RANK[type(value)]
    if type(value) is float:
        if isnan(value):
            return "0" + rank
        if value in (float("inf"), float("-inf")):
            return ("5" if value > 0 else "1") + rank
        rank += "0" if str(value)[0] == "-" and value == 0 else "1"
    exact = Decimal(value)
    if not exact:
        return "3" + rank + _scale(value)
    digits = "".join(map(str, exact.as_tuple().digits)).rstrip("0")
    exponent = f"{exact.adjusted() + 50_000:05d}"
    if exact > 0:
        return "4" + exponent + digits + " " + rank + _scale(value)
    return "2" + exponent.translate(_NINES) + digits.translate(_NINES) + "~" + rank + _scale(value)


def _scale(value: int | float | Decimal) -> str:
    if type(value) is not Decimal:
        return ""
    sign, _, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    return f"{1 - sign}{exponent + 50_000:05d}"


def _double(value: float) -> str:
    (bits,) = struct.unpack(">q", struct.pack(">d", value))
    return f"{bits + (1 << 63) if bits >= 0 else -bits - 1:016x}"
