"""How a collection lies in Datastore: the path of its keys, its indexed fields. No I/O."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, TypeAlias

import attrs

from polystore.driver.bookkeeping import PACKED
from polystore.driver.keycodec import decode_key, encode_key
from polystore.driver.policies import OPTION, Policed, Policy, misplaced, policed
from polystore.errors import ConfigError, InvalidKey
from polystore.schema import Collection, Index
from polystore.values import RESERVED, Key
from polystore_datastore.codec import Codec
from polystore_datastore.messages import Message
from polystore_datastore.names import is_refused, key_name, key_part
from polystore_datastore.refs import NAME_BYTES

OPTIONS = ("path", "kind", "indexed", "unindexed", "ttl", OPTION)
INDEXED_FORMS = ("all", "declared")
TTL = "_ps_ttl"
"""The one reserved name that ``ttl`` may be."""

Path: TypeAlias = list[tuple[str, str | int]]
"""A native key: kinds, each with a name or an id."""

_FIELD = re.compile(r"\{([^{}]+)\}\Z")


@attrs.frozen
class Element:
    """One element of the path, and the parts of a key that it holds.

    Attributes:
        kind: its kind.
        start, stop: the parts of the key that it holds.
        form: ``name`` (one text), ``id`` (one int) or ``text`` (several, encoded as one name).
    """

    kind: str
    start: int
    stop: int
    form: str

    def native(self, key: Key) -> str | int:
        """The name or id for a key."""
        if self.form == "text":
            return encode_key(key[self.start : self.stop])
        part = key[self.start]
        assert not isinstance(part, bytes)
        return key_name(part) if isinstance(part, str) else part

    def parts(self, native: str | int | None) -> Key | None:
        """The parts that a name or id holds; ``None`` where it is another writer's."""
        if self.form == "id":
            return (native,) if isinstance(native, int) else None
        if not isinstance(native, str):
            return None
        if self.form == "name":
            return (key_part(native),)
        try:
            parts = decode_key(native)
        except (ValueError, LookupError):
            return None
        return parts if len(parts) == self.stop - self.start else None


@attrs.frozen(eq=False)
class Place:
    """A collection's kind and path.

    Attributes:
        collection: what lies there.
        codec: the codec of this database.
        elements: the path.
        kinds: their kinds.
        unstored: key fields that are in the key alone.
        indexes: the declared indexes; the native ones are Datastore's own of each property.
        indexed: fields of native indexes.
        index_all: whether other fields are indexed too, as far as they can be.
        ttl: the property by which a TTL policy removes entities, if there is one.
        unindexed: those that never are.
    """

    collection: Collection
    codec: Codec
    elements: tuple[Element, ...]
    kinds: tuple[str, ...]
    unstored: frozenset[str]
    indexes: tuple[Policed, ...]
    indexed: frozenset[str]
    index_all: bool
    ttl: str | None
    unindexed: frozenset[str]

    @property
    def kind(self) -> str:
        """The kind of the entities."""
        return self.kinds[-1]

    def index(self, declared: Index) -> Policed:
        """The index for a declared one."""
        return next(kept for kept in self.indexes if kept.index.name == declared.name)

    def path(self, key: Key) -> Path:
        """The native path of a key, or of its leading parts where they fill whole elements."""
        return [(e.kind, e.native(key)) for e in self.elements if e.stop <= len(key)]

    def fill_key(self, native: Message, key: Key) -> None:
        """Make an empty ``Key`` message the native key of ``key``."""
        self.fill_path(native, self.path(key))

    def fill_path(self, native: Message, path: Path) -> None:
        """Make an empty ``Key`` message the native key with this path."""
        self.codec.home.fill(native)
        for kind, part in path:
            element = native.path.add()
            element.kind = kind
            if isinstance(part, str):
                element.name = part
            else:
                element.id = part

    def key_of(self, native: Message) -> Key | None:
        """The key that a native one stands for; ``None`` where it lies on another path.

        Raises:
            InvalidKey: another writer's name or id, which is no key of this collection.
        """
        path = native.path
        if len(path) != len(self.elements):
            return None
        key: Key = ()
        for element, given in zip(self.elements, path, strict=True):
            if given.kind != element.kind:
                return None
            form = given.WhichOneof("id_type")
            parts = element.parts(given.name if form == "name" else given.id)
            if parts is None:
                raise InvalidKey(
                    f"an entity of kind {given.kind!r} has a name or id that is no key of this "
                    "collection; another program wrote it, so declare its path or another kind",
                    collection=self.collection.name,
                    driver="datastore",
                )
            key += parts
        return key


