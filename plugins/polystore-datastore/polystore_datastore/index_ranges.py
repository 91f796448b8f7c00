"""A range of an index as ranges of Datastore's own order. No I/O.

Datastore orders null < ints and timestamps < bool < text and bytes < floats < geo points < keys,
and compares values of one of these groups only. A range is of one type (QRY-12), which is one
group, or two for numbers: ints and floats. What an interval holds beyond the range, such as
timestamps among ints, is dropped from the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from math import ceil, floor, inf, isinf, isnan, nextafter
from typing import Any

import attrs

from polystore.driver.ordering import encode_ordered
from polystore.queries import Range
from polystore.values import INT_MAX, INT_MIN, GeoPoint, Ref, microseconds
from polystore_datastore.messages import GREATER, GREATER_OR_EQUAL, LESS, LESS_OR_EQUAL
from polystore_datastore.names import key_name

_NULL, _INT, _BOOL, _TEXT, _FLOAT, _POINT, _KEY = range(7)
_GROUPS = {
    "1": (_NULL,),
    "2": (_BOOL,),
    "3": (_INT, _FLOAT),
    "4": (_INT,),
    "5": (_TEXT,),
    "6": (_TEXT,),
    "7": (_KEY,),
    "8": (_POINT,),
}
"""The groups of each type, by the first letter of its portable text."""

_FIRST: tuple[Any, ...] = (None, INT_MIN, False, "", -inf, GeoPoint(-90.0, -180.0))
"""The least value of each group; that of the keys is not known."""

_LAST_POINT = GeoPoint(90.0, 180.0)


@attrs.frozen
class Bound:
    """One end of an interval: a value, and whether it belongs to it."""

    value: Any
    included: bool


@attrs.frozen
class Interval:
    """Values from ``low`` to ``high`` in Datastore's order; ``None`` leaves an end open."""

    low: Bound | None = None
    high: Bound | None = None

    def filters(self, name: str) -> list[tuple[str, int, Any]]:
        """The filters on a property that say so."""
        made = []
        if self.low is not None:
            made.append((name, GREATER_OR_EQUAL if self.low.included else GREATER, self.low.value))
        if self.high is not None:
            made.append((name, LESS_OR_EQUAL if self.high.included else LESS, self.high.value))
        return made


EVERYTHING = Interval()


def intervals(bounds: Range | None, is_native: Callable[[Any], bool]) -> list[Interval]:
    """Intervals that together hold a range, in Datastore's order.

    Args:
        bounds: the range.
        is_native: whether Datastore's own indexes can hold a value.
    """
    if bounds is None or (bounds.low is None and bounds.high is None):
        return [EVERYTHING]
    given = bounds.low or bounds.high
    assert given is not None
    found = []
    for group in _GROUPS[encode_ordered(given[0])[0]]:
        low = high = None
        if bounds.low is not None and _helps(group, bounds.low, is_native):
            low = _bound(group, bounds.low[0], bounds.low_included, low_side=True)
        if bounds.high is not None and _helps(group, bounds.high, is_native):
            high = _bound(group, bounds.high[0], bounds.high_included, low_side=False)
        if low is not _NO_VALUE and high is not _NO_VALUE:
            found.append(_within(group, low, high))
    return found


def _helps(group: int, bound: tuple[Any], is_native: Callable[[Any], bool]) -> bool:
    """Whether a bound can be sent: a reference that is no path has no place among keys."""
    return group != _KEY or is_native(bound[0])


_NO_VALUE = Bound(None, False)
"""What :func:`_bound` gives where a group has no value inside a range."""


def _within(group: int, low: Bound | None, high: Bound | None) -> Interval:
    """An interval of one group; where an end is open, up to the end of the group."""
    if low is None and group == _KEY:
        low = Bound(_LAST_POINT, False)
    elif low is None and group > _NULL:
        low = Bound(_FIRST[group], True)
    if high is None and group == _POINT:
        high = Bound(_LAST_POINT, True)
    elif high is None and group < _POINT:
        high = Bound(_FIRST[group + 1], False)
    return Interval(low, high)


def _bound(group: int, value: Any, included: bool, *, low_side: bool) -> Bound | None:
    """A bound of a range as one of a group; ``None`` where it leaves that end of it open."""
    if group == _POINT:
        return Bound(_near_point(value, low_side=low_side), True)
    if group not in (_INT, _FLOAT) or type(value) is datetime:
        return Bound(value, included)
    if isnan(value):  # lowest of all numbers, and in no index of Datastore's own
        return None if low_side else _NO_VALUE
    if group == _FLOAT:
        if type(value) is float:
            return Bound(value, True)  # both zeros are one
        near = float(value)
        return Bound(nextafter(near, -inf if low_side else inf), True)
    if type(value) is int:
        return Bound(value, included)
    return _int_bound(value, low_side=low_side)


def _near_point(point: GeoPoint, *, low_side: bool) -> GeoPoint:
    """A bound for points, whose two zeros are one in Datastore's order."""
    if point.latitude == 0 and str(point.latitude) == "-0.0":
        return GeoPoint(0.0, -180.0 if low_side else 180.0)
    return point


def _int_bound(value: float | Decimal, *, low_side: bool) -> Bound | None:
    above = value > 0
    if isinf(value) or not INT_MIN <= value <= INT_MAX:
        return _NO_VALUE if above is low_side else None
    return Bound(ceil(value) if low_side else floor(value), True)


def clipped(found: Sequence[Interval], value: Any, descending: bool) -> list[Interval]:
    """What is left of intervals beyond a value."""
    at, beyond = _native(value), Bound(value, False)
    left = []
    for interval in found:
        low, high = interval.low, interval.high
        if descending:
            if low is None or _native(low.value) < at:
                left.append(Interval(low, high if high and _native(high.value) < at else beyond))
        elif high is None or _native(high.value) > at:
            left.append(Interval(low if low and _native(low.value) > at else beyond, high))
    return left


def _native(value: Any) -> tuple[int, Any]:
    """A key that sorts values as Datastore does."""
    kind = type(value)
    if kind is str:
        return _TEXT, value.encode()
    if kind is datetime:
        return _INT, microseconds(value)
    if kind is GeoPoint:
        return _POINT, (value.latitude, value.longitude)
    if kind is Ref:
        return _KEY, _native_ref(value)
    groups = {type(None): _NULL, int: _INT, bool: _BOOL, bytes: _TEXT, float: _FLOAT}
    return groups[kind], 0 if value is None else value


def _native_ref(ref: Ref) -> list[tuple[bytes, bool, Any]]:
    return [
        (kind.encode(), isinstance(part, str), key_name(part) if isinstance(part, str) else part)
        for kind, part in zip(ref.collection.split("/"), ref.key, strict=False)
    ]
