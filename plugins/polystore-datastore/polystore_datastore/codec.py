"""Values to Datastore's values and back. No I/O.

A value is stored in its native form. What Datastore has no type for is an entity value with the
property ``_ps_``, which says what it is, and ``v``:

====  =======================  =================================================
tag   value                    ``v``
====  =======================  =================================================
d     Decimal                  its text
l     list inside a list       none: the elements are properties ``0``, ``1``, …, since an array
                               would be one more level of the 20 that Datastore takes
u     frozenset                its members; ``ud`` where they are Decimals, as texts
r     Ref that fits no path    a list: the collection, then the parts of the key
====  =======================  =================================================

Every nested value is excluded from indexes by itself, as the service wants it, and every text or
bytes of more than 1500 bytes. A map's member ``__key__`` that is a ``Ref`` is the embedded
entity's own key.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import copysign, isnan
from typing import Any

from polystore.values import CANONICAL_NAN, RESERVED, GeoPoint, Ref, canonical, microseconds
from polystore_datastore.messages import Key, Message
from polystore_datastore.names import field_name, property_name
from polystore_datastore.refs import Partition, fill_ref, ref_of

INDEXED_BYTES = 1500
"""Longest indexed text or bytes; more is refused (…/datastore/docs/concepts/limits)."""

INDEXED_ELEMENTS = 1000
"""Longest list whose elements are indexed; an entity has at most 20,000 index entries."""

TAG, BODY = RESERVED, "v"
OWN_KEY = "__key__"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_long(value: str | bytes) -> bool:
    """Whether a text or bytes is too long for an index."""
    size = len(value)
    if size <= INDEXED_BYTES // 4:
        return False
    return size > INDEXED_BYTES or (type(value) is str and len(value.encode()) > INDEXED_BYTES)


def _is_negative_zero(number: float) -> bool:
    return number == 0 and copysign(1.0, number) < 0


class Codec:
    """The codec of one place; it needs to know which keys are of that place."""

    def __init__(self, home: Partition) -> None:
        self.home = home
        self._decoders: dict[str | None, Callable[[Message], Any]] = {
            None: lambda _: None,
            "null_value": lambda _: None,
            "boolean_value": lambda value: value.boolean_value,
            "integer_value": lambda value: value.integer_value,
            "double_value": _decode_float,
            "string_value": lambda value: value.string_value,
            "blob_value": lambda value: value.blob_value,
            "timestamp_value": _decode_moment,
            "geo_point_value": _decode_point,
            "key_value": self._decode_key,
            "array_value": self._decode_list,
            "entity_value": self._decode_entity,
        }
        self._encoders: dict[type, Callable[[Message, Any], None]] = {
            GeoPoint: _put_point,
            Ref: self._put_ref,
            Decimal: lambda value, number: _put_text(_tagged(value, "d"), str(number)),
            frozenset: self._put_set,
            dict: self._put_map,
        }

    def is_native(self, value: Any) -> bool:
        """Whether an index can hold the native form of a value, in the order of values.

        Datastore's order has one zero, and NaN above all floats.
        """
        kind = type(value)
        if kind is float:
            return not (isnan(value) or _is_negative_zero(value))
        if kind is GeoPoint:
            return not (_is_negative_zero(value.latitude) or _is_negative_zero(value.longitude))
        return kind is not Decimal and (kind is not Ref or self.has_path(value))

    def has_path(self, ref: Ref) -> bool:
        """Whether a reference is stored as a key value."""
        return fill_ref(self.home, ref, Key())

    def put(self, value: Message, x: Any, indexed: bool) -> None:
        """Fill the message ``value`` with ``x``.

        Args:
            value: an empty ``Value``.
            x: a portable value.
            indexed: whether it, or the elements of a list of scalars, go into indexes.
        """
        kind = type(x)
        if kind is str:
            value.string_value = x
            indexed = indexed and not is_long(x)
        elif kind is int:
            value.integer_value = x
        elif kind is bool:
            value.boolean_value = x
        elif x is None:
            value.null_value = 0
        elif kind is float:
            value.double_value = x
        elif kind is bytes:
            value.blob_value = x
            indexed = indexed and not is_long(x)
        elif kind is datetime:
            _put_moment(value, x)
        elif kind is list:
            self._put_list(value, x, indexed)
            return
        else:
            self._encoders[kind](value, x)
            indexed = indexed and (kind is GeoPoint or value.HasField("key_value"))
        if not indexed:
            value.exclude_from_indexes = True

    def get(self, value: Message) -> Any:
        """The portable value that a message holds."""
        return self._decoders[value.WhichOneof("value_type")](value)

    def get_map(self, properties: Message) -> dict[str, Any]:
        """All properties as fields."""
        decoders = self._decoders
        return {
            name if name[:1] != "_" else field_name(name): decoders[value.WhichOneof("value_type")](
                value
            )
            for name, value in properties.items()
        }

    def _put_list(self, value: Message, items: list[Any], indexed: bool) -> None:
        """All elements are indexed, or none: else Datastore would not keep their order."""
        array = value.array_value
        array.SetInParent()
        indexed = indexed and len(items) <= INDEXED_ELEMENTS and all(map(self._is_plain, items))
        for item in items:
            element = array.values.add()
            if type(item) is list:
                self._put_inner_list(element, item)
            else:
                self.put(element, item, indexed)

    def _put_inner_list(self, value: Message, items: list[Any]) -> None:
        properties = _marked(value, "l")
        for i, item in enumerate(items):
            self.put(properties[str(i)], item, False)
        value.exclude_from_indexes = True

    def _is_plain(self, item: Any) -> bool:
        kind = type(item)
        if kind is str or kind is bytes:
            return not is_long(item)
        return kind not in (list, dict, Decimal, frozenset) and (
            kind is not Ref or self.has_path(item)
        )

    def _put_map(self, value: Message, fields: dict[str, Any]) -> None:
        entity = value.entity_value
        entity.SetInParent()
        for name, item in fields.items():
            if name == OWN_KEY and type(item) is Ref and fill_ref(self.home, item, entity.key):
                continue
            self.put(entity.properties[property_name(name)], item, False)

    def _put_ref(self, value: Message, ref: Ref) -> None:
        if not fill_ref(self.home, ref, value.key_value):
            self._put_list(_tagged(value, "r"), [ref.collection, *ref.key], False)

    def _put_set(self, value: Message, members: frozenset[Any]) -> None:
        items = sorted(members, key=canonical)
        decimals = bool(items) and type(items[0]) is Decimal
        body = _tagged(value, "ud" if decimals else "u")
        self._put_list(body, list(map(str, items)) if decimals else items, False)

    def _decode_key(self, value: Message) -> Ref | None:
        return ref_of(self.home, value.key_value)

    def _decode_list(self, value: Message) -> list[Any]:
        decoders = self._decoders
        return [decoders[v.WhichOneof("value_type")](v) for v in value.array_value.values]

    def _decode_entity(self, value: Message) -> Any:
        entity = value.entity_value
        properties = entity.properties
        if TAG in properties:
            return self._decode_tagged(properties[TAG].string_value, properties)
        fields = self.get_map(properties)
        if entity.HasField("key"):
            own = ref_of(self.home, entity.key)
            if own is not None:
                fields[OWN_KEY] = own
        return fields

    def _decode_tagged(self, tag: str, properties: Message) -> Any:
        if tag == "l":
            return [self.get(properties[str(i)]) for i in range(len(properties) - 1)]
        body = properties[BODY]
        if tag == "d":
            return Decimal(body.string_value)
        items = self._decode_list(body)
        if tag == "r":
            return Ref(items[0], tuple(items[1:]))
        return frozenset(map(Decimal, items)) if tag == "ud" else frozenset(items)


def _marked(value: Message, tag: str) -> Message:
    """Make ``value`` a tag entity; its properties."""
    properties = value.entity_value.properties
    mark = properties[TAG]
    mark.string_value = tag
    mark.exclude_from_indexes = True
    return properties


def _tagged(value: Message, tag: str) -> Message:
    """Make ``value`` a tag entity; its empty body."""
    return _marked(value, tag)[BODY]


def _put_text(body: Message, text: str) -> None:
    body.string_value = text
    body.exclude_from_indexes = True


def _put_moment(value: Message, moment: datetime) -> None:
    seconds, micros = divmod(microseconds(moment), 1_000_000)
    stamp = value.timestamp_value
    stamp.SetInParent()
    stamp.seconds = seconds
    stamp.nanos = micros * 1000


def _put_point(value: Message, point: GeoPoint) -> None:
    native = value.geo_point_value
    native.SetInParent()
    native.latitude = point.latitude
    native.longitude = point.longitude


def _decode_float(value: Message) -> float:
    number: float = value.double_value
    return CANONICAL_NAN if isnan(number) else number


def _decode_moment(value: Message) -> datetime:
    stamp = value.timestamp_value
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def _decode_point(value: Message) -> GeoPoint:
    point = value.geo_point_value
    return GeoPoint(point.latitude, point.longitude)
