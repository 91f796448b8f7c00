"""What a query asks for, in the portable form that every driver gets."""

from __future__ import annotations

from typing import Any

import attrs

from polystore.errors import InvalidRequest
from polystore.schema import Index
from polystore.values import Key, checked


@attrs.frozen
class Range:
    """Bounds on one field. ``None`` as a whole bound (not as a value) leaves that end open.

    Values of the bounds' type alone are in a range, int, float and Decimal being one.

    ``low`` and ``high`` are one-element tuples, so that the value ``None`` can be a bound.
    """

    low: tuple[Any] | None = None
    high: tuple[Any] | None = None
    low_included: bool = True
    high_included: bool = True


def Between(low: object, high: object) -> Range:  # noqa: N802  # reads as a word of the query
    """From ``low`` to ``high``, both included."""
    return Range((checked(low),), (checked(high),))


def From(low: object) -> Range:  # noqa: N802  # reads as a word of the query
    """``low`` and all above it."""
    return Range(low=(checked(low),))


def Above(low: object) -> Range:  # noqa: N802  # reads as a word of the query
    """All above ``low``, without it."""
    return Range(low=(checked(low),), low_included=False)


def UpTo(high: object) -> Range:  # noqa: N802  # reads as a word of the query
    """``high`` and all below it."""
    return Range(high=(checked(high),))


def Below(high: object) -> Range:  # noqa: N802  # reads as a word of the query
    """All below ``high``, without it."""
    return Range(high=(checked(high),), high_included=False)


@attrs.frozen
class Position:
    """A place in the order of a query: the record's key, and its values in the index's fields.

    It means the same on every driver, so a query goes on elsewhere where it stopped here.
    """

    key: Key
    values: tuple[Any, ...] = ()


@attrs.frozen
class QueryPlan:
    """One query that a key or an index serves.

    Without ``index`` the order is the key's: ``equals`` holds the leading key parts, at least the
    whole partition, and ``range`` bounds the key field after them. With ``index`` the order is by
    the index's fields and then by key: ``equals`` holds values of its leading fields, at least the
    first, and ``range`` bounds the field after them. Order of values of different types:
    :mod:`polystore.driver.ordering`.
    """

    index: Index | None
    equals: tuple[Any, ...]
    range: Range | None = None
    descending: bool = False


def order_of(text: str) -> bool:
    """Whether ``"asc"`` or ``"desc"`` was asked for, as ``descending``."""
    if text not in ("asc", "desc"):
        raise InvalidRequest(f"order must be 'asc' or 'desc', not {text!r}")
    return text == "desc"
