"""How a collection lies in DynamoDB: its table, its key attributes, its indexes. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from polystore.driver.keycodec import decode_key, encode_key
from polystore.driver.policies import misplaced
from polystore.errors import ConfigError, InvalidKey
from polystore.schema import Collection, Index, KeyField
from polystore.values import INT_MAX, INT_MIN, RESERVED, Key
from polystore_dynamodb.codec import ESCAPE, Item, Wire
from polystore_dynamodb.indexes import INDEX_OPTIONS, TableIndex, indexes_of

OPTIONS = ("table", "hash", "range", "ttl", *INDEX_OPTIONS)
NO_FIELD = "_ps_k"
TTL = "_ps_ttl"
"""The one reserved name that ``ttl`` may be."""

ATTRIBUTE_BYTES = 255
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}\Z")
_KINDS: Mapping[type, str] = MappingProxyType({str: "S", int: "N", bytes: "B"})
_FORMS: Mapping[str, Callable[[Any], Wire]] = MappingProxyType(
    {
        "S": lambda part: {"S": part},
        "N": lambda part: {"N": str(part)},
        "B": lambda part: {"B": part},
    }
)


@attrs.frozen
class KeyAttribute:
    """One key attribute of the table, and the parts of a key that it holds.

    Attributes:
        name: the attribute.
        kind: ``S``, ``N`` or ``B``.
        start, stop: the parts of the key that it holds.
        field: the key field that it holds natively; ``None`` where it holds encoded text.
    """

    name: str
    kind: str
    start: int
    stop: int
    field: KeyField | None

    def wire(self, key: tuple[Any, ...]) -> Wire:
        """The attribute value for a key."""
        if self.field is None:
            return {"S": encode_key(key[self.start : self.stop])}
        return _FORMS[self.kind](key[self.start])

    def parts(self, wire: Wire) -> Key:
        """The parts of the key that this attribute value holds.

        Raises:
            InvalidKey: another writer's value, which is no key of this collection.
        """
        raw = wire[self.kind]
        try:
            if self.field is None:
                parts = decode_key(raw)
                if len(parts) == self.stop - self.start:
                    return parts
            elif self.kind != "N":
                return (raw,)
            elif INT_MIN <= (number := int(raw)) <= INT_MAX:
                return (number,)
        except ValueError:
            pass
        raise InvalidKey(
            f"the key attribute {self.name!r} of an item holds no key of this collection; it was "
            "written by another program"
        )


@attrs.frozen(eq=False)
class Table:
    """A collection's table.

    Attributes:
        collection: what it holds.
        name: the table's name, prefix included.
        hash, range: its key attributes.
        indexes: its secondary indexes.
        ttl: the attribute by which DynamoDB removes items, if it is to.
        attributes: attribute name by field name, where they differ.
        fields: field name by attribute name, where they differ; a reserved name for encoded keys.
    """

    collection: Collection
    name: str
    hash: KeyAttribute
    range: KeyAttribute | None
    indexes: tuple[TableIndex, ...]
    ttl: str | None
    attributes: Mapping[str, str]
    fields: Mapping[str, str]

    @property
    def keys(self) -> tuple[KeyAttribute, ...]:
        """The key attributes, one or two."""
        return (self.hash,) if self.range is None else (self.hash, self.range)

    def key_item(self, key: Key) -> Item:
        """The key attributes of one key."""
        item = {self.hash.name: self.hash.wire(key)}
        if self.range is not None:
            item[self.range.name] = self.range.wire(key)
        return item

    def key_of(self, item: Item) -> Key:
        """The key of an item. Raises InvalidKey, as :meth:`KeyAttribute.parts` does."""
        try:
            parts = self.hash.parts(item[self.hash.name])
            if self.range is None:
                return parts
            return parts + self.range.parts(item[self.range.name])
        except InvalidKey as error:
            error.collection, error.driver = self.collection.name, "dynamodb"
            raise

    def index(self, declared: Index) -> TableIndex:
        """The table's index for a declared one."""
        return next(i for i in self.indexes if i.policed.index.name == declared.name)


