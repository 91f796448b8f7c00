"""Entities and keys: checks against the limits, and translation between v1 and v3.

A stored v3 entity holds its index values plus the v1 message itself, so every detail (empty
lists, excluded parts, meanings, the key's database) comes back exactly.
"""

from __future__ import annotations

from collections.abc import Iterator

from polystore_engines.datastore_stub.appengine import (
    Message,
    datastore_pbs,
    gd,
    stub_util,
    v3,
    validator,
)
from polystore_engines.datastore_stub.errors import need
from polystore_engines.datastore_stub.limits import (
    MAX_DEPTH,
    MAX_ENTITY_BYTES,
    MAX_INDEX_ENTRIES,
    MAX_INDEXED_BYTES,
    MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
)
from polystore_engines.datastore_stub.masks import keep_only
from polystore_engines.datastore_stub.timestamps import to_timestamp

V1_MESSAGE, CREATED = "__v1__", "__created__"
"""Raw properties that no query sees: the v1 entity, first, and then the version of its birth."""

CONVERTER = datastore_pbs.get_entity_converter(datastore_pbs._IdentityIdResolver())
QUERY_CONVERTER = stub_util.get_query_converter(datastore_pbs._IdentityIdResolver())
VALIDATOR = validator.get_entity_validator()


# keys


def pad_key(key: Message, project: str, database: str) -> None:
    """Fills in the project of a key and refuses one of another project or database."""
    partition = key.partition_id
    if not partition.project_id:
        partition.project_id = project
    need(
        partition.project_id == project and partition.database_id == database,
        f'mismatched databases within request: "{project}|{database}" and '
        f'"{partition.project_id}|{partition.database_id}"',
    )


def check_key(key: Message) -> None:
    """Refuses keys beyond the byte limits."""
    for element in key.path:
        need(
            len(element.kind.encode()) <= MAX_INDEXED_BYTES
            and len(element.name.encode()) <= MAX_INDEXED_BYTES,
            f"The key path element is longer than {MAX_INDEXED_BYTES} bytes.",
        )
    need(key.ByteSize() <= MAX_KEY_BYTES, f"The key is longer than {MAX_KEY_BYTES} bytes.")


def to_v3_key(key: Message) -> Message:
    """The v3 reference of a v1 key."""
    ref = v3.Reference()
    CONVERTER.v1_to_v3_reference(key, ref)
    return ref


def to_v1_key(ref: Message, database: str) -> Message:
    """The v1 key of a v3 reference, which does not know its database."""
    key = gd.Key()
    CONVERTER.v3_to_v1_key(ref, key)
    key.partition_id.database_id = database
    return key


# entities


def check_value(name: str, value: Message, indexed: bool, depth: int = 0) -> None:
    """Refuses values beyond the byte and depth limits; the name is for the message."""
    need(depth <= MAX_DEPTH, f"Entity values are nested deeper than {MAX_DEPTH} levels.")
    indexed = indexed and not value.exclude_from_indexes
    kind = value.WhichOneof("value_type")
    if kind == "string_value":
        _check_bytes(name, len(value.string_value.encode()), indexed)
    elif kind == "blob_value":
        _check_bytes(name, len(value.blob_value), indexed)
    elif kind == "array_value":
        for item in value.array_value.values:
            check_value(name, item, indexed, depth)
    elif kind == "entity_value":
        for sub, item in value.entity_value.properties.items():
            _check_name(sub)
            check_value(f"{name}.{sub}", item, True, depth + 1)  # exclusion is not inherited


def _check_bytes(name: str, size: int, indexed: bool) -> None:
    limit = MAX_INDEXED_BYTES if indexed else MAX_VALUE_BYTES
    need(size <= limit, f'The value of property "{name}" is longer than {limit} bytes.')


def _check_name(name: str) -> None:
    need(len(name.encode()) <= MAX_INDEXED_BYTES, "The property name is too long.")


def indexed_values(
    name: str, value: Message, multiple: bool = False
) -> Iterator[tuple[str, bool, Message]]:
    """The index values of one property: (name, from a list?, value).

    Sub-properties of an indexed entity value get dotted names.
    """
    kind = value.WhichOneof("value_type")
    if value.exclude_from_indexes:
        return
    if kind == "array_value":
        for item in value.array_value.values:
            yield from indexed_values(name, item, True)
    elif kind == "entity_value" and value.meaning != datastore_pbs.MEANING_PREDEFINED_ENTITY_USER:
        for sub, item in value.entity_value.properties.items():
            yield from indexed_values(f"{name}.{sub}", item, multiple)
    else:
        yield name, multiple, value


def to_v3_entity(entity: Message) -> Message:
    """Checks a v1 entity and makes the v3 entity that is stored for it."""
    check_key(entity.key)
    for name, value in entity.properties.items():
        _check_name(name)
        check_value(name, value, True)
    VALIDATOR.validate_entity(validator.UPSERT, entity)
    data = entity.SerializeToString(deterministic=True)
    need(
        len(data) <= MAX_ENTITY_BYTES,
        f"The entity is too big: {len(data)} bytes, limit {MAX_ENTITY_BYTES}.",
    )
    out = v3.EntityProto()
    CONVERTER.v1_to_v3_reference(entity.key, out.key)
    blob = out.raw_property.add(name=V1_MESSAGE, multiple=False, meaning=v3.Property.BLOB)
    blob.value.stringValue = data
    _add_index_values(entity, out)
    return out


def _add_index_values(entity: Message, out: Message) -> None:
    for top, value in entity.properties.items():
        for name, multiple, item in indexed_values(top, value):
            CONVERTER.v1_to_v3_property(name, multiple, False, item, out.property.add())
    need(
        len(out.property) <= MAX_INDEX_ENTRIES,
        f"The entity has more than {MAX_INDEX_ENTRIES} index entries.",
    )


def v1_message(entity: Message) -> bytes | None:
    """The serialised v1 entity inside a v3 one; None in those that a query made up."""
    stored = entity.raw_property
    if stored and stored[0].name == V1_MESSAGE:
        data: bytes = stored[0].value.stringValue
        return data
    return None


def add_birth(entity: Message, version: int) -> None:
    """Notes the version in which an entity came to be."""
    noted = entity.raw_property.add(name=CREATED, multiple=False)
    noted.value.int64Value = version


def birth(entity: Message) -> int:
    """The version in which a stored entity came to be."""
    version: int = entity.raw_property[1].value.int64Value
    return version


def fill_result(result: Message, entity: Message, version: int, mask: Message = None) -> None:
    """Makes an EntityResult of a stored v3 entity; a mask leaves the named properties."""
    result.entity.ParseFromString(v1_message(entity))
    if mask is not None:
        keep_only(result.entity, mask)
    result.version = version
    result.update_time.CopyFrom(to_timestamp(version))
    result.create_time.CopyFrom(to_timestamp(birth(entity)))
