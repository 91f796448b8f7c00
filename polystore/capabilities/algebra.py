"""The meet of two descriptors, and the order that it comes from.

Both go over the fields of the records, so that a field added to a descriptor is met like the
others and can never be forgotten: a number by the smaller, a rule by the weaker, a set or mapping
by what both have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import attrs

from polystore.capabilities.terms import Limit, Rule

T = TypeVar("T", bound=attrs.AttrsInstance)


def meet(a: T, b: T) -> T:
    """What holds on both sides: idempotent, commutative, associative, no stronger than either.

    Args:
        a: a descriptor, or one group of it.
        b: another of the same class.
    """
    return type(a)(
        **{
            field.name: _lesser(field.name, getattr(a, field.name), getattr(b, field.name))
            for field in attrs.fields(type(a))
        }
    )


def at_most(a: attrs.AttrsInstance, b: attrs.AttrsInstance) -> bool:
    """Whether ``a`` promises no more than ``b``: what ``a`` holds, ``b`` holds."""
    return all(within(path, x, y) for (path, x), (_, y) in zip(leaves(a), leaves(b), strict=True))


def leaves(record: attrs.AttrsInstance, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every promise of a descriptor with its path, such as ``("keys.int_min", 1)``."""
    for field in attrs.fields(type(record)):
        value = getattr(record, field.name)
        if attrs.has(type(value)) and not isinstance(value, Limit):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value


def within(path: str, one: Any, other: Any) -> bool:
    """Whether the promise ``one`` is no more than the promise ``other``, both at ``path``."""
    name = path.rpartition(".")[2]
    if name == "int_min":
        return bool(one >= other)
    if name == "int_max":
        return bool(one <= other)
    if isinstance(one, Rule):
        return bool(one.strength <= other.strength)
    if isinstance(one, frozenset):
        return bool(one <= other)
    if isinstance(one, Mapping):
        return all(key in other and within(path, one[key], other[key]) for key in one)
    return other is None or (one is not None and bool(one.most <= other.most))


def _lesser(name: str, one: Any, other: Any) -> Any:
    if name in _BY_NAME:
        return _BY_NAME[name](one, other)
    if isinstance(one, Rule):
        return min(one, other, key=lambda rule: rule.strength)
    if isinstance(one, frozenset):
        return one & other
    if isinstance(one, Mapping):
        return {key: _lesser(name, one[key], other[key]) for key in one if key in other}
    if one is None or isinstance(one, Limit):
        return _smaller(one, other)
    return meet(one, other)


def _smaller(one: Limit | None, other: Limit | None) -> Limit | None:
    if one is None or other is None:
        return other if one is None else one
    # The texts decide between equal numbers, so that the order of the sides never does.
    return min(one, other, key=attrs.astuple)


_BY_NAME: Mapping[str, Callable[[int, int], int]] = {"int_min": max, "int_max": min}
