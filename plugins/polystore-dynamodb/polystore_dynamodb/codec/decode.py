"""Attribute values to values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Context, Decimal
from math import isnan
from typing import Any

from polystore.driver.bookkeeping import PACKED
from polystore.driver.keycodec import decode_key
from polystore.errors import InvalidRequest
from polystore.values import CANONICAL_NAN, INT_MAX, INT_MIN, RESERVED, Fields, GeoPoint, Ref
from polystore_dynamodb.codec.encode import ESCAPE
from polystore_dynamodb.codec.hints import EACH, HINTS, Item, Wire, hint_tree

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_EXACT = Context(prec=400, Emin=-999_999, Emax=999_999, traps=[])


def decode_fields(item: Item, fields: Mapping[str, str]) -> Fields:
    """The fields of an item; ``fields`` renames attributes. Only ``_ps_z`` is reserved and kept."""
    hints = item.get(HINTS)
    tree = {} if hints is None else hint_tree(hints)
    record: Fields = {}
    for attribute, wire in item.items():
        name = fields.get(attribute, attribute)
        if name[:4] == RESERVED and name != PACKED:
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
        every = hints.get(EACH)
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