def table_of(collection: Collection, prefix: str) -> Table:
    """The table of a collection.

    Raises:
        ConfigError: the placement has an unknown option, or what DynamoDB has no room for.
    """
    placement = collection.placement("dynamodb")
    unknown = sorted(set(placement) - set(OPTIONS))
    if unknown:
        raise _wrong(collection, f"unknown option {unknown}; there are {', '.join(OPTIONS)}")
    width = len(collection.key)
    hash_key = _key_attribute(collection, "hash", "_ps_pk", 0, collection.partition)
    range_key = None
    if collection.partition < width:
        range_key = _key_attribute(collection, "range", "_ps_sk", collection.partition, width)
    elif "range" in placement:
        raise _wrong(collection, "it has a range, but the whole key is its partition")
    keys = [key for key in (hash_key, range_key) if key is not None]
    ttl = _ttl(collection, keys)
    attributes = _renamed(collection, keys, ttl)
    no_fields = {key.name: NO_FIELD for key in keys if key.field is None}
    if ttl is not None:
        no_fields[ttl] = NO_FIELD
    return Table(
        collection=collection,
        name=_table_name(collection, prefix),
        hash=hash_key,
        range=range_key,
        indexes=indexes_of(collection, attributes),
        ttl=ttl,
        attributes=attributes,
        fields=no_fields | {attribute: field for field, attribute in attributes.items()},
    )


def _wrong(collection: Collection, problem: str) -> ConfigError:
    return misplaced("dynamodb", collection, problem)


def _table_name(collection: Collection, prefix: str) -> str:
    given = collection.placement("dynamodb").get("table")
    if given is None:
        name = prefix + collection.name
        return name if len(name) >= 3 else f"{name}-table"
    if type(given) is not str or not _TABLE_NAME.match(prefix + given):
        raise _wrong(collection, "a table name has 3 to 255 letters, digits and _ . -")
    return prefix + given


def _key_attribute(
    collection: Collection, option: str, default: str, start: int, stop: int
) -> KeyAttribute:
    field = collection.key[start] if stop - start == 1 else None
    name = collection.placement("dynamodb").get(option, default if field is None else field.name)
    if type(name) is not str or not 1 <= len(name.encode()) <= ATTRIBUTE_BYTES:
        raise _wrong(collection, f"{option}: a key attribute has 1 to {ATTRIBUTE_BYTES} bytes")
    if name.startswith(RESERVED) and name != default:
        raise _wrong(collection, f"{option}: names in {RESERVED}… are reserved")
    return KeyAttribute(name, "S" if field is None else _KINDS[field.type], start, stop, field)


def _ttl(collection: Collection, keys: list[KeyAttribute]) -> str | None:
    name = collection.placement("dynamodb").get("ttl")
    if name is None:
        return None
    if type(name) is not str or not 1 <= len(name.encode()) <= ATTRIBUTE_BYTES:
        raise _wrong(collection, f"ttl: an attribute name has 1 to {ATTRIBUTE_BYTES} bytes")
    indexed = {field for index in collection.indexes for field in index.fields}
    if name in {*(key.name for key in keys), *collection.key_names, *indexed}:
        raise _wrong(collection, "ttl: a field of the key or of an index holds no expiry")
    if name.startswith(RESERVED) and name != TTL:
        raise _wrong(collection, f"ttl: of the names in {RESERVED}… only {TTL} is free for it")
    return name


def _renamed(
    collection: Collection, keys: list[KeyAttribute], ttl: str | None
) -> Mapping[str, str]:
    """Where fields go that do not lie under their own name.

    A field that has the name of a key attribute, but is not what it holds, gives way, as does one
    that has the name of the attribute with the expiry.
    """
    if len({key.name for key in keys}) < len(keys):
        raise _wrong(collection, "hash and range are the same attribute")
    renamed = {"": ESCAPE}
    if ttl is not None:
        renamed[ttl] = ESCAPE + ttl
    for key in keys:
        if key.field is None or key.field.name != key.name:
            renamed[key.name] = ESCAPE + key.name
    for key in keys:
        if key.field is not None and key.field.name != key.name:
            renamed[key.field.name] = key.name
    return renamed
