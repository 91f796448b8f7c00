"""The entities of one kind with ordered indexes, so that a query page costs O(page)."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import attrs

from polystore_engines.datastore_stub.appengine import INEQUALITIES, Message, Op, stub_util, v3
from polystore_engines.datastore_stub.ordering import (
    GREATEST,
    Descending,
    KeyValue,
    ascending,
    key_value,
    property_key,
)

Entry: TypeAlias = tuple[Any, ...]
"""One row of an index: (component, ..., key)."""

Sort: TypeAlias = tuple[tuple[str, bool], ...]
"""Properties with "descending?"."""

Values: TypeAlias = dict[str, list[Any]]
"""The sort keys of an entity's indexed values by property, `__key__` among them."""

Test: TypeAlias = Callable[[Values], bool]


@attrs.frozen
class Criteria:
    """What a query asks of an index, in sort keys.

    Attributes:
        equal: values that each of these properties must all have.
        ranges: inequality operators with their operands, on the first sort property.
        ancestor: the key that all keys begin with; empty when there is none.
        sort: the complete order; ends with `__key__`.
        start: position of the start cursor.
        end: position of the end cursor.
    """

    equal: dict[str, list[Any]]
    ranges: list[tuple[int, Any]]
    ancestor: KeyValue
    sort: Sort
    start: Message
    end: Message

    @classmethod
    def of(cls, query: Message, filters: Iterable[Message], orders: Iterable[Message]) -> Criteria:
        """Reads a v3 query with its normalised filters and orders."""
        equal: dict[str, list[Any]] = {}
        ranges = []
        for item in filters:
            name, value = item.property[0].name, item.property[0].value
            if item.op == item.EQUAL:
                equal.setdefault(name, []).append(property_key(value))
            elif item.op in INEQUALITIES:
                ranges.append((item.op, property_key(value)))
        return cls(
            equal,
            ranges,
            key_value(query.ancestor) if query.HasField("ancestor") else (),
            tuple((o.property, o.direction == o.DESCENDING) for o in orders),
            query.compiled_cursor,
            query.end_compiled_cursor,
        )


class Span(NamedTuple):
    """The part of an index that answers a query.

    Attributes:
        rows: the whole index.
        start, stop: the positions that the query's cursors leave.
        low, high: the bounds of the query itself, without its cursors.
        signature: the index's columns.
        equal: how many of them are fixed by equality.
    """

    rows: list[Entry]
    start: int
    stop: int
    low: Entry
    high: Entry
    signature: Sort
    equal: int


class Table:
    """The entities of one kind, or of one namespace, with indexes built when first needed.

    An index is a sorted list of entries. Its signature is the properties fixed by equality,
    followed by the sort orders: what a composite index is in the service.
    """

    def __init__(self) -> None:
        self.records: dict[KeyValue, Any] = {}
        self.indexes: dict[Sort, list[Entry]] = {}
        self.changed = 0

    def put(self, key: KeyValue, record: Any) -> None:
        """Stores a record and moves its index entries."""
        old = self.records.get(key)
        self.records[key] = record
        for signature, rows in self.indexes.items():
            before = entries(key, old, signature) if old is not None else []
            after = entries(key, record, signature)
            if before == after:
                continue
            _remove(rows, before)
            for entry in after:
                bisect.insort(rows, entry)

    def delete(self, key: KeyValue) -> None:
        """Removes a record, if there is one, and its index entries."""
        record = self.records.pop(key, None)
        if record is not None:
            for signature, rows in self.indexes.items():
                _remove(rows, entries(key, record, signature))

    def index(self, signature: Sort) -> list[Entry]:
        """The index of these columns, built now if no query needed it before."""
        if signature not in self.indexes:
            own = (entries(key, record, signature) for key, record in self.records.items())
            self.indexes[signature] = sorted(itertools.chain.from_iterable(own))
        return self.indexes[signature]

    def select(
        self,
        query: Message,
        filters: Iterable[Message],
        orders: Iterable[Message],
        test: Test | None,
        want: int | None,
    ) -> list[Any]:
        """Matching records at or after the start cursor, in query order.

        Args:
            query: the v3 query, for its ancestor, cursors and projection.
            filters: its filters, normalised.
            orders: its complete order.
            test: what the filters cannot say.
            want: how many records suffice; None: all.
        """
        criteria = Criteria.of(query, filters, orders)
        span = self._span(criteria)
        equal = {name: set(values) for name, values in criteria.equal.items()}
        tested = bool(test) or any(len(values) > 1 for values in equal.values())
        whole = bool(query.property_name)  # a projection wants each of a list's values
        found: dict[KeyValue, Any] = {}
        for key, entry in _walk(span, criteria.ancestor):
            if key in found:
                continue
            record = self.records[key]
            if tested and not _matches(value_map(record, key), equal, test):
                continue
            if len(record.entity.property) > 1 and not whole:
                record = _pinned(key, record, span, entry)
                if record is None:
                    continue
            found[key] = record
            if want is not None and len(found) >= want:
                break
        return list(found.values())

    def _span(self, criteria: Criteria) -> Span:
        if "__key__" in criteria.equal:
            keys = criteria.equal.pop("__key__")
            rows: list[Entry] = [(key,) for key in keys if key in self.records]
            return Span(rows, 0, len(rows), (), (GREATEST,), (("__key__", False),), 0)
        names = sorted(criteria.equal)
        signature = tuple((name, False) for name in names) + criteria.sort
        rows = self.index(signature)
        prefix = tuple(criteria.equal[name][0] for name in names)
        low, high = _bounds(criteria, prefix)
        start, stop = bisect.bisect_left(rows, low), bisect.bisect_left(rows, high)
        if (position := _cursor_position(rows, criteria.start, prefix, criteria.sort)) is not None:
            start = max(start, position)
        if (position := _cursor_position(rows, criteria.end, prefix, criteria.sort)) is not None:
            stop = min(stop, position)
        return Span(rows, start, stop, low, high, signature, len(names))


