"""Rare events of a migration: what plugins are told of, never per call of an application."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

STAGE_CHANGED = "stage-changed"
DIAL_CHANGED = "dial-changed"
MEMBER_JOINED = "member-joined"
MEMBER_CLOSED = "member-closed"
MEMBER_RECOVERED = "member-recovered"
GATE_OVERRIDDEN = "gate-overridden"
CHECKPOINT = "checkpoint"
BACKFILL_FINISHED = "backfill-finished"
VERIFICATION_FINISHED = "verification-finished"
DISCREPANCY = "discrepancy"
REPAIRED = "repaired"

KINDS = frozenset(
    {
        STAGE_CHANGED,
        DIAL_CHANGED,
        MEMBER_JOINED,
        MEMBER_CLOSED,
        MEMBER_RECOVERED,
        GATE_OVERRIDDEN,
        CHECKPOINT,
        BACKFILL_FINISHED,
        VERIFICATION_FINISHED,
        DISCREPANCY,
        REPAIRED,
    }
)
"""Every kind of event that there is."""


def _frozen(details: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(details))


@attrs.frozen
class Event:
    """One rare event.

    Attributes:
        kind: one of :data:`KINDS`.
        group: the group that it happened in.
        details: what more there is to say, as plain JSON values: keys and numbers, never values
            of fields.
    """

    kind: str = attrs.field(validator=attrs.validators.in_(KINDS))
    group: str
    details: Mapping[str, Any] = attrs.field(converter=_frozen, factory=dict)

    def as_mapping(self) -> dict[str, Any]:
        """The event as plugins get it: ``details`` with ``kind`` and ``group`` among them."""
        return {**self.details, "kind": self.kind, "group": self.group}
