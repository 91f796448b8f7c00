"""The order of keys and values in indexes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

from polystore_engines.datastore_stub.appengine import Message, datastore_types, gd, v3

REFERENCE = v3.PropertyValue.REFERENCEVALUE_FIELD_NUMBER
"""Begins every key value, so that keys sort after all other values."""

KeyValue: TypeAlias = tuple[Any, ...]
"""A key as a tuple that sorts as keys do: (23, project, namespace, kind, id, kind, id...)."""


KEYS_KEPT = 2000
"""Keys whose tuples are kept: those of a large commit, in each kind of message they come in."""


class Greatest:
    """Greater than every index component."""

    def __gt__(self, other: object) -> bool:
        return True

    def __lt__(self, other: object) -> bool:
        return False


GREATEST = Greatest()


class Descending:
    """A component of a descending index."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: object) -> bool:
        return bool(other.value < self.value) if isinstance(other, Descending) else True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment] # sorted, never looked up


def ascending(component: Any) -> Any:
    """The value of an index component, whichever way its index runs."""
    return component.value if isinstance(component, Descending) else component


def key_value(key: Message, id_resolver: object = None) -> KeyValue:  # noqa: ARG001 - as Google's
    """Google's ReferenceToKeyValue for all three kinds of key messages.

    Here ids and names of one kind compare, ids first; the original mixes int and str in one
    position of the tuple, which raises TypeError on Python 3. It runs a dozen times per write
    of the same few keys, hence the cache.
    """
    kind: Any = type(key)
    return _key_value(kind, key.SerializeToString())


@lru_cache(KEYS_KEPT)
def _key_value(kind: Any, serialized: bytes) -> KeyValue:
    key = kind.FromString(serialized)
    if isinstance(key, gd.Key):
        partition = key.partition_id
        value: list[Any] = [REFERENCE, partition.project_id, partition.namespace_id]
        for element in key.path:
            named = element.WhichOneof("id_type") == "name"
            value += (element.kind, (1, element.name) if named else (0, element.id))
        return tuple(value)
    value = [REFERENCE, key.app, key.name_space]
    for element in key.path.element if isinstance(key, v3.Reference) else key.pathelement:
        named = element.HasField("name")
        value += (element.type, (1, element.name) if named else (0, element.id))
    return tuple(value)


property_key: Any = datastore_types.PropertyValueToKeyValue
"""Google's sort key of a v3 value; it calls `key_value` for keys, once patched."""
