"""Property paths, and the masks made of them."""

from __future__ import annotations

from collections.abc import Sequence

from polystore_engines.datastore_stub.appengine import Message, gd
from polystore_engines.datastore_stub.errors import need


def split_path(path: str) -> list[str]:
    """The names in a property path: dots part them, a backslash takes the next sign as it is."""
    parts, escaped = [""], False
    for char in path:
        if char == "." and not escaped:
            parts.append("")
            continue
        escaped = char == "\\" and not escaped
        if not escaped:
            parts[-1] += char
    need(all(parts) and not escaped, f'Invalid property path "{path}".')
    return parts


def holder(entity: Message, path: Sequence[str]) -> Message | None:
    """The entity value that holds the last name of a path; None when there is none."""
    for name in path[:-1]:
        value = entity.properties.get(name)
        if value is None or value.WhichOneof("value_type") != "entity_value":
            return None
        entity = value.entity_value
    return entity


def made_holder(entity: Message, path: Sequence[str]) -> Message:
    """The same, made of empty entity values where it is missing."""
    for name in path[:-1]:
        value = entity.properties[name]  # a protobuf map makes it
        if value.WhichOneof("value_type") != "entity_value":
            value.entity_value.SetInParent()
        entity = value.entity_value
    return entity


def copy_paths(source: Message, target: Message, mask: Message) -> None:
    """For each path of the mask: set in the target if the source has it, else removed there."""
    for path in mask.paths:
        if path == "__key__":
            continue
        names = split_path(path)
        last, given = names[-1], holder(source, names)
        if given is not None and last in given.properties:
            made_holder(target, names).properties[last].CopyFrom(given.properties[last])
            continue
        place = holder(target, names)
        if place is not None and last in place.properties:
            del place.properties[last]


def keep_only(entity: Message, mask: Message) -> None:
    """Removes every property that the mask does not name."""
    source = gd.Entity.FromString(entity.SerializeToString())
    entity.ClearField("properties")
    copy_paths(source, entity, mask)
