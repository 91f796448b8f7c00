"""What DynamoDB charges for an item, in bytes, exactly (database-facts 2.2).

Names are UTF-8; S and B their bytes; BOOL and NULL 1; a list or map 3, and 1 more for each
element; a set the sum of its members; N one byte for two digits, aligned at the decimal point,
one more, and another if it is negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from json.encoder import encode_basestring_ascii
from typing import Any

from polystore_dynamodb.codec import Item, Wire

CONTAINER = 3
ELEMENT = 1


def item_size(item: Item) -> int:
    """The size of a whole item, which the limit of 409,600 bytes counts."""
    return sum(text_size(name) + value_size(wire) for name, wire in item.items())


def text_size(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def value_size(wire: Wire) -> int:
    """The size of one attribute value, without a name."""
    ((kind, raw),) = wire.items()
    if kind == "S":
        return text_size(raw)
    if kind == "N":
        return number_size(raw)
    if kind == "B":
        return len(raw)
    if kind in ("BOOL", "NULL"):
        return 1
    return _container_size(kind, raw)


def _container_size(kind: str, raw: Any) -> int:
    if kind == "L":
        return CONTAINER + sum(value_size(wire) + ELEMENT for wire in raw)
    if kind == "M":
        return CONTAINER + item_size(raw) + ELEMENT * len(raw)
    if kind == "SS":
        return sum(map(text_size, raw))
    if kind == "NS":
        return sum(map(number_size, raw))
    return sum(map(len, raw))


def sent_size(wire: Wire) -> int:
    """Bytes of an attribute value in a request, or a few more: JSON surrounds all that is in it."""
    ((kind, raw),) = wire.items()
    if kind == "M":
        return _AROUND + sum(_quoted(name) + sent_size(inner) for name, inner in raw.items())
    if kind == "L":
        return _AROUND + sum(map(sent_size, raw))
    if kind in ("SS", "NS"):
        return _AROUND + sum(map(_quoted, raw))
    if kind in ("B", "BS"):
        return _AROUND + sum(
            _AROUND + len(part) * 4 // 3 for part in (raw if kind == "BS" else [raw])
        )
    return _AROUND + (_quoted(raw) if kind in "SN" else 4)


def _quoted(text: str) -> int:
    return len(encode_basestring_ascii(text)) + 2


_AROUND = 14
"""Braces, quotes, colons, commas, spaces and the type around one value."""


def names(wire: Wire) -> Iterator[int]:
    """Bytes of each name in an attribute value, at every depth."""
    for name, inner in wire.get("M", {}).items():
        yield text_size(name)
        yield from names(inner)
    for inner in wire.get("L", ()):
        yield from names(inner)


def number_size(text: str) -> int:
    """The size of a number in its text form."""
    if text.isdecimal() and text.isascii() and text[0] != "0":  # most are plain integers
        return (len(text) - 1) // 2 - (len(text) - len(text.rstrip("0"))) // 2 + 2
    number = Decimal(text)
    if not number:
        return 1
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    last = exponent
    for digit in reversed(digits):
        if digit:
            break
        last += 1
    return number.adjusted() // 2 - last // 2 + 2 + sign
