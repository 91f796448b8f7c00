"""Query plans as requests of Query, and pages of Query and Scan as records. No I/O."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import compress
from typing import Any, TypeAlias

import attrs

from polystore.driver import QueryPage, ScanPage, Segment, Stored, readable
from polystore.driver.keycodec import encode_key, encode_part
from polystore.driver.ordering import encode_ordered
from polystore.driver.spans import bracket
from polystore.errors import CursorExpired, InvalidKey
from polystore.queries import Position, QueryPlan, Range
from polystore.values import Key
from polystore_dynamodb.codec import Item, Wire
from polystore_dynamodb.faults import error_of
from polystore_dynamodb.indexes import OwnIndex
from polystore_dynamodb.items import stored
from polystore_dynamodb.placement import KeyAttribute, Table

Request: TypeAlias = dict[str, Any]


@attrs.frozen
class SortCondition:
    """A key condition on the sort key ``#s``, and the keys that it lets through too many.

    DynamoDB has no range that is open at one end and bounded at the other by anything but one
    comparison: a native key is asked for with both bounds included, and ``drop`` is left out.
    """

    text: str
    values: Item
    drop: tuple[Any, ...] = ()


EVERY = SortCondition("", {})
"""No condition: the whole partition."""


def query_request(
    table: Table, index: OwnIndex | None, plan: QueryPlan, after: Position | None, limit: int
) -> tuple[Request, SortCondition] | None:
    """The request of one page; ``None`` where no record can match."""
    sort = _table_sort(table, plan) if index is None else _index_sort(plan)
    if sort is None:
        return None
    names, values = {"#h": table.hash.name}, {":h": table.hash.wire(plan.equals)}
    if index is not None:
        names, values = {"#h": index.hash}, {":h": {"S": encode_ordered(plan.equals[0])}}
    text = "#h = :h"
    if sort.text:
        text += f" AND {sort.text}"
        names["#s"] = index.range if index is not None else _range_of(table).name
        values |= sort.values
    request: Request = {
        "TableName": table.name,
        "KeyConditionExpression": text,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
        "ScanIndexForward": not plan.descending,
        "Limit": limit,
    }
    if index is None:
        request["ConsistentRead"] = True
    else:
        request["IndexName"] = index.name
    if after is not None:
        request["ExclusiveStartKey"] = _start(table, index, after)
    return request, sort


def _range_of(table: Table) -> KeyAttribute:
    assert table.range is not None
    return table.range


def _start(table: Table, index: OwnIndex | None, after: Position) -> Item:
    item = table.key_item(after.key)
    if index is not None:
        first, rest = index.texts(after.values, after.key)
        item[index.hash], item[index.range] = {"S": first}, {"S": rest}
    return item


def _table_sort(table: Table, plan: QueryPlan) -> SortCondition | None:
    if table.range is None:
        return EVERY
    given = plan.equals[table.range.start :]
    if table.range.field is None:
        return _text_sort(encode_key(given), plan.range, encode_part)
    wire = _native_wire(table.range)
    if given:
        return SortCondition("#s = :s", {":s": wire(given[0])})
    return _native_sort(plan.range, wire)


def _native_wire(attribute: KeyAttribute) -> Callable[[Any], Wire]:
    return lambda part: attribute.wire((None,) * attribute.start + (part,))


def _native_sort(bounds: Range | None, wire: Callable[[Any], Wire]) -> SortCondition | None:
    """A range of a sort key that is one key field. Such a key is never empty."""
    low = None if bounds is None else bounds.low
    high = None if bounds is None else bounds.high
    if high and high[0] in ("", b""):
        return None
    if low and low[0] in ("", b""):
        low = None
    if bounds is None or not (low or high):
        return EVERY
    if low and high:
        return _native_between(bounds, low[0], high[0], wire)
    if low:
        op = ">=" if bounds.low_included else ">"
        return SortCondition(f"#s {op} :s", {":s": wire(low[0])})
    assert high
    op = "<=" if bounds.high_included else "<"
    return SortCondition(f"#s {op} :s", {":s": wire(high[0])})


def _native_between(
    bounds: Range, low: Any, high: Any, wire: Callable[[Any], Wire]
) -> SortCondition | None:
    if low > high if not isinstance(low, str) else low.encode() > high.encode():
        return None
    drop = () if bounds.low_included else (low,)
    if not bounds.high_included:
        drop += (high,)
    return SortCondition(
        "#s BETWEEN :low AND :high", {":low": wire(low), ":high": wire(high)}, drop
    )


def _index_sort(plan: QueryPlan) -> SortCondition | None:
    prefix = "".join(map(encode_ordered, plan.equals[1:]))
    return _text_sort(prefix, plan.range, encode_ordered)


def _text_sort(
    prefix: str, bounds: Range | None, encode: Callable[[Any], str]
) -> SortCondition | None:
    """A range of a sort key that is encoded text.

    A text that goes on after a bound belongs to the bound's value. ``AFTER`` is above all that
    goes on; a text without its terminator is below all that starts with it, and above all
    smaller values.
    """
    if bounds is None or (bounds.low is None and bounds.high is None):
        if not prefix:
            return EVERY
        return SortCondition("begins_with(#s, :s)", {":s": {"S": prefix}})
    reach = bracket(bounds, encode)
    low, high = prefix + reach.low, prefix + reach.high
    if bounds.high is not None and not bounds.high_included:
        high = high[:-1]
    if low.encode() > high.encode():
        return None
    return SortCondition("#s BETWEEN :low AND :high", {":low": {"S": low}, ":high": {"S": high}})


def query_page(
    table: Table,
    index: OwnIndex | None,
    plan: QueryPlan,
    sort: SortCondition,
    reply: dict[str, Any],
) -> QueryPage:
    """A page of records from a reply of Query.

    It says nothing of where to go on where the reply ends at a record that lies elsewhere in the
    index than it belongs: no values of a record are that place.
    """
    items, last = reply["Items"], reply.get("LastEvaluatedKey")
    records = [stored(table, item) for item in items]
    if index is not None:
        there = [index.holds(*found) for found in zip(items, records, strict=True)]
        last = last if last and there[-1] else None
        records = list(compress(records, there))
    following = _position(table, plan, last, records) if last else None
    if sort.drop:
        at = _range_of(table).start
        records = [record for record in records if record.key[at] not in sort.drop]
    return QueryPage(records, following)


def _position(table: Table, plan: QueryPlan, last: Item, records: list[Stored]) -> Position:
    """Where the page ended: nothing is filtered by DynamoDB, so it ends at its last record."""
    if plan.index is None:
        return Position(table.key_of(last))
    end = records[-1]
    assert end.fields is not None  # a tombstone is in no index
    return Position(end.key, tuple(end.fields[name] for name in plan.index.fields))


def scan_request(table: Table, segment: Segment, cursor: str | None, limit: int) -> Request:
    """The request of one page of a scan. Raises CursorExpired for what is no cursor of it."""
    request: Request = {
        "TableName": table.name,
        "Segment": segment.index,
        "TotalSegments": segment.count,
        "ConsistentRead": True,
        "Limit": limit,
    }
    if cursor is not None:
        request["ExclusiveStartKey"] = _read_cursor(table, cursor)
    return request


def scan_page(table: Table, reply: dict[str, Any]) -> ScanPage:
    """A page of records from a reply of Scan; only the database says where a segment ends."""
    records, unreadable = readable(
        reply["Items"], partial(stored, table), partial(_place_of, table), error_of
    )
    last = reply.get("LastEvaluatedKey")
    return ScanPage(records, _cursor(last) if last else None, unreadable)


def _place_of(table: Table, item: Item) -> Key:
    """What an item has as its key, as DynamoDB writes it."""
    return tuple([str(next(iter(item[attribute.name].values()))) for attribute in table.keys])


def _cursor(last: Item) -> str:
    """The last key of a page as JSON; bytes as base64."""
    return json.dumps(last, default=lambda raw: b64encode(raw).decode(), separators=(",", ":"))


def _read_cursor(table: Table, cursor: str) -> Item:
    try:
        last: Item = json.loads(cursor)
        for attribute in table.keys:
            if attribute.kind == "B":
                last[attribute.name] = {"B": b64decode(last[attribute.name]["B"])}
        with suppress(InvalidKey):  # another program's key, which is a place none the less
            table.key_of(last)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CursorExpired(
            "not a cursor of this scan", collection=table.collection.name, driver="dynamodb"
        ) from None
    return last
