"""The JSON Schema of a descriptor, made from its classes: ``spec/capabilities.schema.json``.

``python -m polystore.capabilities.schema > spec/capabilities.schema.json`` writes it again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import attrs

from polystore.capabilities.descriptor import Capabilities
from polystore.capabilities.terms import MEMBERS, EmptyIndexed, Limit, Rule
from polystore.capabilities.words import SUBJECTS
from polystore.values import INT_MAX, INT_MIN


def schema() -> dict[str, Any]:
    """The schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What an opened driver of polystore promises for one collection",
        **_record(Capabilities, ""),
        "$defs": {"limit": _record(Limit, "limit.")},
    }


def _record(cls: type[attrs.AttrsInstance], prefix: str) -> dict[str, Any]:
    attrs.resolve_types(cls)
    members = {f.name: _described(f.type, prefix + f.name) for f in attrs.fields(cls)}
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _described(kind: Any, path: str) -> dict[str, Any]:
    made = _value(kind, path)
    return {"description": SUBJECTS[path], **made} if path in SUBJECTS else made


def _value(kind: Any, path: str) -> dict[str, Any]:
    if kind == Limit | None:
        return {"anyOf": [{"$ref": "#/$defs/limit"}, {"type": "null"}]}
    if kind == frozenset[str]:
        return {"type": "array", "items": {"enum": sorted(MEMBERS[path])}, "uniqueItems": True}
    if kind == Mapping[str, EmptyIndexed]:
        return {"type": "object", "additionalProperties": _value(EmptyIndexed, path)}
    if kind is str:
        return {"type": "string"}
    if kind is int:
        return {"type": "integer", "minimum": INT_MIN, "maximum": INT_MAX}
    if issubclass(kind, Rule):
        return {"enum": [rule.value for rule in kind]}
    return _record(kind, f"{path}.")


if __name__ == "__main__":
    json.dump(schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")
