"""Where a migration stands, as any process can see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs

from polystore.errors import IllegalEdge
from polystore.migration.checks import Gate
from polystore.migration.coordinator import Coordinator
from polystore.migration.fleet import Fleet, place
from polystore.migration.group import OpenGroup
from polystore.migration.member import Member
from polystore.migration.progress import SegmentProgress, Summary, copy_summary, segments
from polystore.migration.reckoning import NOTHING, Reckoning
from polystore.migration.request import NOBODY
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Setting, Stage
from polystore.observe.counters import BACKLOG_MS, SHOWN


@attrs.frozen
class Handover:
    """A batch of buckets that is changing homes just now.

    Attributes:
        first, last: the buckets, both included.
        to: the side that is to be their home.
        acked, members: how many members have acknowledged the freeze, and how many there are.
    """

    first: int
    last: int
    to: str
    acked: int
    members: int

    @classmethod
    def of(cls, setting: Setting, members: Sequence[Member]) -> Handover | None:
        """What is frozen, or ``None``."""
        if setting.frozen is None or setting.lost is not None:
            return None
        low, high = setting.frozen
        to = TARGET if low >= setting.moved else SOURCE
        acked = sum(m.acked >= setting.epoch for m in members)
        return cls(low, high - 1, to, acked, len(members))

    def text(self) -> str:
        """For people."""
        return (
            f"buckets {self.first} to {self.last} are on their way to the {self.to}: {self.acked} "
            f"of {self.members} members have acknowledged the freeze"
        )


@attrs.frozen
class Status:
    """What ``polystore migrate status`` shows.

    Attributes:
        members: those there are, and those that nobody has recovered yet.
        copied: the copy that counts, by collection.
        parts: its segments, where they were asked for.
        counts: what all members have counted.
        gates: those of the next stage.
        dial_gates: those of moving the dial on; none where it cannot move on.
    """

    group: str
    setting: Setting
    members: list[Member]
    copied: dict[str, Summary]
    parts: list[SegmentProgress]
    counts: dict[str, int]
    gates: list[Gate]
    dial_gates: list[Gate]

    @property
    def handover(self) -> Handover | None:
        """The batch of buckets that is changing homes."""
        return Handover.of(self.setting, self.members)

    @property
    def reckoning(self) -> Reckoning:
        """What became of the writes of all members."""
        return sum((Reckoning.of(member) for member in self.members), NOTHING)

    def data(self) -> dict[str, Any]:
        """For programs."""
        handover = self.handover
        return {
            "group": self.group,
            "setting": {**self.setting.to_fields(), "dial": self.setting.dial()},
            "members": [member_data(member) for member in self.members],
            "handover": None if handover is None else attrs.asdict(handover),
            "copied": {name: attrs.asdict(s) for name, s in self.copied.items()},
            "segments": [attrs.asdict(part) for part in self.parts],
            "counts": self.counts,
            "writes": reckoning_data(self.reckoning),
            "gates": [attrs.asdict(gate) for gate in self.gates],
            "dial_gates": [attrs.asdict(gate) for gate in self.dial_gates],
        }


def member_data(member: Member) -> dict[str, Any]:
    """A member for programs."""
    return {
        "id": member.id,
        "state": member.state,
        "acked": member.acked,
        "barrier": member.barrier,
        "where": place(member),
        "speaks": member.speaks,
        "slots": dict(member.slots),
        "lacks": member.lacks,
        "backlog_seconds": member.told(BACKLOG_MS) / 1000,
        "writes": reckoning_data(Reckoning.of(member)),
    }


def reckoning_data(sum_: Reckoning) -> dict[str, Any]:
    """A sum for programs."""
    return {**attrs.asdict(sum_), "reconciles": sum_.reconciles}


async def status_of(group: OpenGroup, *, parts: bool = False) -> Status:
    """Read everything; changes nothing.

    Args:
        parts: whether the progress of each single segment is wanted.
    """
    setting = await group.ledger.setting()
    fleet = await Fleet(group).members()
    copied, found = {}, []
    for name in group.collections if setting.copied else ():
        copied[name] = await copy_summary(group.ledger, setting, name)
        found += await segments(group.ledger, setting, name) if parts else []
    coordinator = Coordinator(group)
    try:
        gates = await coordinator.gates(NOBODY)
    except IllegalEdge:
        gates = []
    turns = setting.stage is Stage.DUAL_READ and setting.moved < BUCKETS
    dial_gates = await coordinator.gates(NOBODY, dial=100.0) if turns else []
    return Status(
        group.config.name, setting, fleet, copied, found, counts_of(fleet), gates, dial_gates
    )


def counts_of(members: Sequence[Member]) -> dict[str, int]:
    """What the members there are have counted so far, as of their last beat, added up."""
    found: Counter[str] = Counter()
    for member in members:
        for name, value in (member.stored.fields or {}).items():
            if name.partition(":")[0] in SHOWN and type(value) is int:
                found[name] += value
    return dict(sorted(found.items()))
