"""What serves a query: the key, an index, or (only if allowed) a scan with a filter. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from polystore.conditions import All, Condition, Field, Test
from polystore.driver.ordering import SCALARS, encode_ordered
from polystore.driver.spans import span, within
from polystore.errors import InvalidKey, InvalidRequest, InvalidValue, Unsupported
from polystore.queries import Position, QueryPlan, Range, order_of
from polystore.records import Record
from polystore.schema import Collection, Index, check_key_part
from polystore.values import checked


@attrs.frozen(kw_only=True, eq=False)
class Asked:
    """The arguments of a query, as the application gave them."""

    prefix: tuple[Any, ...] = ()
    sort: Range | None = None
    index: str | None = None
    equals: Mapping[str, Any] = attrs.field(factory=dict)
    order: str = "asc"
    where: Condition | None = None
    limit: int | None = None
    allow_scan: bool = False


@attrs.frozen(kw_only=True, eq=False)
class Serving:
    """How a query is answered.

    Attributes:
        plan: what the driver is asked; ``None`` for a scan.
        filters: what is tested on each record after it was read.
        limit: most records.
        empty: no record can match: nothing need be asked.
        filtered: names of what is filtered after reading, for people.
    """

    plan: QueryPlan | None
    filters: Condition | None
    limit: int | None
    empty: bool = False
    filtered: tuple[str, ...] = ()

    def keeps(self, record: Record) -> bool:
        """Whether a record that was read belongs to the answer."""
        return self.filters is None or self.filters.holds(record)

    def position(self, record: Record) -> Position:
        """Where a record stands in the order of the query."""
        assert self.plan is not None
        names = self.plan.index.fields if self.plan.index else ()
        return Position(record.key, tuple(record[name] for name in names))


def serve(collection: Collection, asked: Asked) -> Serving:
    """Find what serves a query.

    Raises:
        Unsupported: neither the key nor a declared index does, and a scan is not allowed.
        InvalidRequest, InvalidKey, InvalidValue: the arguments contradict the declaration.
    """
    _check(asked)
    if asked.index is not None:
        return _by_index(collection, collection.index(asked.index), asked)
    _check_prefix(collection, asked)
    if asked.equals:
        return _scanned(collection, asked, _no_index(collection, asked))
    if len(asked.prefix) < collection.partition:
        return _scanned(collection, asked, _short_prefix(collection, asked))
    return _served(asked, QueryPlan(None, asked.prefix, asked.sort, order_of(asked.order)))


def _check(asked: Asked) -> None:
    order_of(asked.order)
    limit = asked.limit
    if limit is not None and (type(limit) is not int or limit < 1):
        raise InvalidRequest("limit must be a whole number of at least 1")
    if asked.where is not None and not isinstance(asked.where, Condition):
        raise InvalidRequest(
            f"where= takes a condition such as Field('total') > 10, not "
            f"{type(asked.where).__name__}"
        )
    if asked.sort is not None and not isinstance(asked.sort, Range):
        raise InvalidRequest("sort= takes a range such as Between(10, 20)")


def _check_prefix(collection: Collection, asked: Asked) -> None:
    """Whether the leading key parts, and the bounds of the next one, fit the declared key."""
    fields, prefix = collection.key, asked.prefix
    if len(prefix) > len(fields):
        raise InvalidKey(
            f"the key has {len(fields)} parts ({', '.join(collection.key_names)}), "
            f"not {len(prefix)}",
            collection=collection.name,
        )
    for field, part in zip(fields, prefix, strict=False):
        check_key_part(collection, field, part)
    if asked.sort is None:
        return
    if len(prefix) == len(fields):
        raise InvalidRequest("sort= bounds the key field after those given; there is none left")
    for bound in (asked.sort.low, asked.sort.high):
        if bound is not None:
            check_key_part(collection, fields[len(prefix)], bound[0])


def _by_index(collection: Collection, index: Index, asked: Asked) -> Serving:
    if asked.prefix:
        raise InvalidRequest(
            f"index {index.name!r} takes values by the names of its fields: "
            f"{', '.join(index.fields)}"
        )
    if asked.sort is not None:
        raise InvalidRequest("with an index a range goes to its field by name, not to sort=")
    values = {name: _indexed(name, value) for name, value in asked.equals.items()}
    leading = [name for name in index.fields[: len(values)] if name in values]
    ranged = [name for name, value in values.items() if isinstance(value, Range)]
    fits = len(leading) == len(values) and ranged in ([], leading[-1:]) and leading != ranged
    if not fits:
        return _scanned(collection, attrs.evolve(asked, equals=values), _misfit(index))
    bounds = values[ranged[0]] if ranged else None
    equals = tuple(values[name] for name in leading if name not in ranged)
    return _served(asked, QueryPlan(index, equals, bounds, order_of(asked.order)))


def _indexed(name: str, value: object) -> Any:
    """A value, or the bounds of a range, that an index may hold."""
    if isinstance(value, Range):
        ends = [bound for bound in (value.low, value.high) if bound is not None]
        types = {encode_ordered(_indexed(name, bound[0]))[0] for bound in ends}
        if len(types) > 1:
            raise InvalidRequest(
                f"{name}: the bounds of a range are of one type (int, float and Decimal are one), "
                f"not {' and '.join(type(bound[0]).__name__ for bound in ends)}"
            )
        return value
    copy = checked(value, name)
    if type(copy) not in SCALARS:
        raise InvalidValue(f"{name}: {type(copy).__name__} has no place in an index", path=name)
    return copy


def _served(asked: Asked, plan: QueryPlan) -> Serving:
    reach = span(plan, None)
    return Serving(
        plan=plan,
        filters=asked.where,
        limit=asked.limit,
        empty=reach.low >= reach.high,
        filtered=_names(asked.where),
    )


def _scanned(collection: Collection, asked: Asked, why: str) -> Serving:
    """The query as a scan that filters, if that is allowed."""
    if not asked.allow_scan:
        raise Unsupported(
            f"{why}; allow_scan=True reads the whole collection and filters",
            collection=collection.name,
        )
    if order_of(asked.order):
        raise Unsupported("a scan has no order: leave order= out", collection=collection.name)
    tests: list[Condition] = [
        Field(name) == part for name, part in zip(collection.key_names, asked.prefix, strict=False)
    ]
    if asked.sort is not None:
        tests.append(Within(collection.key_names[len(asked.prefix)], asked.sort))
    for name, value in asked.equals.items():
        ranged = isinstance(value, Range)
        tests.append(Within(name, value) if ranged else Test(name, "==", checked(value, name)))
    if asked.where is not None:
        tests.append(asked.where)
    filters = All(tuple(tests)) if tests else None
    return Serving(plan=None, filters=filters, limit=asked.limit, filtered=_names(filters))


@attrs.frozen
class Within(Condition):
    """True where a field is in a range, in the order that indexes have."""

    path: str
    range: Range

    def holds(self, record: Record | None) -> bool:
        return record is not None and within(self.range, record.get(self.path, []))


def _names(condition: object) -> tuple[str, ...]:
    """The fields that a condition looks at, without what it compares them with."""
    path = getattr(condition, "path", None)
    if isinstance(path, str):
        return (path,)
    if not attrs.has(type(condition)):
        return ()
    found: dict[str, None] = {}
    for field in attrs.fields(type(condition)):  # type: ignore[arg-type]  # asked above
        value = getattr(condition, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            found |= dict.fromkeys(_names(part))
    return tuple(found)


def _no_index(collection: Collection, asked: Asked) -> str:
    if asked.prefix:
        raise InvalidRequest(
            f"{', '.join(asked.equals)}: with key parts, use where= for what is filtered after "
            "reading"
        )
    serving = [i.name for i in collection.indexes if i.fields[0] in asked.equals]
    named = " or ".join(f"index={name!r}" for name in serving)
    fields = ", ".join(asked.equals)
    return f"{fields}: name the index, {named}" if named else f"no declared index serves {fields}"


def _short_prefix(collection: Collection, asked: Asked) -> str:
    partition = ", ".join(collection.key_names[: collection.partition])
    names = ", ".join(index.name for index in collection.indexes) or "none"
    return (
        f"a query needs the partition ({partition}), or an index (declared: {names}); "
        f"{len(asked.prefix)} key parts were given"
    )


def _misfit(index: Index) -> str:
    return (
        f"index {index.name!r} serves values of its leading fields, at least the first, and then "
        f"at most one range: {', '.join(index.fields)}"
    )
