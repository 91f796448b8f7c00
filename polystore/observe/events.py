"""Rare events of a migration: what plugins are told of, never per call of an application."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

STAGE_CHANGED = "stage-changed"
"""With ``stage`` and ``epoch``."""

DIAL_CHANGED = "dial-changed"
"""With ``buckets``, those whose home is the target now, and ``epoch``."""

MEMBER_CLOSED = "member-closed"
"""With ``member``: it was shut out; whoever told finishes what it left."""

DISCREPANCY = "discrepancy"
"""With ``collection``, ``key``, what ``differs``, the ``paths`` of those fields where both sides
have a record, and whether it was ``repaired``."""

KINDS = frozenset({STAGE_CHANGED, DIAL_CHANGED, MEMBER_CLOSED, DISCREPANCY})
"""Every kind of event that there is."""


def _frozen(details: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(details))


@attrs.frozen
class Event:
    """One rare event.

    Attributes:
        kind: one of :data:`KINDS`.
        group: the group that it happened in.
        details: what more there is to say: names, keys and numbers, never values of fields.
    """

    kind: str = attrs.field(validator=attrs.validators.in_(KINDS))
    group: str
    details: Mapping[str, Any] = attrs.field(converter=_frozen, factory=dict)

    def as_mapping(self) -> dict[str, Any]:
        """The event as plugins get it: ``details`` with ``kind`` and ``group`` among them."""
        return {**self.details, "kind": self.kind, "group": self.group}


def nobody(_event: Event) -> None:
    """Where no plugin is to be told."""
