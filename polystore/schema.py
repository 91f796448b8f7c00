"""What an application declares: collections, their key fields and indexes, and groups.

Placements are data: a mapping per driver name, read by that driver alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any

import attrs

from polystore.capacity import QUEUE, check_overload
from polystore.comparing import EXACT, Compare
from polystore.errors import ConfigError, InvalidKey
from polystore.values import INT_MAX, INT_MIN, RESERVED, Key

KEY_TYPES: Mapping[str, type] = MappingProxyType({"str": str, "int": int, "bytes": bytes})
INDEX_TYPES: Mapping[str, frozenset[type]] = MappingProxyType(
    {
        "str": frozenset({str}),
        "bytes": frozenset({bytes}),
        "bool": frozenset({bool}),
        "number": frozenset({int, float, Decimal}),
        "datetime": frozenset({datetime}),
    }
)
"""What a field of an index may be declared as, and the types of value that are meant."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}\Z")


@attrs.frozen
class KeyField:
    """One field of the key: its name and its type, ``str``, ``int`` or ``bytes``."""

    name: str
    type: type

    def __attrs_post_init__(self) -> None:
        if self.type not in KEY_TYPES.values():
            raise ConfigError(
                f"key field {self.name!r}: the type must be one of {', '.join(KEY_TYPES)}"
            )

    @classmethod
    def parse(cls, text: str) -> KeyField:
        """Read ``"name:type"``; without a type it is ``str``.

        Raises:
            ConfigError: the type is none of ``str, int, bytes``.
        """
        name, _, kind = (part.strip() for part in text.partition(":"))
        if (kind or "str") not in KEY_TYPES:
            raise ConfigError(f"key field {text!r}: the type must be one of {', '.join(KEY_TYPES)}")
        return cls(name, KEY_TYPES[kind or "str"])


def _field_names(fields: Iterable[str]) -> tuple[str, ...]:
    if isinstance(fields, str):
        raise ConfigError(f"the fields of an index are a list of names, not the text {fields!r}")
    return tuple(fields)


