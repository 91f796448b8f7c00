"""Where a migration stands, as any process can see it."""

from __future__ import annotations

from typing import Any

import attrs

from polystore.errors import IllegalEdge
from polystore.migration.coordinator import Coordinator, Request
from polystore.migration.fleet import Fleet, place
from polystore.migration.gates import Gate
from polystore.migration.group import OpenGroup
from polystore.migration.progress import Summary, copy_summary
from polystore.migration.stages import Setting


@attrs.frozen
class Status:
    """What ``polystore migrate status`` shows."""

    group: str
    setting: Setting
    members: list[dict[str, Any]]
    copied: dict[str, Summary]
    gates: list[Gate]

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "group": self.group,
            "setting": {**self.setting.to_fields(), "dial": self.setting.dial()},
            "members": self.members,
            "copied": {name: attrs.asdict(s) for name, s in self.copied.items()},
            "gates": [attrs.asdict(gate) for gate in self.gates],
        }


async def status_of(group: OpenGroup) -> Status:
    """Read everything; changes nothing."""
    setting = await group.ledger.setting()
    members = [
        {
            "id": member.id,
            "state": member.state,
            "acked": member.acked,
            "barrier": member.barrier,
            "where": place(member),
        }
        for member in await Fleet(group).members()
    ]
    copied = {}
    if setting.copied:
        for name in group.collections:
            copied[name] = await copy_summary(group.ledger, setting, name)
    try:
        gates = await Coordinator(group).gates(Request("", ""))
    except IllegalEdge:
        gates = []
    return Status(group.config.name, setting, members, copied, gates)
