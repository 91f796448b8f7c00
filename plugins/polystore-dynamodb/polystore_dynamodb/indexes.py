"""Secondary indexes: those that polystore makes, and those that a table had before. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

import attrs

from polystore.driver import Stored
from polystore.driver.keycodec import encode_key
from polystore.driver.ordering import encode_ordered
from polystore.driver.policies import OPTION, Policed, misplaced, policed
from polystore.errors import ConfigError
from polystore.schema import Collection
from polystore.values import RESERVED, Key
from polystore_dynamodb.codec import Item

NAMES, KEYS_ONLY = "gsi", "keys_only"
"""Options of a placement: names of native indexes; those that do not project all attributes."""

INDEX_OPTIONS = (OPTION, NAMES, KEYS_ONLY)

MOST = 20
MOST_RANGES = 4
"""Range attributes of one index; it has one hash attribute here, as queries give one value."""

_KINDS: Mapping[str, str] = MappingProxyType(
    {"str": "S", "bytes": "B", "number": "N", "datetime": "N"}
)
_KEY_TYPES: Mapping[type, str] = MappingProxyType({str: "str", int: "number", bytes: "bytes"})


@attrs.frozen
class OwnIndex:
    """An index over two reserved text attributes, which only the records that are in it have.

    ``hash`` holds the first field, ``range`` the other fields and then the key, both as text in
    the order of :mod:`polystore.driver.ordering`.
    """

    policed: Policed
    name: str
    hash: str
    range: str
    keys_only: ClassVar[bool] = False

    @property
    def key(self) -> tuple[tuple[str, str], ...]:
        """Its key attributes, each with its kind."""
        return ((self.hash, "S"), (self.range, "S"))

    def fill(self, item: Item, fields: Mapping[str, Any], key: Key) -> None:
        """Put a record into the index, if it belongs there."""
        if self.policed.entry(fields, key) is not None:
            values = [fields[name] for name in self.policed.index.fields]
            first, rest = self.texts(values, key)
            item[self.hash], item[self.range] = {"S": first}, {"S": rest}

    def holds(self, item: Item, record: Stored) -> bool:
        """Whether a record lies where it belongs: it may be older than the index as it is now."""
        there: Item = {}
        self.fill(there, record.fields or {}, record.key)
        return bool(there) and all(item[name] == text for name, text in there.items())

    def texts(self, values: Any, key: Key) -> tuple[str, str]:
        """The two texts for values of all the index's fields."""
        rest = "".join(map(encode_ordered, values[1:]))
        return encode_ordered(values[0]), rest + encode_key(key)


@attrs.frozen
class NativeIndex:
    """An index over the attributes of the fields themselves; every item that has them is in it.

    Attributes:
        policed: the declared index.
        name: what DynamoDB calls it.
        key: the attribute of each field, with its kind.
        types: the type of each field, a word of ``INDEX_TYPES``.
        keys_only: whether its items lack attributes, so that records are read by key.
    """

    policed: Policed
    name: str
    key: tuple[tuple[str, str], ...]
    types: tuple[str, ...]
    keys_only: bool

    def fill(self, item: Item, fields: Mapping[str, Any], key: Key) -> None:
        """Nothing to do: the fields are there."""


TableIndex: TypeAlias = OwnIndex | NativeIndex


def indexes_of(collection: Collection, attributes: Mapping[str, str]) -> tuple[TableIndex, ...]:
    """The indexes of a collection's table.

    Args:
        collection: what the table holds.
        attributes: attribute name by field name, where they differ.

    Raises:
        ConfigError: the placement asks for what DynamoDB cannot do.
    """
    if len(collection.indexes) > MOST:
        raise _wrong(collection, f"a table has at most {MOST} indexes")
    found = policed(collection, "dynamodb")
    native = [kept.index.name for kept in found if kept.native]
    placement = collection.placement("dynamodb")
    names, keys_only = placement.get(NAMES, {}), placement.get(KEYS_ONLY, [])
    if not isinstance(names, Mapping) or not all(type(n) is str and n for n in names.values()):
        raise _wrong(collection, f"{NAMES} is a table of names of indexes")
    if not isinstance(keys_only, list | tuple):
        raise _wrong(collection, f"{KEYS_ONLY} is a list of names of indexes")
    if odd := [name for name in (*names, *keys_only) if name not in native]:
        raise _wrong(
            collection,
            f"{odd}: {NAMES} and {KEYS_ONLY} are about indexes with the policy native (there are: "
            f"{', '.join(native) or 'none'})",
        )
    return tuple(
        _native(collection, kept, names, keys_only, attributes) if kept.native else _own(kept)
        for kept in found
    )


def _own(kept: Policed) -> OwnIndex:
    name = kept.index.name
    return OwnIndex(
        policed=kept,
        name=name if len(name) >= 3 else f"index-{name}",
        hash=f"_ps_x_{name}",
        range=f"_ps_y_{name}",
    )


def _native(
    collection: Collection,
    kept: Policed,
    names: Mapping[str, str],
    keys_only: Sequence[str],
    attributes: Mapping[str, str],
) -> NativeIndex:
    index = kept.index
    if len(index.fields) > 1 + MOST_RANGES:
        raise _wrong(
            collection,
            f"the native index {index.name!r} has {len(index.fields)} fields; DynamoDB's have a "
            f"hash and at most {MOST_RANGES} range attributes: use encode",
        )
    of_key = {field.name: _KEY_TYPES[field.type] for field in collection.key}
    types = []
    for name, declared in zip(index.fields, index.types, strict=True):
        kind = declared or of_key.get(name)
        if kind is None or kind not in _KINDS:
            raise _wrong(
                collection,
                f"the native index {index.name!r} needs the type of its field {name!r}, one of "
                f"{', '.join(_KINDS)}: declare it as '{name}:str', or use encode",
            )
        types.append(kind)
    return NativeIndex(
        policed=kept,
        name=names.get(index.name, index.name),
        key=tuple(
            (attributes.get(name, name), _KINDS[kind])
            for name, kind in zip(index.fields, types, strict=True)
        ),
        types=tuple(types),
        keys_only=index.name in keys_only,
    )


def is_reserved(name: str) -> bool:
    """Whether only polystore writes an attribute of this name."""
    return name.startswith(RESERVED)


def _wrong(collection: Collection, problem: str) -> ConfigError:
    return misplaced("dynamodb", collection, problem)
