"""Pages of an index that a table had before, in the portable order.

DynamoDB orders the items of such an index by its attributes, and those that tie as it likes. Ties
are therefore read whole and put in order here, and a page goes on after a position without the
database's cursors: the rest of the ties by key, then the values beyond, field by field from the
last. Numbers that are equal tie whatever follows them: DynamoDB does not tell 1 from 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from math import isnan
from typing import Any, TypeAlias

import attrs

from polystore.driver import QueryPage, Stored
from polystore.driver.ordering import encode_ordered
from polystore.driver.policies import LEAST, fits
from polystore.driver.spans import index_entry, within
from polystore.queries import Position, QueryPlan
from polystore.values import Fields, Key, microseconds, same
from polystore_dynamodb.codec import Item, Wire
from polystore_dynamodb.indexes import NativeIndex
from polystore_dynamodb.items import settled, stored
from polystore_dynamodb.placement import Table

Query: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes one Query."""

ReadAll: TypeAlias = Callable[[Sequence[Key]], list[Stored | None]]
"""Reads all of some records by key."""

Entry: TypeAlias = tuple[str, Stored]
"""A record, after its text in the order of the index."""

_LETTERS = {"number": "3", "datetime": "4", "str": "5", "bytes": "6"}
"""What the portable text of a value of each type begins with."""


@attrs.frozen
class Step:
    """One Query of a page: leading attributes that are equal, and bounds of the one after them.

    ``beyond`` is the value of that one which an earlier step was about.
    """

    equals: tuple[Wire, ...]
    low: Wire | None = None
    high: Wire | None = None
    beyond: Wire | None = None


class Nowhere(Exception):
    """No value of an attribute's type is on that side of a bound."""


