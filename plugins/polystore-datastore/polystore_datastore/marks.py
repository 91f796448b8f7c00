"""Marks that others left on an entity's values, and that a record has no place for. No I/O.

A value may be excluded from indexes, and may have a ``meaning`` (text, compressed, …). Whoever
writes an entity again after a look at it (an update, a transaction, every write of a migration)
keeps both: the token of what was seen carries the entity.
"""

from __future__ import annotations

from collections.abc import Iterable

from polystore.driver import Token
from polystore.values import RESERVED
from polystore_datastore.codec import is_long
from polystore_datastore.messages import Entity, Message
from polystore_datastore.names import property_name

_OF_ANY_VALUE = frozenset({15, 22})
"""Text and compressed bytes: the meanings that bound neither size nor range of a value."""


class Version(int):
    """An entity's version, which compares its state, with the properties that it was seen with."""

    properties: Message


def seen(version: int, properties: Message) -> Version:
    """The token of an entity that was read."""
    token = Version(version)
    token.properties = properties
    return token


def passed_on(version: int, before: Token) -> Token:
    """The token of an entity that was just written over one that was seen: its marks go with it."""
    if type(before) is not Version:
        return version
    marked = Entity()
    for name, value in before.properties.items():
        if not name.startswith(RESERVED) and _is_marked(value):
            marked.properties[name].CopyFrom(value)
    return seen(version, marked.properties) if marked.properties else version


def _is_marked(value: Message) -> bool:
    return is_excluded(value) or any(one.meaning for one in _flat(value))


def keep_marks(before: Message, after: Message, indexed: Iterable[str]) -> None:
    """Mark properties as they were marked before.

    Args:
        before: the properties that are there.
        after: those that take their place.
        indexed: fields that are indexed whatever they were before.
    """
    kept = {property_name(field) for field in indexed}
    for name, old in before.items():
        if name in after and name not in kept and not name.startswith(RESERVED):
            _keep(old, after[name])


def is_excluded(value: Message) -> bool:
    """Whether others excluded a value, or an element of it, for no reason that it gives itself."""
    return any(one.exclude_from_indexes and _is_indexable(one) for one in _flat(value))


def _keep(old: Message, new: Message) -> None:
    olds, news = _flat(old), _flat(new)
    if is_excluded(old):
        for value in news:  # Datastore keeps the order of elements only where all are excluded
            value.exclude_from_indexes = True
    for one, other in zip(olds, news, strict=False):
        kind = one.WhichOneof("value_type")
        if one.meaning and kind == other.WhichOneof("value_type"):
            unchanged = getattr(one, kind) == getattr(other, kind)
            if unchanged or one.meaning in _OF_ANY_VALUE:
                other.meaning = one.meaning
                other.exclude_from_indexes |= one.exclude_from_indexes


def _flat(value: Message) -> list[Message]:
    """The elements of an array, which have the marks; else the value itself."""
    if value.WhichOneof("value_type") == "array_value":
        return list(value.array_value.values)
    return [value]


def _is_indexable(value: Message) -> bool:
    """Whether Datastore's indexes could have it."""
    kind = value.WhichOneof("value_type")
    if kind in ("string_value", "blob_value"):
        return not is_long(getattr(value, kind))
    return bool(kind != "entity_value")
