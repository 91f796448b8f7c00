"""Filters that Google's v3 query cannot express: IN, NOT_IN, !=, OR, several inequalities."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from polystore_engines.datastore_stub.appengine import INEQUALITIES, Message, Op, v3
from polystore_engines.datastore_stub.entities import CONVERTER
from polystore_engines.datastore_stub.errors import need
from polystore_engines.datastore_stub.limits import MAX_DISJUNCTIONS, MAX_NOT_IN
from polystore_engines.datastore_stub.ordering import property_key
from polystore_engines.datastore_stub.tables import Test, Values

AND, OR = 1, 2
"""google.datastore.v1.CompositeFilter.Operator."""

V3_OPERATORS = INEQUALITIES | {Op.EQUAL, Op.HAS_ANCESTOR}

COMPARE: dict[int, Callable[[Any, Any], bool]] = {
    Op.EQUAL: operator.eq,
    Op.NOT_EQUAL: operator.ne,
    Op.LESS_THAN: operator.lt,
    Op.LESS_THAN_OR_EQUAL: operator.le,
    Op.GREATER_THAN: operator.gt,
    Op.GREATER_THAN_OR_EQUAL: operator.ge,
}


def plan_filter(query: Message) -> Test | None:
    """Leaves in a v1 query what v3 understands, and returns a test for the rest.

    Args:
        query: changed in place; it also gets the order that the rest implies.

    Returns:
        None when nothing is left over.
    """
    if not query.HasField("filter"):
        return None
    need(
        disjunctions(query.filter) <= MAX_DISJUNCTIONS,
        f"The query has more than {MAX_DISJUNCTIONS} disjunctions.",
    )
    nodes = list(_conjuncts(query.filter))
    simple = [n for n in nodes if _is_property(n) and n.property_filter.op in V3_OPERATORS]
    ranged = [n for n in simple if n.property_filter.op in INEQUALITIES]
    rest = [n for n in nodes if n not in simple]
    if not rest and _one_ordered_range(ranged, query.order):
        return None
    compiler = Compiler()
    tests = [compiler.compile(node) for node in rest + ranged]
    compiler.check()
    _replace_filter(query, [n for n in simple if n not in ranged])
    if not query.order:  # implied: the inequality properties by name
        for name in sorted(compiler.inequalities):
            query.order.add().property.name = name
    return lambda values: all(test(values) for test in tests)


def disjunctions(node: Message) -> int:
    """How many alternatives a filter has in disjunctive normal form."""
    if _is_property(node):
        f = node.property_filter
        return len(f.value.array_value.values) if f.op == Op.IN else 1
    parts = [disjunctions(sub) for sub in node.composite_filter.filters]
    return math.prod(parts) if node.composite_filter.op == AND else sum(parts)


def _is_property(node: Message) -> bool:
    return bool(node.WhichOneof("filter_type") == "property_filter")


def _conjuncts(node: Message) -> Iterator[Message]:
    if node.WhichOneof("filter_type") == "composite_filter" and node.composite_filter.op == AND:
        need(node.composite_filter.filters, "A composite filter must have at least one sub-filter.")
        for sub in node.composite_filter.filters:
            yield from _conjuncts(sub)
    else:
        yield node


def _one_ordered_range(ranged: list[Message], order: Message) -> bool:
    """Whether all inequalities are on one property, the first in the order: all v3 can do."""
    names = {n.property_filter.property.name for n in ranged}
    if not names or (len(names) == 1 and not order):
        return True
    return names == {o.property.name for o in order[:1]}


def _replace_filter(query: Message, nodes: list[Message]) -> None:
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    query.ClearField("filter")
    if kept:
        query.filter.composite_filter.op = AND
        query.filter.composite_filter.filters.extend(kept)


@attrs.define
class Compiler:
    """Makes tests of filters, and notes what the whole query is then checked for.

    Attributes:
        operators: those met.
        inequalities: properties under an inequality, NOT_IN and != among them.
    """

    operators: set[int] = attrs.field(factory=set)
    inequalities: set[str] = attrs.field(factory=set)

    def check(self) -> None:
        """Refuses combinations of operators that the service refuses."""
        need(
            Op.NOT_IN not in self.operators or not self.operators & {Op.IN, Op.NOT_EQUAL},
            "NOT_IN cannot be combined with IN or !=.",
        )

    def compile(self, node: Message) -> Test:
        """The test of one filter."""
        kind = node.WhichOneof("filter_type")
        need(kind, "A filter must have exactly one of its fields set.")
        if kind == "property_filter":
            return self._property_test(node.property_filter)
        subs = [self.compile(sub) for sub in node.composite_filter.filters]
        need(subs, "A composite filter must have at least one sub-filter.")
        mode = any if node.composite_filter.op == OR else all
        return lambda values: mode(sub(values) for sub in subs)

    def _property_test(self, f: Message) -> Test:
        self.operators.add(f.op)
        if f.op in (Op.IN, Op.NOT_IN):
            return self._membership_test(f)
        need(
            not f.value.HasField("array_value"), "Array values are only allowed with IN and NOT_IN."
        )
        name, operand = f.property.name, _operand(f.value)
        if f.op == Op.HAS_ANCESTOR:
            return lambda values: values["__key__"][0][: len(operand)] == operand
        need(f.op in COMPARE, "Unknown filter operator.")
        if f.op != Op.EQUAL:
            self.inequalities.add(name)
        compare = COMPARE[f.op]
        return _any_value(name, lambda value: compare(value, operand))

    def _membership_test(self, f: Message) -> Test:
        need(
            f.value.HasField("array_value") and f.value.array_value.values,
            "IN and NOT_IN need a non-empty array value.",
        )
        listed = [_operand(v) for v in f.value.array_value.values]
        if f.op == Op.IN:
            return _any_value(f.property.name, lambda value: value in listed)
        need(len(listed) <= MAX_NOT_IN, f"NOT_IN supports up to {MAX_NOT_IN} comparison values.")
        self.inequalities.add(f.property.name)
        return _any_value(f.property.name, lambda value: value not in listed)


def _any_value(name: str, accepts: Callable[[Any], bool]) -> Test:
    """A property with a list matches when one of its values does."""

    def test(values: Values) -> bool:
        return any(accepts(value) for value in values.get(name, ()))

    return test


def _operand(value: Message) -> tuple[Any, ...]:
    prop = v3.Property()
    CONVERTER.v1_to_v3_property("p", False, False, value, prop)
    return tuple(property_key(prop.value))