class NativePage:
    """One page of a query that a native index serves.

    Args:
        query: makes one Query.
        read_all: reads records by key, for an index that does not project all attributes.
        table, index: the index and where it is.
        plan: what is asked.
        after: where to begin, exclusive.
        limit: most records.
    """

    def __init__(
        self,
        query: Query,
        read_all: ReadAll,
        table: Table,
        index: NativeIndex,
        plan: QueryPlan,
        after: Position | None,
        limit: int,
    ) -> None:
        self._query, self._read_all = query, read_all
        self._table, self._index, self._plan = table, index, plan
        self._declared = index.policed.index
        self._after = after
        self._limit = limit
        given, types = len(plan.equals), index.types
        # The fields before are of one type each: what they hold is given.
        self._depth = next(
            (at + 1 for at in range(given, len(types)) if types[at] == "number"), len(types)
        )
        self._start = None
        if after is not None:
            fields = dict(zip(self._declared.fields, after.values, strict=True))
            self._start = index_entry(self._declared, fields, after.key)

    def run(self) -> QueryPage:
        """Read until the page is full, or the query at its end."""
        records: list[Stored] = []
        for step in self._steps():
            for ties in self._ties(step, self._limit - len(records)):
                records += [record for _, record in ties]
                if len(records) >= self._limit:
                    del records[self._limit :]
                    return QueryPage(records, self._position(records[-1]))
        return QueryPage(records, None)

    def _position(self, record: Stored) -> Position:
        assert record.fields is not None
        return Position(record.key, tuple(record.fields[name] for name in self._declared.fields))

    def _steps(self) -> Iterator[Step]:
        """The Queries of a page, one after the other in the order of the index."""
        plan, types, given = self._plan, self._index.types, len(self._plan.equals)
        equals = _wires(plan.equals, types)
        if len(equals) < given:
            return
        try:
            low, high = self._bounds()
        except Nowhere:
            return
        if self._after is None:
            yield Step(equals, low, high)
            return
        values = self._after.values
        known = _wires(values, types)
        if len(known) >= self._depth:
            yield Step(known[: self._depth])
        for at in range(min(len(known), self._depth - 1), given - 1, -1):
            try:
                end = _end(values[at], types[at], is_low=not plan.descending)
            except Nowhere:
                continue
            lower, upper = (low, high) if at == given else (None, None)
            if plan.descending:
                upper = end or upper
            else:
                lower = end or lower
            yield Step(known[:at], lower, upper, known[at] if at < len(known) else None)

    def _bounds(self) -> tuple[Wire | None, Wire | None]:
        """The ends of the plan's range. Raises Nowhere where no value is in it."""
        bounds = self._plan.range
        ends = [] if bounds is None else [end for end in (bounds.low, bounds.high) if end]
        if bounds is None or not ends:
            return None, None
        kind = self._index.types[len(self._plan.equals)]
        if encode_ordered(ends[0][0])[0] != _LETTERS[kind]:
            raise Nowhere
        return (
            _end(bounds.low[0], kind, is_low=True) if bounds.low else None,
            _end(bounds.high[0], kind, is_low=False) if bounds.high else None,
        )

    def _ties(self, step: Step, wanted: int) -> Iterator[list[Entry]]:
        """What a step finds: all that tie together, in order, and of many those that come first."""
        request = self._request(step)
        if request is None:
            return
        request["Limit"] = wanted + 1
        mark, group = None, list[Entry]()
        while True:
            reply = self._query(request)
            for now, items in groupby(reply["Items"], self._mark):
                if now != mark:
                    yield self._first(group, wanted)
                    mark, group = now, []
                if step.beyond is None or now[len(step.equals)] != settled(step.beyond):
                    group = self._first([*group, *self._entries(list(items))], wanted)
            if "LastEvaluatedKey" not in reply:
                break
            request["ExclusiveStartKey"] = reply["LastEvaluatedKey"]
            request.pop("Limit", None)  # few tie, or all do: then by whole pages
        yield self._first(group, wanted)

    def _mark(self, item: Item) -> tuple[Any, ...]:
        return tuple(settled(item[name]) for name, _ in self._index.key[: self._depth])

    def _first(self, entries: list[Entry], wanted: int) -> list[Entry]:
        entries.sort(key=lambda entry: entry[0], reverse=self._plan.descending)
        return entries[:wanted]

    def _request(self, step: Step) -> dict[str, Any] | None:
        """The request of a step; ``None`` where its bounds leave nothing."""
        if step.low and step.high and settled(step.low)[1] > settled(step.high)[1]:
            return None
        names = {f"#k{i}": name for i, (name, _) in enumerate(self._index.key)}
        tests = [f"#k{i} = :k{i}" for i in range(len(step.equals))]
        values = {f":k{i}": wire for i, wire in enumerate(step.equals)}
        ranged, strict = f"#k{len(step.equals)}", "" if step.beyond else "="
        if step.low and step.high:
            tests.append(f"{ranged} BETWEEN :low AND :high")
        elif step.low:
            tests.append(f"{ranged} >{strict} :low")
        elif step.high:
            tests.append(f"{ranged} <{strict} :high")
        values |= {n: wire for n, wire in ((":low", step.low), (":high", step.high)) if wire}
        used = len(step.equals) + bool(step.low or step.high)
        return {
            "TableName": self._table.name,
            "IndexName": self._index.name,
            "KeyConditionExpression": " AND ".join(tests),
            "ExpressionAttributeNames": {n: names[n] for n in list(names)[:used]},
            "ExpressionAttributeValues": values,
            "ScanIndexForward": not self._plan.descending,
        }

    def _entries(self, items: list[Item]) -> list[Entry]:
        """The records of items that tie, each with its text; what the plan does not mean is out."""
        entries = []
        for record in self._records(items):
            fields = record.fields
            if fields is None or not self._means(fields):
                continue
            text = index_entry(self._declared, fields, record.key)
            if text is not None and self._is_ahead(text):
                entries.append((text, record))
        return entries

    def _records(self, items: list[Item]) -> Iterator[Stored]:
        if not self._index.keys_only:
            for item in items:
                yield stored(self._table, item)
            return
        keys = [self._table.key_of(item) for item in items]
        for item, record in zip(items, self._read_all(keys), strict=True):
            if record is not None and record.fields is not None:
                values = [record.fields.get(name) for name in self._declared.fields]
                wires = _wires(values, self._index.types)
                # Else it is elsewhere in the index by now.
                if [*map(settled, wires)] == [settled(item[name]) for name, _ in self._index.key]:
                    yield record

    def _means(self, fields: Fields) -> bool:
        """Whether the plan means a record, by type too."""
        values = [fields.get(name) for name in self._declared.fields]
        if not all(map(fits, values, self._index.types)):
            return False
        given = len(self._plan.equals)
        return all(map(same, self._plan.equals, values)) and (
            given == len(values) or within(self._plan.range, values[given])
        )

    def _is_ahead(self, text: str) -> bool:
        if self._start is None:
            return True
        return text < self._start if self._plan.descending else text > self._start


def _wires(values: Sequence[Any], types: Sequence[str]) -> tuple[Wire, ...]:
    """The attribute values for values of an index, up to the first that is in no native index."""
    wires = []
    for value, kind in zip(values, types, strict=False):
        if not fits(value, kind):
            break
        wires.append(_wire(value, kind))
    return tuple(wires)


def _wire(value: Any, kind: str) -> Wire:
    if kind == "str":
        return {"S": value}
    if kind == "bytes":
        return {"B": value}
    if kind == "datetime":
        return {"N": str(microseconds(value))}
    return {"N": repr(value) if type(value) is float else str(value)}


def _end(value: Any, kind: str, *, is_low: bool) -> Wire | None:
    """One end of a range as an attribute value, bound included; ``None`` leaves it open.

    Raises:
        Nowhere: no value of this type is on the inner side of it.
    """
    letter = encode_ordered(value)[0]
    if letter == _LETTERS[kind] and fits(value, kind):
        return _wire(value, kind)
    if letter != _LETTERS[kind]:
        is_above = letter > _LETTERS[kind]
    elif kind != "number" or isnan(value):  # empty, or NaN: the lowest of its type
        is_above = False
    elif abs(value) < LEAST:
        return {"N": "0"}
    else:
        is_above = value > 0
    if is_above is is_low:
        raise Nowhere
    return None
