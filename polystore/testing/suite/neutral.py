"""The one order of values and of keys, said again without a look at how it is encoded."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from polystore.values import GeoPoint, Key, KeyPart, Ref


def part_order(part: KeyPart) -> tuple[int, Any]:
    """What a part of a key is sorted by; parts of one place are of one type, those of refs not."""
    if type(part) is str:
        return 2, part.encode()
    return (1, part) if type(part) is int else (0, part)


def key_order(key: Key) -> tuple[Any, ...]:
    """What a key is sorted by: part by part, a shorter one before what goes on from it."""
    return tuple(map(part_order, key))


def value_order(value: Any) -> tuple[Any, ...]:
    """What a scalar is sorted by."""
    kind = type(value)
    if kind in (int, float, Decimal):
        return 2, _number(value)
    orders: dict[type, Any] = {
        type(None): lambda: (0,),
        bool: lambda: (1, value),
        datetime: lambda: (3, value),
        str: lambda: (4, value.encode()),
        bytes: lambda: (5, value),
        Ref: lambda: (6, value.collection.encode(), key_order(value.key)),
        GeoPoint: lambda: (7, _float(value.latitude), _float(value.longitude)),
    }
    found: tuple[Any, ...] = orders[kind]()
    return found


def _float(number: float) -> tuple[float, bool]:
    return number, math.copysign(1.0, number) > 0


def _number(number: int | float | Decimal) -> tuple[Any, ...]:
    """NaN, then by size; at one size by type, then −0 before 0, then by exponent."""
    if type(number) is float and not math.isfinite(number):
        return (0,) if math.isnan(number) else (1 if number < 0 else 3,)
    if type(number) is int:
        detail: tuple[Any, ...] = (0,)
    elif type(number) is float:
        detail = 1, _float(number)
    else:
        assert isinstance(number, Decimal)
        sign, _, exponent = number.as_tuple()
        detail = 2, not sign, exponent
    return 2, Fraction(number), detail
