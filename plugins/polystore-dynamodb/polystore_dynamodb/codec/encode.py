"""Values to attribute values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from math import copysign
from typing import Any

from polystore.driver.keycodec import encode_key
from polystore.values import GeoPoint, Ref, microseconds
from polystore_dynamodb.codec.hints import HINTS, Hints, Item, Path, Wire, add_hint

ESCAPE = "_ps_n"
"""Before a field name that the database, or this table, has no room for."""

N_DIGITS = 38
N_LEAST, N_MOST = -130, 125
"""Exponents of the first digit that N holds (database-facts 1.3)."""


def encode_fields(fields: Mapping[str, Any], names: Mapping[str, str]) -> Item:
    """A record's fields as attributes; ``names`` renames fields, the empty name among them."""
    item: Item = {}
    hints: Hints = {}
    for field, value in fields.items():
        name = names.get(field, field)
        kind = type(value)
        if kind is str:
            item[name] = {"S": value}
        elif kind is int:
            item[name] = {"N": str(value)}
        elif kind in _PLAIN:
            item[name] = _PLAIN[kind](value)
        else:
            item[name] = _HINTED[kind](value, (name,), hints)
    if hints:
        item[HINTS] = {"M": {tag: {"SS": paths} for tag, paths in hints.items()}}
    return item


def _encode(value: Any, path: Path, hints: Hints) -> Wire:
    plain = _PLAIN.get(type(value))
    return _HINTED[type(value)](value, path, hints) if plain is None else plain(value)


_PLAIN: dict[type, Callable[[Any], Wire]] = {
    str: lambda value: {"S": value},
    int: lambda value: {"N": str(value)},
    bool: lambda value: {"BOOL": value},
    type(None): lambda value: {"NULL": True},  # noqa: ARG005  # NULL has one form
    bytes: lambda value: {"B": value},
}


def _fits(value: float) -> bool:
    """Whether N holds this float; it has no −0.0, infinities or NaN."""
    if value == 0:
        return copysign(1.0, value) > 0
    return 1e-130 <= abs(value) < 1e126


def _float_form(value: float) -> Wire:
    return {"N" if _fits(value) else "S": repr(value)}


def _float(value: float, path: Path, hints: Hints) -> Wire:
    add_hint(hints, "f", path)
    return _float_form(value)


def _datetime_form(value: datetime) -> Wire:
    return {"N": str(microseconds(value))}


def _datetime(value: datetime, path: Path, hints: Hints) -> Wire:
    add_hint(hints, "t", path)
    return _datetime_form(value)


def _decimal_tag(value: Decimal) -> str:
    """``"d"`` if only text holds it, ``""`` if N does by itself, else the exponent it lacks."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    if not value:
        return "d" if sign else f"d{exponent}"
    if len(digits) > N_DIGITS or not N_LEAST <= value.adjusted() <= N_MOST:
        return "d"
    return "" if exponent < 0 and digits[-1] else f"d{exponent}"


def _decimal(value: Decimal, path: Path, hints: Hints) -> Wire:
    tag = _decimal_tag(value)
    if tag:
        add_hint(hints, tag, path)
    if tag == "d":
        return {"S": str(value)}
    return {"N": str(value) if value else "0"}


def _geo(value: GeoPoint, path: Path, hints: Hints) -> Wire:
    add_hint(hints, "g", path)
    return {"S": f"{value.latitude!r},{value.longitude!r}"}


def _ref(value: Ref, path: Path, hints: Hints) -> Wire:
    add_hint(hints, "k", path)
    return {"S": encode_key((value.collection, *value.key))}


def _list(value: list[Any], path: Path, hints: Hints) -> Wire:
    kinds = {type(item) for item in value} if len(value) > 1 else set()
    if len(kinds) == 1 and (form := _EVEN.get(next(iter(kinds)))):
        tag, encode = form
        add_hint(hints, tag, path)
        hints[tag][-1] += "/*"
        return {"L": [encode(item) for item in value]}
    return {"L": [_encode(item, (*path, str(i)), hints) for i, item in enumerate(value)]}


_EVEN: dict[type, tuple[str, Callable[[Any], Wire]]] = {
    float: ("f", _float_form),
    datetime: ("t", _datetime_form),
}
"""Types that need one hint for a whole list of them."""


def _map(value: dict[str, Any], path: Path, hints: Hints) -> Wire:
    form: Item = {}
    for field, item in value.items():
        name = field or ESCAPE
        plain = _PLAIN.get(type(item))
        if plain is None:
            form[name] = _HINTED[type(item)](item, (*path, name), hints)
        else:
            form[name] = plain(item)
    return {"M": form}


def _set(value: frozenset[Any], path: Path, hints: Hints) -> Wire:
    kind = type(next(iter(value), None))
    if kind is str:
        return {"SS": list(value)}
    if kind is int:
        return {"NS": [str(member) for member in value]}
    if kind is bytes:
        return {"BS": list(value)}
    if kind is datetime:
        add_hint(hints, "t", path)
        return {"NS": [str(microseconds(member)) for member in value]}
    if kind is float:
        add_hint(hints, "f", path)
        return {"NS" if all(map(_fits, value)) else "SS": [repr(member) for member in value]}
    if kind is Decimal:
        if not any(map(_decimal_tag, value)):
            return {"NS": [str(member) for member in value]}
        add_hint(hints, "d", path)
        return {"SS": [str(member) for member in value]}
    add_hint(hints, "u", path)
    return {"NULL": True}


_HINTED: dict[type, Callable[[Any, Path, Hints], Wire]] = {
    float: _float,
    Decimal: _decimal,
    datetime: _datetime,
    list: _list,
    dict: _map,
    frozenset: _set,
    GeoPoint: _geo,
    Ref: _ref,
}
