"""Where a migration stands, as any process can see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs

from polystore.errors import IllegalEdge
from polystore.migration.coordinator import Coordinator, Request
from polystore.migration.fleet import Fleet, place
from polystore.migration.gates import Gate
from polystore.migration.group import OpenGroup
from polystore.migration.member import Member
from polystore.migration.progress import Summary, copy_summary
from polystore.migration.stages import Setting
from polystore.observe.counters import SHOWN


@attrs.frozen
class Status:
    """What ``polystore migrate status`` shows."""

    group: str
    setting: Setting
    members: list[dict[str, Any]]
    copied: dict[str, Summary]
    counts: dict[str, int]
    gates: list[Gate]

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "group": self.group,
            "setting": {**self.setting.to_fields(), "dial": self.setting.dial()},
            "members": self.members,
            "copied": {name: attrs.asdict(s) for name, s in self.copied.items()},
            "counts": self.counts,
            "gates": [attrs.asdict(gate) for gate in self.gates],
        }


async def status_of(group: OpenGroup) -> Status:
    """Read everything; changes nothing."""
    setting = await group.ledger.setting()
    fleet = await Fleet(group).members()
    members = [
        {
            "id": member.id,
            "state": member.state,
            "acked": member.acked,
            "barrier": member.barrier,
            "where": place(member),
        }
        for member in fleet
    ]
    copied = {}
    if setting.copied:
        for name in group.collections:
            copied[name] = await copy_summary(group.ledger, setting, name)
    try:
        gates = await Coordinator(group).gates(Request("", ""))
    except IllegalEdge:
        gates = []
    return Status(group.config.name, setting, members, copied, counts_of(fleet), gates)


def counts_of(members: Sequence[Member]) -> dict[str, int]:
    """What the members there are have counted so far, as of their last beat, added up."""
    found: Counter[str] = Counter()
    for member in members:
        for name, value in (member.stored.fields or {}).items():
            if name.partition(":")[0] in SHOWN and type(value) is int:
                found[name] += value
    return dict(sorted(found.items()))
