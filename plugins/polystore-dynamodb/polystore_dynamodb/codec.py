"""Values to DynamoDB's attribute values and back. No I/O, no SDK.

A value is stored in its native form: str S, int N, bool BOOL, ``None`` NULL, bytes B, list L,
dict M, sets SS NS BS. Where the native form does not tell which value it was, the attribute
``_ps_t`` does: a map from a tag to the set of paths that have it. It names

====  ==============================  ==========================================
tag   value                           form
====  ==============================  ==========================================
f     float                           N by ``repr``; S where N cannot hold it
dE    Decimal with exponent E         N, where N alone would lose the exponent
d     Decimal                         S, where N cannot hold it
t     datetime                        N, microseconds since 1970
g     GeoPoint                        S, ``latitude,longitude``
k     Ref                             S, encoded key, the collection first
u     empty set                       NULL
====  ==============================  ==========================================

``f``, ``d`` and ``t`` also stand at sets. A path is a JSON pointer without its first slash, made
of the names as they are stored; ``*`` as the last step means every element of a list. A hint that
does not fit what stands there (another writer changed it) is left aside.

Without a hint an N is an int if it is integral and of 64 bits, and otherwise a Decimal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Context, Decimal
from math import copysign, isnan
from typing import Any, TypeAlias

from polystore.driver.keycodec import decode_key, encode_key
from polystore.errors import InvalidRequest
from polystore.values import (
    CANONICAL_NAN,
    INT_MAX,
    INT_MIN,
    RESERVED,
    Fields,
    GeoPoint,
    Ref,
    microseconds,
)

Wire: TypeAlias = dict[str, Any]
"""An attribute value, such as ``{"S": "text"}``; bytes are bytes."""

Item: TypeAlias = dict[str, Wire]
Path: TypeAlias = tuple[str, ...]
Hints: TypeAlias = dict[str, list[str]]

HINTS = "_ps_t"
ESCAPE = "_ps_n"
"""Before a field name that the database, or this table, has no room for."""

N_DIGITS = 38
N_LEAST, N_MOST = -130, 125
"""Exponents of the first digit that N holds (database-facts 1.3)."""

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_EXACT = Context(prec=400, Emin=-999_999, Emax=999_999, traps=[])
_ALL = None
"""The step ``*`` in a tree of hints."""


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


def _hint(hints: Hints, tag: str, path: Path) -> None:
    pointer = "/".join(step if step.isidentifier() else _escaped(step) for step in path)
    hints.setdefault(tag, []).append(pointer)


def _escaped(step: str) -> str:
    if step == "*":
        return "~2"
    return step.replace("~", "~0").replace("/", "~1")


def _unescaped(step: str) -> str:
    if "~" not in step:
        return step
    return "*" if step == "~2" else step.replace("~1", "/").replace("~0", "~")


def _fits(value: float) -> bool:
    """Whether N holds this float; it has no −0.0, infinities or NaN."""
    if value == 0:
        return copysign(1.0, value) > 0
    return 1e-130 <= abs(value) < 1e126


def _float_form(value: float) -> Wire:
    return {"N" if _fits(value) else "S": repr(value)}


def _float(value: float, path: Path, hints: Hints) -> Wire:
    _hint(hints, "f", path)
    return _float_form(value)


def _datetime_form(value: datetime) -> Wire:
    return {"N": str(microseconds(value))}


def _datetime(value: datetime, path: Path, hints: Hints) -> Wire:
    _hint(hints, "t", path)
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
        _hint(hints, tag, path)
    if tag == "d":
        return {"S": str(value)}
    return {"N": str(value) if value else "0"}


def _geo(value: GeoPoint, path: Path, hints: Hints) -> Wire:
    _hint(hints, "g", path)
    return {"S": f"{value.latitude!r},{value.longitude!r}"}


def _ref(value: Ref, path: Path, hints: Hints) -> Wire:
    _hint(hints, "k", path)
    return {"S": encode_key((value.collection, *value.key))}


def _list(value: list[Any], path: Path, hints: Hints) -> Wire:
    kinds = {type(item) for item in value} if len(value) > 1 else set()
    if len(kinds) == 1 and (form := _EVEN.get(next(iter(kinds)))):
        tag, encode = form
        _hint(hints, tag, path)
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
        _hint(hints, "t", path)
        return {"NS": [str(microseconds(member)) for member in value]}
    if kind is float:
        _hint(hints, "f", path)
        return {"NS" if all(map(_fits, value)) else "SS": [repr(member) for member in value]}
    if kind is Decimal:
        if not any(map(_decimal_tag, value)):
            return {"NS": [str(member) for member in value]}
        _hint(hints, "d", path)
        return {"SS": [str(member) for member in value]}
    _hint(hints, "u", path)
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


def decode_fields(item: Item, fields: Mapping[str, str]) -> Fields:
    """The fields of an item; ``fields`` renames attributes. Reserved attributes are left out."""
    hints = item.get(HINTS)
    tree = {} if hints is None else _tree(hints)
    record: Fields = {}
    for attribute, wire in item.items():
        name = fields.get(attribute, attribute)
        if name[:4] == RESERVED:
            continue
        ((kind, raw),) = wire.items()
        if attribute in tree:
            record[name] = _hinted(kind, raw, tree[attribute])
        elif kind == "S":
            record[name] = raw
        elif kind == "N":
            record[name] = _number(raw)
        else:
            record[name] = _DECODERS[kind](raw)
    return record


def _tree(hints: Wire) -> dict[Any, Any]:
    """Hints by step: a tag, or the hints below. What has another form than ours is no hint."""
    tree: dict[Any, Any] = {}
    for tag, paths in hints.get("M", {}).items():
        for path in paths.get("SS", ()):
            if "/" not in path:
                tree[_unescaped(path)] = tag
                continue
            *steps, last = path.split("/")
            below = tree
            for step in steps:
                below = below.setdefault(_unescaped(step), {})
            below[_ALL if last == "*" else _unescaped(last)] = tag
    return tree


def _number(text: str) -> int | Decimal:
    try:
        number = int(text)
    except ValueError:
        return Decimal(text)
    return number if INT_MIN <= number <= INT_MAX else Decimal(text)


def _numbers(texts: list[str]) -> frozenset[Any]:
    numbers = [_number(text) for text in texts]
    if all(type(number) is int for number in numbers):
        return frozenset(numbers)
    return frozenset(map(Decimal, texts))


def decode_value(wire: Wire) -> Any:
    """One attribute value that has no hint."""
    ((kind, raw),) = wire.items()
    return _DECODERS[kind](raw)


def _plain_map(raw: Item) -> Fields:
    return {"" if name == ESCAPE else name: decode_value(wire) for name, wire in raw.items()}


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "S": lambda raw: raw,
    "N": _number,
    "BOOL": lambda raw: raw,
    "NULL": lambda raw: None,  # noqa: ARG005  # NULL has one form
    "B": lambda raw: raw,
    "L": lambda raw: [decode_value(wire) for wire in raw],
    "M": _plain_map,
    "SS": frozenset,
    "NS": _numbers,
    "BS": frozenset,
}


def _hinted(kind: str, raw: Any, hint: Any) -> Any:
    """One value by its hint, or without it where the hint does not fit."""
    if type(hint) is dict:
        return _below(kind, raw, hint)
    read = _READERS.get((hint[:1], kind))
    if read is None:
        return _DECODERS[kind](raw)
    try:
        return read(raw, hint)
    except (ValueError, ArithmeticError, InvalidRequest):
        return _DECODERS[kind](raw)


def _below(kind: str, raw: Any, hints: dict[Any, Any]) -> Any:
    if kind == "L":
        every = hints.get(_ALL)
        return [_step(wire, hints.get(str(i), every)) for i, wire in enumerate(raw)]
    if kind == "M":
        return {
            "" if name == ESCAPE else name: _step(wire, hints.get(name))
            for name, wire in raw.items()
        }
    return _DECODERS[kind](raw)


def _step(wire: Wire, hint: Any) -> Any:
    ((kind, raw),) = wire.items()
    return _DECODERS[kind](raw) if hint is None else _hinted(kind, raw, hint)


def _read_float(raw: str, _tag: str) -> float:
    number = float(raw)
    return CANONICAL_NAN if isnan(number) else number


def _read_decimal(raw: str, tag: str) -> Decimal:
    number = Decimal(raw)
    if tag == "d":
        return number
    exact = number.quantize(Decimal((0, (1,), int(tag[1:]))), context=_EXACT)
    if exact != number:
        raise ValueError("written by another writer: more digits than the hint says")
    return exact


def _read_datetime(raw: str, _tag: str) -> datetime:
    return _EPOCH + timedelta(microseconds=int(raw))


def _read_geo(raw: str, _tag: str) -> GeoPoint:
    latitude, longitude = raw.split(",")
    return GeoPoint(float(latitude), float(longitude))


def _read_ref(raw: str, _tag: str) -> Ref:
    collection, *key = decode_key(raw)
    return Ref(collection, tuple(key))  # type: ignore[arg-type]  # checked by Ref itself


def _each(read: Callable[[str, str], Any]) -> Callable[[list[str], str], frozenset[Any]]:
    return lambda raw, tag: frozenset(read(member, tag) for member in raw)


def _read_empty(_raw: Any, _tag: str) -> frozenset[Any]:
    return frozenset()


_READERS: dict[tuple[str, str], Callable[[Any, str], Any]] = {
    ("f", "N"): _read_float,
    ("f", "S"): _read_float,
    ("f", "NS"): _each(_read_float),
    ("f", "SS"): _each(_read_float),
    ("d", "N"): _read_decimal,
    ("d", "S"): _read_decimal,
    ("d", "SS"): _each(_read_decimal),
    ("t", "N"): _read_datetime,
    ("t", "NS"): _each(_read_datetime),
    ("g", "S"): _read_geo,
    ("k", "S"): _read_ref,
    ("u", "NULL"): _read_empty,
}
