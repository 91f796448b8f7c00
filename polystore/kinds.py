"""Kinds of values, as databases tell them apart: which of them a record holds, an example of each.

A kind is finer than a type only where a database here stores values of one type in two ways.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from polystore.values import GeoPoint, Ref, Value

_BY_TYPE: Mapping[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    Decimal: "decimal",
    str: "text",
    bytes: "bytes",
    datetime: "datetime",
    list: "list",
    dict: "map",
    GeoPoint: "point",
    Ref: "reference",
}

EXAMPLES: Mapping[str, Value] = {
    "null": None,
    "bool": True,
    "int": 17,
    "float": 1.5,
    "non-finite float": math.inf,
    "decimal": Decimal("9.50"),
    "text": "text",
    "bytes": b"bytes",
    "datetime": datetime(2024, 2, 29, 12, 0, 0, 17, tzinfo=UTC),
    "list": [17, "text"],
    "list in a list": [[17]],
    "map": {"a": 17},
    "point": GeoPoint(1.5, -2.5),
    "reference": Ref("orders", ("c1", 17)),
    "set of text": frozenset({"text"}),
    "set of bytes": frozenset({b"bytes"}),
    "set of int": frozenset({17}),
    "set of float": frozenset({1.5}),
    "set of decimal": frozenset({Decimal("9.50")}),
    "set of datetime": frozenset({datetime(2024, 2, 29, tzinfo=UTC)}),
    "empty set": frozenset(),
}
"""A value of each kind; all that it holds beside are kinds that every database has."""

KINDS = frozenset(EXAMPLES)
"""Every kind that there is."""


def kind_of(value: Any, *, in_list: bool = False) -> str:
    """The kind of a portable value; ``in_list`` says that it is an element of a list."""
    of = type(value)
    if of is float:
        return "float" if math.isfinite(value) else "non-finite float"
    if of is list and in_list:
        return "list in a list"
    if of is frozenset:
        member = next(iter(value), None)
        if member is None:
            return "empty set"
        return "set of float" if type(member) is float else f"set of {_BY_TYPE[type(member)]}"
    return _BY_TYPE[of]


def kinds_in(value: Any) -> set[str]:
    """The kinds of a value, and of all values inside it."""
    found: set[str] = set()
    _collect(value, False, found)
    return found


def _collect(value: Any, in_list: bool, found: set[str]) -> None:
    found.add(kind_of(value, in_list=in_list))
    if type(value) is dict:
        for item in value.values():
            _collect(item, False, found)
    elif type(value) is list:
        for item in value:
            _collect(item, True, found)
