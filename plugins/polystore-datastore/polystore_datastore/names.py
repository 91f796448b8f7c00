"""Names that Datastore refuses (empty, ``__…__``) as names that it takes, and back.

Property names get a prefix. Names in keys keep their order: U+0001, which no other name in a key
then holds, is appended, so that an escaped name stands right after where it belongs.
"""

from __future__ import annotations

import re

from polystore.driver.keycodec import END, escaped, unescaped

ESCAPE = "_ps_n"
"""Before a field name that Datastore refuses."""

_RESERVED = re.compile(r"__.*__\n?\Z", re.DOTALL)


def is_refused(name: str) -> bool:
    """Whether Datastore takes no such kind, key name or property name."""
    return not name or (name[0] == "_" and _RESERVED.match(name) is not None)


def property_name(field: str) -> str:
    """The property that holds a field."""
    if field and field[0] != "_":
        return field
    return ESCAPE + field if is_refused(field) else field


def field_name(name: str) -> str:
    """The field that a property holds."""
    if name[:1] == "_" and name.startswith(ESCAPE) and is_refused(name[len(ESCAPE) :]):
        return name[len(ESCAPE) :]
    return name


def key_name(part: str) -> str:
    """A text part of a key as a name in a key."""
    name = part if part.isprintable() else escaped(part)
    return name + END if is_refused(name) else name


def key_part(name: str) -> str:
    """What :func:`key_name` was given; another writer's name as it is."""
    if name.isprintable():
        return name
    if name[-1] == END and is_refused(name[:-1]):
        name = name[:-1]
    try:
        return unescaped(name)
    except (KeyError, IndexError):
        return name
