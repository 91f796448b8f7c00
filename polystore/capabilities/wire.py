"""Descriptors as JSON and back, without loss: for the control store, ``--json`` and the docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin

import attrs

from polystore.capabilities.descriptor import Capabilities
from polystore.capabilities.terms import MEMBERS, Limit, Rule
from polystore.errors import ConfigError

T = TypeVar("T", bound=attrs.AttrsInstance)
_WHOLE = "capabilities"


def to_json(c: Capabilities) -> dict[str, Any]:
    """A descriptor as plain dicts, lists, texts and numbers."""
    plain: dict[str, Any] = _plain(c)
    return plain


def from_json(d: Mapping[str, Any]) -> Capabilities:
    """The descriptor that :func:`to_json` was given.

    Raises:
        ConfigError: a name is missing or unknown, or a value is not of its type. Nothing is
            filled in: the default of most promises is the strongest.
    """
    return _record(Capabilities, d, _WHOLE)


def _plain(value: Any) -> Any:
    if attrs.has(type(value)):
        return {f.name: _plain(getattr(value, f.name)) for f in attrs.fields(type(value))}
    if isinstance(value, Rule):
        return value.value
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return {name: _plain(value[name]) for name in sorted(value)}
    return value


def _record(cls: type[T], data: object, where: str) -> T:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: an object was expected, not {type(data).__name__}")
    attrs.resolve_types(cls)
    fields = {field.name: field.type for field in attrs.fields(cls)}
    if odd := sorted(fields.keys() ^ data.keys()):
        raise ConfigError(f"{where}: missing or unknown: {', '.join(odd)}")
    return cls(
        **{name: _value(kind, data[name], f"{where}.{name}") for name, kind in fields.items()}
    )


def _value(kind: Any, data: object, where: str) -> Any:
    if kind == Limit | None:
        return None if data is None else _record(Limit, data, where)
    if attrs.has(kind):
        return _record(kind, data, where)
    if get_origin(kind) is Mapping:
        if isinstance(data, Mapping) and all(type(name) is str for name in data):
            of = get_args(kind)[1]
            return {name: _value(of, item, f"{where}.{name}") for name, item in data.items()}
    elif kind == frozenset[str]:
        known = MEMBERS[where.removeprefix(f"{_WHOLE}.")]
        if isinstance(data, list) and all(type(item) is str and item in known for item in data):
            return frozenset(data)
    elif isinstance(kind, type) and issubclass(kind, Rule):
        if type(data) is str and data in {rule.value for rule in kind}:
            return kind(data)
    elif isinstance(data, kind) and type(data) is not bool:
        return data
    raise ConfigError(f"{where}: {type(data).__name__} is not what belongs here ({kind})")