def entries(key: KeyValue, record: Any, signature: Sort) -> list[Entry]:
    """The rows of one record in one index; a list property has one for each distinct value."""
    values: Values = {name: [] for name, _ in signature}
    for prop in record.entity.property:
        if prop.name in values:
            values[prop.name].append(property_key(prop.value))
    columns = []
    for name, descending in signature:
        column: Iterable[Any] = (key,) if name == "__key__" else set(values[name])
        columns.append([Descending(v) for v in column] if descending else column)
    return list(itertools.product(*columns))


def value_map(record: Any, key: KeyValue) -> Values:
    """The sort keys of a record's indexed values."""
    values: Values = {"__key__": [key]}
    for prop in record.entity.property:
        values.setdefault(prop.name, []).append(property_key(prop.value))
    return values


def _remove(rows: list[Entry], gone: list[Entry]) -> None:
    for entry in gone:
        del rows[bisect.bisect_left(rows, entry)]


def _walk(span: Span, ancestor: KeyValue) -> Iterator[tuple[KeyValue, Entry]]:
    depth = len(ancestor)
    for entry in itertools.islice(span.rows, span.start, max(span.start, span.stop)):
        key = ascending(entry[-1])
        if key[:depth] == ancestor:
            yield key, entry


def _matches(values: Values, equal: dict[str, set[Any]], test: Test | None) -> bool:
    if not all(wanted <= set(values.get(name, ())) for name, wanted in equal.items()):
        return False
    return test is None or test(values)


def _bounds(criteria: Criteria, prefix: Entry) -> tuple[Entry, Entry]:
    """The lowest entry that may match, and the first above all that may."""
    low, high = prefix, (*prefix, GREATEST)
    descending = criteria.sort[0][1]
    for op, value in criteria.ranges:
        inclusive = op in (Op.LESS_THAN_OR_EQUAL, Op.GREATER_THAN_OR_EQUAL)
        upward = op in (Op.GREATER_THAN, Op.GREATER_THAN_OR_EQUAL)
        bound = (*prefix, Descending(value) if descending else value)
        if upward != descending:
            low = max(low, bound if inclusive else (*bound, GREATEST))
        else:
            high = min(high, (*bound, GREATEST) if inclusive else bound)
    if criteria.ancestor and criteria.sort[0] == ("__key__", False):
        below = (*criteria.ancestor, GREATEST)
        return max(low, (*prefix, criteria.ancestor)), min(high, (*prefix, below))
    return low, high


def _cursor_position(rows: list[Entry], cursor: Message, prefix: Entry, sort: Sort) -> int | None:
    """Where a cursor points in an index; None without one, or one of another query."""
    if not cursor.HasField("postfix_position"):
        return None
    place = cursor.postfix_position
    values = {v.property_name: property_key(v.value) for v in place.index_value}
    if place.HasField("key"):
        values["__key__"] = key_value(place.key)
    if set(values) != {name for name, _ in sort}:
        return None  # Google's code reports the mismatch
    entry = prefix + tuple(Descending(values[n]) if desc else values[n] for n, desc in sort)
    return bisect.bisect_left(rows, entry) if place.before else bisect.bisect_right(rows, entry)


def _pinned(key: KeyValue, record: Any, span: Span, entry: Entry) -> Any:
    """A record with one value for each sort property; None when this entry is not its first.

    A multi-valued entity appears once, where its first matching index entry is. It is handed to
    Google's code with that one value, so that order and cursor are exact.
    """
    fixed = {name for name, _ in span.signature[: span.equal]}
    names = {name for name, _ in span.signature[span.equal :]} - fixed - {"__key__"}
    if not names or sum(p.name in names for p in record.entity.property) == len(names):
        return record
    own = entries(key, record, span.signature)
    if entry != min(e for e in own if not e < span.low and e < span.high):
        return None
    columns = zip(span.signature[span.equal :], entry[span.equal :], strict=True)
    wanted = {name: ascending(component) for (name, _), component in columns}
    return stub_util.EntityRecord(_with_values(record.entity, names, wanted), record.metadata)


def _with_values(entity: Message, names: set[str], wanted: dict[str, Any]) -> Message:
    """A copy of an entity where the named properties keep the one wanted value only."""
    clone = v3.EntityProto()
    clone.CopyFrom(entity)
    del clone.property[:]
    for prop in entity.property:
        if prop.name not in names:
            clone.property.add().CopyFrom(prop)
        elif property_key(prop.value) == wanted.get(prop.name):
            clone.property.add().CopyFrom(prop)
            del wanted[prop.name]
    return clone