@attrs.frozen
class Index:
    """A declared order of records by fields other than the key.

    A query names the index, gives the value of the first field, and gets the records in the order
    of the remaining fields and then of the key. A record that lacks one of the fields, or holds a
    list, map or set in it, is not in the index.

    Args:
        name: what queries call it.
        fields: names of fields, in order; ``"name:type"`` says what the values are meant to be, a
            word of :data:`INDEX_TYPES`. What becomes of another value is a matter of policy.

    Raises:
        ConfigError: a type is none of these words.
    """

    name: str
    fields: tuple[str, ...] = attrs.field(converter=_field_names)
    types: tuple[str | None, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        declared = [field.partition(":") for field in self.fields]
        for name, colon, kind in declared:
            if colon and kind.strip() not in INDEX_TYPES:
                raise ConfigError(
                    f"index {self.name!r}: field {name.strip()!r}: the type must be one of "
                    f"{', '.join(INDEX_TYPES)}"
                )
        object.__setattr__(self, "fields", tuple(name.strip() for name, _, _ in declared))
        object.__setattr__(self, "types", tuple(kind.strip() or None for _, _, kind in declared))

    @property
    def declared(self) -> tuple[str, ...]:
        """The fields as they are declared, each with its type if it has one."""
        pairs = zip(self.fields, self.types, strict=True)
        return tuple(f"{name}:{kind}" if kind else name for name, kind in pairs)


ADOPT, HALT = "adopt", "halt"
"""What becomes of foreign records: they are taken for the home's truth, or the run stops."""


def check_foreign(where: str, policy: str) -> None:
    """Raise ConfigError where this is no policy for foreign records."""
    if policy not in (ADOPT, HALT):
        raise ConfigError(f"{where}foreign is {ADOPT} or {HALT}, not {policy!r}")


class Oversized(Enum):
    """What becomes of a record that is over a database's limit: refused, or stored compressed."""

    REJECT = "reject"
    COMPRESS = "compress"


def _oversized(policy: str | Oversized) -> Oversized:
    try:
        return Oversized(policy)
    except ValueError:
        known = ", ".join(p.value for p in Oversized)
        raise ConfigError(f"oversized is one of {known}, not {policy!r}") from None


def _freeze(placements: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    return MappingProxyType({name: MappingProxyType(dict(p)) for name, p in placements.items()})


def _key_fields(fields: Iterable[str | KeyField]) -> tuple[KeyField, ...]:
    if isinstance(fields, str):
        raise ConfigError(f"key fields are a list of names, not the text {fields!r}")
    return tuple(f if isinstance(f, KeyField) else KeyField.parse(f) for f in fields)


def _indexes(indexes: Iterable[Index] | Mapping[str, Iterable[str]]) -> tuple[Index, ...]:
    if isinstance(indexes, Mapping):
        return tuple(Index(name, fields) for name, fields in indexes.items())
    return tuple(indexes)


@attrs.frozen(eq=False)
class Collection:
    """A declared set of records.

    Args:
        name: letters, digits, ``_ . -``, at most 100.
        key: key fields in order, as :class:`KeyField` or ``"name:type"``.
        partition: how many leading key fields are stored together (default 1).
        indexes: :class:`Index` objects, or a mapping of index name to field names.
        placements: per driver name, how the collection lies in that database.
        overload: what becomes of an operation where a side cannot keep up: ``queue`` (default),
            ``wait``, ``fail`` or ``decline``; see :mod:`polystore.capacity`.
        oversized: ``"reject"`` (default) or ``"compress"``: what becomes of a record that is over
            the limit of a database. Compressed ones are read back whatever the policy is then.
        compare: what a comparison of the two sides leaves out, or takes for alike.
        foreign: what becomes of a record that somebody wrote past the library: ``adopt`` or
            ``halt``; ``None``: as the group says.

    Raises:
        ConfigError: a name is wrong or doubled, a policy is unknown, or ``partition`` is out of
            range.
    """

    name: str
    key: tuple[KeyField, ...] = attrs.field(converter=_key_fields)
    partition: int = 1
    indexes: tuple[Index, ...] = attrs.field(converter=_indexes, default=())
    placements: Mapping[str, Mapping[str, Any]] = attrs.field(converter=_freeze, factory=dict)
    overload: str = QUEUE
    oversized: Oversized = attrs.field(converter=_oversized, default=Oversized.REJECT, kw_only=True)
    compare: Compare = attrs.field(default=EXACT, kw_only=True)
    foreign: str | None = attrs.field(default=None, kw_only=True)
    key_names: tuple[str, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "key_names", tuple(f.name for f in self.key))
        where = f"collection {self.name!r}"
        if not _NAME.match(self.name):
            raise ConfigError(f"{where}: a name has letters, digits and _ . - , at most 100")
        if not self.key:
            raise ConfigError(f"{where}: at least one key field is needed")
        if not 1 <= self.partition <= len(self.key):
            raise ConfigError(f"{where}: partition must be 1 … {len(self.key)}")
        check_overload(f"{where}: overload", self.overload)
        if self.foreign is not None:
            check_foreign(f"{where}: ", self.foreign)
        names = [*self.key_names, *(i.name for i in self.indexes)]
        doubled = {n for n in names if names.count(n) > 1}
        if doubled:
            raise ConfigError(f"{where}: {sorted(doubled)} is declared twice")
        for name in (*self.key_names, *(f for i in self.indexes for f in i.fields)):
            if not name or name.startswith(RESERVED):
                raise ConfigError(f"{where}: a field cannot be called {name!r}")
        for index in self.indexes:
            if not index.fields or not _NAME.match(index.name):
                raise ConfigError(f"{where}: index {index.name!r} needs a name and fields")
            if len(set(index.fields)) < len(index.fields):
                raise ConfigError(f"{where}: index {index.name!r} names a field twice")

    def index(self, name: str) -> Index:
        """The declared index of this name. Raises ConfigError listing those that are."""
        for index in self.indexes:
            if index.name == name:
                return index
        known = ", ".join(i.name for i in self.indexes) or "none"
        raise ConfigError(f"collection {self.name!r} has no index {name!r}; declared: {known}")

    def placement(self, driver: str) -> Mapping[str, Any]:
        """What was declared for one driver; empty where nothing was."""
        return self.placements.get(driver, MappingProxyType({}))

    def check_key(self, parts: tuple[object, ...]) -> Key:
        """``parts`` as a key of this collection.

        Raises:
            InvalidKey: wrong number of parts, wrong type, an int over 64 bits, a lone surrogate.
        """
        if len(parts) != len(self.key):
            raise InvalidKey(
                f"the key has {len(self.key)} parts ({', '.join(self.key_names)}), "
                f"not {len(parts)}",
                collection=self.name,
            )
        for field, part in zip(self.key, parts, strict=True):
            check_key_part(self, field, part)
        return parts  # type: ignore[return-value]  # checked part by part


def check_key_part(collection: Collection, field: KeyField, part: object) -> None:
    """Whether ``part`` may stand in ``field``. Raises InvalidKey saying what is expected."""
    if type(part) is not field.type:
        raise InvalidKey(
            f"key field {field.name!r} is {field.type.__name__}, not {type(part).__name__}",
            collection=collection.name,
        )
    if type(part) is int and not INT_MIN <= part <= INT_MAX:
        raise InvalidKey(
            f"key field {field.name!r} must fit in 64 bits", collection=collection.name
        )
    if type(part) is str:
        try:
            part.encode()
        except UnicodeEncodeError:
            raise InvalidKey(
                f"key field {field.name!r} holds a lone surrogate", collection=collection.name
            ) from None
