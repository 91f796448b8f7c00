"""Pages of a declared index.

An index that polystore makes is one property, which holds each record's entry as text in the
portable order. Two orders serve a native one. Records whose indexed values have a native form are
in Datastore's own indexes; a page goes on after a position without the database's cursors: the
rest of the ties by key, then the values beyond, field by field from the last. The few records with
a value that has no place there (Decimal, NaN, −0.0, a reference that is no path) carry their whole
entry as text too; they come after the others, in the portable order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from polystore.driver import QueryPage, Stored
from polystore.driver.ordering import SCALARS
from polystore.driver.policies import Policed, unfit
from polystore.driver.spans import span, within
from polystore.queries import Position, QueryPlan
from polystore.schema import Index
from polystore.values import same
from polystore_datastore.codec import INDEXED_BYTES
from polystore_datastore.connection import Connection
from polystore_datastore.entities import is_native_entry, stored
from polystore_datastore.index_ranges import EVERYTHING, Interval, clipped, intervals
from polystore_datastore.messages import (
    EQUAL,
    GREATER,
    GREATER_OR_EQUAL,
    LESS,
    LESS_OR_EQUAL,
    Message,
)
from polystore_datastore.names import property_name
from polystore_datastore.placement import Place, index_property
from polystore_datastore.requests import (
    KEY,
    Filter,
    KeyBound,
    add_filters,
    add_orders,
    batches,
    kind_query,
)


@attrs.frozen
class Step:
    """One query of a page: filters on properties and keys, and the properties that order it.

    ``text`` says that this is one property with entries as text, which are unique.
    """

    filters: list[Filter]
    bounds: list[KeyBound]
    orders: list[str]
    text: bool = False


def index_page(
    connection: Connection, place: Place, plan: QueryPlan, after: Position | None, limit: int
) -> QueryPage:
    """One page of a query that a declared index serves."""
    assert plan.index is not None
    kept = place.index(plan.index)
    index = kept.index
    records: list[Stored] = []
    steps = _steps if kept.native else _text_steps
    for step in steps(place, plan, index, after):
        request = kind_query(connection, place)
        add_filters(place, request, step.filters, step.bounds)
        add_orders(request, step.orders if step.text else [*step.orders, KEY], plan.descending)
        request.query.limit.value = limit - len(records)
        for batch, last in batches(connection, request):
            records += _matching(place, plan, kept, step, batch)
            if records and (len(records) >= limit or not last):
                return QueryPage(records[:limit], _position(index, records[:limit][-1]))
    return QueryPage(records, None)


def _matching(
    place: Place, plan: QueryPlan, kept: Policed, step: Step, batch: Message
) -> Iterator[Stored]:
    """The records of a batch that are really in the index, and meet the plan by type too.

    The index may have been another when a record was written: of other fields, or a policy.
    """
    ranged, index = len(plan.equals), kept.index
    name = index_property(index.name)
    for result in batch.entity_results:
        record = stored(place, result)
        if record is None or record.fields is None:
            continue
        if kept.sparse and unfit(index, record.fields) is not None:
            continue
        if step.text:
            there = result.entity.properties[name].string_value
            apart = not (kept.native and is_native_entry(place, index, record.fields))
            if apart and there == kept.entry(record.fields, record.key):
                yield record
            continue
        values = [record.fields.get(name, _ABSENT) for name in index.fields]
        if (
            all(type(value) in SCALARS for value in values)
            and all(map(same, plan.equals, values))
            and (ranged == len(values) or within(plan.range, values[ranged]))
        ):
            yield record


_ABSENT = object()


def _position(index: Index, record: Stored) -> Position:
    assert record.fields is not None
    return Position(record.key, tuple(record.fields[name] for name in index.fields))


def _steps(place: Place, plan: QueryPlan, index: Index, after: Position | None) -> Iterator[Step]:
    is_native = place.codec.is_native
    apart = after is not None and not all(map(is_native, after.values))
    parts: list[Callable[[], Iterator[Step]]] = [
        lambda: _native_steps(place, plan, index, None if apart else after),
        lambda: _apart_steps(place, plan, index, after if apart else None),
    ]
    if plan.descending:
        parts.reverse()
    if after is not None and apart is not plan.descending:
        parts.pop(0)  # the page before this one was beyond it
    for part in parts:
        yield from part()


def _native_steps(
    place: Place, plan: QueryPlan, index: Index, after: Position | None
) -> Iterator[Step]:
    """Queries of Datastore's own indexes, one after the other in their order."""
    names = [property_name(name) for name in index.fields]
    given, is_native = len(plan.equals), place.codec.is_native
    if not all(map(is_native, plan.equals)):
        return
    equals = _equal(names, plan.equals)
    ranges = intervals(plan.range, is_native) if given < len(names) else [EVERYTHING]
    if after is None:
        yield from _interval_steps(equals, names[given:], ranges, plan.descending)
        return
    op = LESS if plan.descending else GREATER
    yield Step(_equal(names, after.values), [KeyBound(op, place.path(after.key))], [])
    for at in range(len(names) - 1, given - 1, -1):
        left = clipped(ranges if at == given else [EVERYTHING], after.values[at], plan.descending)
        yield from _interval_steps(
            _equal(names, after.values[:at]), names[at:], left, plan.descending
        )


def _equal(names: list[str], values: tuple[Any, ...]) -> list[Filter]:
    return [(name, EQUAL, value) for name, value in zip(names, values, strict=False)]


def _interval_steps(
    equals: list[Filter], orders: list[str], ranges: list[Interval], descending: bool
) -> Iterator[Step]:
    for interval in reversed(ranges) if descending else ranges:
        yield Step([*equals, *(interval.filters(orders[0]) if orders else ())], [], orders)


def _apart_steps(
    place: Place, plan: QueryPlan, index: Index, after: Position | None
) -> Iterator[Step]:
    """The query of the records of a native index that carry their entry as text."""
    if len(plan.equals) < len(index.fields) or not all(map(place.codec.is_native, plan.equals)):
        yield from _text_steps(place, plan, index, after)


def _text_steps(
    _place: Place, plan: QueryPlan, index: Index, after: Position | None
) -> Iterator[Step]:
    """The query of entries that are text."""
    found = span(plan, after)
    if found.low < found.high:
        name = index_property(index.name)
        low, high = _cut(found.low), _cut(found.high)
        yield Step(
            [
                (name, GREATER_OR_EQUAL if low == found.low else GREATER, low),
                (name, LESS if high == found.high else LESS_OR_EQUAL, high),
            ],
            [],
            [name],
            text=True,
        )


def _cut(text: str) -> str:
    """A bound that Datastore takes; no entry is longer."""
    raw = text.encode()
    return text if len(raw) <= INDEXED_BYTES else raw[:INDEXED_BYTES].decode(errors="ignore")
