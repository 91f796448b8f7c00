"""Cursors: where a query or scan goes on, as opaque text that belongs to that query alone."""

from __future__ import annotations

import binascii
import json
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

import attrs

from polystore.conditions import Condition
from polystore.driver.keycodec import decode_key, encode_key
from polystore.errors import CursorExpired
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import GeoPoint, Ref, canonical, microseconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _bits(number: float) -> str:
    return struct.pack(">d", number).hex()


def _double(text: str) -> float:
    number: float = struct.unpack(">d", bytes.fromhex(text))[0]
    return number


_Coder = tuple[str, Callable[[Any], Any], Callable[[Any], Any]]
_CODERS: Mapping[type, _Coder] = MappingProxyType(
    {
        type(None): ("n", lambda _value: None, lambda _text: None),
        bool: ("t", bool, bool),
        int: ("i", str, int),
        float: ("f", _bits, _double),
        Decimal: ("d", str, Decimal),
        str: ("s", str, str),
        bytes: ("b", bytes.hex, bytes.fromhex),
        datetime: ("m", microseconds, lambda n: _EPOCH + timedelta(microseconds=n)),
        GeoPoint: (
            "g",
            lambda point: [_bits(point.latitude), _bits(point.longitude)],
            lambda texts: GeoPoint(_double(texts[0]), _double(texts[1])),
        ),
        Ref: (
            "r",
            lambda ref: [ref.collection, encode_key(ref.key)],
            lambda texts: Ref(texts[0], decode_key(texts[1])),
        ),
    }
)
_DECODERS = {tag: decode for tag, _, decode in _CODERS.values()}


def _encoded(value: Any) -> list[Any]:
    tag, encode, _ = _CODERS[type(value)]
    return [tag, encode(value)]


def _decoded(pair: list[Any]) -> Any:
    tag, text = pair
    return _DECODERS[tag](text)


def signature(collection: Collection, plan: QueryPlan | None, filters: Condition | None) -> str:
    """A short name of one query; limits are no part of it."""
    parts: list[Any] = [collection.name]
    if plan is not None:
        parts += [plan.index.name if plan.index else None, plan.descending, list(plan.equals)]
        parts.append(None if plan.range is None else _shape(plan.range))
    parts.append(None if filters is None else _shape(filters))
    return blake2b(canonical(parts), digest_size=9).hexdigest()


def _shape(thing: Any) -> list[Any]:
    """What an attrs record holds, as nested lists of plain values."""
    values = (getattr(thing, field.name) for field in attrs.fields(type(thing)))
    return [type(thing).__name__, *map(_plain, values)]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return _shape(value) if attrs.has(type(value)) and type(value) not in _CODERS else value


def position_text(query: str, position: Position) -> str:
    """The cursor of a query that goes on after a position."""
    return _text([query, encode_key(position.key), [_encoded(v) for v in position.values]])


def scan_text(query: str, cursor: str) -> str:
    """The cursor of a scan that goes on at the route's cursor."""
    return _text([query, cursor])


def position_of(query: str, text: str) -> Position:
    """The position in a cursor of this query.

    Raises:
        CursorExpired: it is a cursor of another query, or none at all.
    """
    parts = _parts(query, text, 3)
    try:
        return Position(decode_key(parts[1]), tuple(_decoded(pair) for pair in parts[2]))
    except (ArithmeticError, KeyError, TypeError, ValueError):
        raise _foreign() from None


def scan_cursor_of(query: str, text: str) -> str:
    """The route's cursor in a cursor of this scan. Raises CursorExpired as position_of does."""
    return str(_parts(query, text, 2)[1])


def _text(parts: list[Any]) -> str:
    data = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()
    return urlsafe_b64encode(data).decode().rstrip("=")


def _parts(query: str, text: str, count: int) -> list[Any]:
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        parts = json.loads(data)
    except (AttributeError, TypeError, ValueError, binascii.Error):
        raise _foreign() from None
    if not isinstance(parts, list) or len(parts) != count or parts[0] != query:
        raise _foreign()
    return parts


def _foreign() -> CursorExpired:
    return CursorExpired("this is no cursor of this query: begin again without one")
