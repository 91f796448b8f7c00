"""Queries as spans of text, for drivers that keep their orders as encoded text.

The text of a record in the order of its key is its encoded key; in the order of an index it is
the encoded values of the index's fields and then the encoded key. What a query asks for is then
everything from one text up to another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from polystore.driver.keycodec import AFTER, encode_key, encode_part
from polystore.driver.ordering import SCALARS, encode_ordered
from polystore.queries import Position, QueryPlan, Range
from polystore.schema import Index
from polystore.values import Key


@attrs.frozen
class Span:
    """All texts ``t`` with ``low <= t < high``, by Unicode code points (the order of UTF-8)."""

    low: str
    high: str


def index_entry(index: Index, fields: Mapping[str, Any] | None, key: Key) -> str | None:
    """The text of a record in the order of an index; ``None`` where the record is not in it."""
    if fields is None:
        return None
    texts = []
    for name in index.fields:
        if name not in fields or type(fields[name]) not in SCALARS:
            return None
        texts.append(encode_ordered(fields[name]))
    return "".join(texts) + encode_key(key)


def bracket(bounds: Range, encode: Callable[[Any], str]) -> Span:
    """The texts of the values in a range, and whatever follows them: of the bounds' type alone.

    The first letter of a text says the type; int, float and Decimal have the same (QRY-12).
    """
    given = bounds.low or bounds.high
    if given is None:
        return Span("", AFTER)
    letter = encode(given[0])[0]
    low, high = letter, chr(ord(letter) + 1)
    if bounds.low is not None:
        low = encode(bounds.low[0]) + ("" if bounds.low_included else AFTER)
    if bounds.high is not None:
        high = encode(bounds.high[0]) + (AFTER if bounds.high_included else "")
    return Span(low, high)


def within(bounds: Range | None, value: Any) -> bool:
    """Whether an indexed field may hold ``value`` for a query with these bounds."""
    if type(value) not in SCALARS:
        return False
    if bounds is None:
        return True
    reach = bracket(bounds, encode_ordered)
    return reach.low <= encode_ordered(value) < reach.high


def span(plan: QueryPlan, after: Position | None) -> Span:
    """The texts that a query asks for, in the order of its index or else of the key.

    Args:
        plan: the query.
        after: where it goes on, exclusive; the span ends or begins there.
    """
    encode = encode_ordered if plan.index else encode_part
    prefix = "".join(map(encode, plan.equals))
    reach = Span("", AFTER) if plan.range is None else bracket(plan.range, encode)
    low, high = prefix + reach.low, prefix + reach.high
    if after is None:
        return Span(low, high)
    place = "".join(map(encode_ordered, after.values)) + encode_key(after.key)
    if plan.descending:
        return Span(low, min(high, place))
    return Span(max(low, place + AFTER), high)
