"""Writes to entities, entities to records, and their sizes. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from polystore.driver import Sizes, Stored, Token, Write
from polystore.driver.bookkeeping import EXPIRES, PACKED, STAMP, TOMBSTONE, WRITE_ID
from polystore.schema import Index
from polystore.values import RESERVED, Fields, microseconds, moment_at
from polystore_datastore.marks import Version, keep_marks, seen
from polystore_datastore.messages import Entity, Message
from polystore_datastore.names import ESCAPE, property_name
from polystore_datastore.placement import Place, index_property
from polystore_datastore.refs import NAME_BYTES

TEXT_BYTES = 1_048_487
"""Longest text or bytes that is in no index (…/datastore/docs/concepts/limits)."""

MOST_INDEXED = 8_000
"""Fields and elements of lists up to which those without a declared index are indexed too: an
entity may have 20,000 index entries, of which each takes one in either direction."""


def fill_entity(place: Place, write: Write, entity: Message, token: Token = None) -> None:
    """Make an empty ``Entity`` message what a put or a tombstone leaves behind.

    Args:
        place: where it is.
        write: what is written.
        entity: what is filled.
        token: of the state that it takes the place of, where that was seen.
    """
    place.fill_key(entity.key, write.key)
    properties = entity.properties
    if write.fields is None:
        properties[TOMBSTONE].boolean_value = True
    else:
        _fill_fields(place, write, write.fields, properties)
        if type(token) is Version:
            keep_marks(token.properties, properties, place.indexed)
    if write.write_id is not None:
        value = properties[WRITE_ID]
        value.string_value = write.write_id
        value.exclude_from_indexes = True
    if write.stamp is not None:
        value = properties[STAMP]
        value.integer_value = write.stamp
        value.exclude_from_indexes = True
    if write.expires is not None:
        value = properties[EXPIRES]
        value.integer_value = write.expires
        value.exclude_from_indexes = True
        if place.ttl is not None and write.stamp is None:
            place.codec.put(properties[place.ttl], moment_at(write.expires), False)


def _fill_fields(place: Place, write: Write, fields: Fields, properties: Message) -> None:
    put, unstored, declared = place.codec.put, place.unstored, place.indexed
    few = len(fields) + sum(len(v) for v in fields.values() if type(v) is list) <= MOST_INDEXED
    others = place.index_all and few
    is_native, ttl, unindexed = place.codec.is_native, place.ttl, place.unindexed
    for name, value in fields.items():
        if name in unstored:
            continue
        if name == ttl:
            target = properties[ESCAPE + name]
        else:
            target = properties[name if name[:1] not in ("_", "") else property_name(name)]
        if name in declared:
            indexed = is_native(value) and (few or type(value) is not list)
        else:
            indexed = others and name not in unindexed
        put(target, value, indexed)
    for property_, text in index_texts(place, write, fields):
        properties[property_].string_value = text


def index_texts(place: Place, write: Write, fields: Fields) -> list[tuple[str, str]]:
    """The reserved properties of a record: its entries in the indexes that polystore makes.

    Of a native index it has one where Datastore's order has no place for a value.
    """
    texts = []
    for kept in place.indexes:
        if kept.native and is_native_entry(place, kept.index, fields):
            continue
        text = kept.entry(fields, write.key)
        if text is not None:
            texts.append((index_property(kept.index.name), text))
    return texts


def is_native_entry(place: Place, index: Index, fields: Fields) -> bool:
    """Whether Datastore's own order has a place for all that a record has in an index."""
    is_native = place.codec.is_native
    return all(is_native(fields[name]) for name in index.fields if name in fields)


def stored(place: Place, result: Message) -> Stored | None:
    """An ``EntityResult`` as a record; ``None`` where it lies on another path.

    Raises:
        InvalidKey: as :meth:`Place.key_of` does.
    """
    entity = result.entity
    key = place.key_of(entity.key)
    if key is None:
        return None
    properties = entity.properties
    write_id = stamp = None
    if TOMBSTONE in properties:
        if WRITE_ID in properties:
            write_id = properties[WRITE_ID].string_value
        if STAMP in properties:
            stamp = properties[STAMP].integer_value
        return Stored(key, None, result.version, write_id, stamp)
    fields = place.codec.get_map(properties)
    expires = fields.get(EXPIRES)
    if place.ttl is not None:
        expires = _native_expiry(place.ttl, fields, expires)
    # Entries of an index too, also of one that is declared no more.
    kept = {name: fields.pop(name) for name in [n for n in fields if n[:4] == RESERVED]}
    if kept:
        write_id, stamp = kept.get(WRITE_ID), kept.get(STAMP)
        if PACKED in kept:
            fields[PACKED] = kept[PACKED]
    fields.update(zip(place.collection.key_names, key, strict=True))
    return Stored(key, fields, seen(result.version, properties), write_id, stamp, expires)


def _native_expiry(ttl: str, fields: Fields, kept: int | None) -> int | None:
    """When an entity expires: by the property that a TTL policy looks at, else by polystore's own.

    The property is no field, unless it holds what no policy removes by. A field of that name lies
    under another.
    """
    moment = fields.get(ttl)
    if isinstance(moment, datetime):
        del fields[ttl]
        kept = microseconds(moment)
    if ESCAPE + ttl in fields:
        fields[ttl] = fields.pop(ESCAPE + ttl)
    return kept


def sizes(place: Place, write: Write) -> Sizes:
    """What a put or tombstone takes: the entity and its key as they are sent."""
    entity = Entity()
    fill_entity(place, write, entity)
    path = entity.key.path
    size = entity.ByteSize()
    # A record that is smaller than a limit has nothing in it that is over it.
    return Sizes(
        record=size,
        name=max(names(entity.properties)) if size > NAME_BYTES else 0,
        text=max(texts(entity.properties), default=0) if size > TEXT_BYTES else 0,
        part=max(len(element.name.encode()) for element in path),
        whole=entity.key.ByteSize(),
        indexed=_largest_indexed(place, write),
    )


def names(properties: Message) -> Iterator[int]:
    """Bytes of the name of each property, at every depth."""
    for name, value in properties.items():
        yield len(name.encode())
        for inner in _inside(value):
            yield from names(inner)


def texts(properties: Message) -> Iterator[int]:
    """Bytes of each text or bytes, at every depth."""
    for value in properties.values():
        for scalar in _flat(value):
            yield len(scalar.string_value.encode()) or len(scalar.blob_value)
        for inner in _inside(value):
            yield from texts(inner)


def _flat(value: Message) -> Sequence[Message]:
    """A property's value, or the elements of its array; an array holds no array."""
    array: Sequence[Message] = value.array_value.values
    return array or (value,)


def _inside(value: Message) -> Iterator[Message]:
    """The properties of the entities that are a property's value, or elements of it."""
    for item in _flat(value):
        if item.HasField("entity_value"):
            yield item.entity_value.properties


def _largest_indexed(place: Place, write: Write) -> int:
    fields = write.fields
    if fields is None or not place.indexes:
        return 0
    largest = 0
    for name in place.indexed:
        value = fields.get(name)
        if isinstance(value, str):
            largest = max(largest, len(value.encode()))
        elif isinstance(value, bytes):
            largest = max(largest, len(value))
    for _, text in index_texts(place, write, fields):
        largest = max(largest, len(text.encode()))
    return largest