def path_of(native: Message) -> Path:
    """The path of a native key."""
    return [(e.kind, e.name if e.WhichOneof("id_type") == "name" else e.id) for e in native.path]


def index_property(name: str) -> str:
    """The reserved property that holds a record's entry in a declared index as text.

    Of a native index only records with a value that Datastore's own order has no place for have
    it.
    """
    return "_ps_x_" + name.replace(".", "~")


def place_of(collection: Collection, codec: Codec) -> Place:
    """The place of a collection.

    Raises:
        ConfigError: the placement has an unknown option, or what Datastore has no room for.
    """
    placement = collection.placement("datastore")
    wrong = partial(_wrong, collection)
    unknown = sorted(set(placement) - set(OPTIONS))
    if unknown:
        raise wrong(f"unknown option {', '.join(unknown)}; there are {', '.join(OPTIONS)}")
    if "path" in placement and "kind" in placement:
        raise wrong("path names the kind; leave out kind")
    form = placement.get("indexed", "all")
    if form not in INDEXED_FORMS:
        raise wrong(f"indexed is one of {', '.join(INDEXED_FORMS)}")
    if "path" in placement:
        elements = _elements(collection, placement["path"])
    else:
        elements = _one_element(collection, placement.get("kind", collection.name))
    indexes = policed(collection, "datastore", Policy.NATIVE)
    indexed = frozenset(name for kept in indexes if kept.native for name in kept.index.fields)
    return Place(
        collection=collection,
        codec=codec,
        elements=elements,
        kinds=tuple(e.kind for e in elements),
        unstored=frozenset(collection.key_names) - indexed,
        indexes=indexes,
        indexed=indexed,
        index_all=form == "all",
        ttl=_ttl(collection, indexed),
        unindexed=_unindexed(collection, indexed),
    )


def _ttl(collection: Collection, indexed: frozenset[str]) -> str | None:
    name = collection.placement("datastore").get("ttl")
    if name is None:
        return None
    if type(name) is not str or is_refused(name) or len(name.encode()) > NAME_BYTES:
        raise _wrong(collection, f"ttl: a property has 1 to {NAME_BYTES} bytes and is not __…__")
    if name in indexed or name in collection.key_names:
        raise _wrong(collection, "ttl: a field of the key or of an index holds no expiry")
    if name.startswith(RESERVED) and name != TTL:
        raise _wrong(collection, f"ttl: of the names in {RESERVED}… only {TTL} is free for it")
    return name


def _wrong(collection: Collection, problem: str) -> ConfigError:
    return misplaced("datastore", collection, problem)


def _unindexed(collection: Collection, indexed: frozenset[str]) -> frozenset[str]:
    """The fields that are declared to be in no index of Datastore's."""
    given = collection.placement("datastore").get("unindexed", [])
    if not isinstance(given, list | tuple) or not all(type(name) is str for name in given):
        raise _wrong(collection, "unindexed is a list of fields")
    if both := sorted(indexed.intersection(given)):
        raise _wrong(
            collection,
            f"unindexed has {', '.join(both)}, which a native index needs; give the index the "
            "policy encode",
        )
    return frozenset((*given, PACKED))


def _check_kind(collection: Collection, kind: Any) -> None:
    if type(kind) is not str or is_refused(kind) or len(kind.encode()) > NAME_BYTES:
        raise _wrong(collection, f"a kind has 1 to {NAME_BYTES} bytes and is not __…__")


def _one_element(collection: Collection, kind: Any) -> tuple[Element, ...]:
    _check_kind(collection, kind)
    fields = collection.key
    form = "name" if len(fields) == 1 and fields[0].type is str else "text"
    return (Element(kind, 0, len(fields), form),)


def _elements(collection: Collection, path: Any) -> tuple[Element, ...]:
    """A declared path such as ``Customer/{customer}/Order/{order}``."""
    steps = path.split("/") if type(path) is str else []
    kinds, fields = steps[::2], [_FIELD.match(step) for step in steps[1::2]]
    if not fields or len(kinds) != len(fields) or not all(fields):
        raise _wrong(collection, "path is Kind/{field}, or several of that joined by /")
    names = tuple(found[1] for found in fields if found)
    if names != collection.key_names:
        raise _wrong(
            collection,
            f"path holds each key field once, in their order: {', '.join(collection.key_names)}",
        )
    for kind in kinds:
        _check_kind(collection, kind)
    for field in collection.key:
        if field.type is bytes:
            raise _wrong(collection, f"key field {field.name!r} is bytes; a path holds str and int")
    return tuple(
        Element(kind, i, i + 1, "name" if field.type is str else "id")
        for i, (kind, field) in enumerate(zip(kinds, collection.key, strict=True))
    )
