"""What a member owes the mirror beyond its slots: dirty keys and dirty buckets.

When the mirror is down every slot would soon be owed. So the keys of owed slots *spill*: they are
named in a few more records beside the slots, and the slots are free again. Once these are full the
buckets of further keys are marked instead, and copied as a whole later. Pure: the state that its
owner keeps in memory, bounded whatever the outage.
"""

from __future__ import annotations

import attrs

from polystore.migration.slots import Slot, Target

KEYS = 256
"""Dirty keys of one record: some 20 KB, written again with each spill until it is full."""

RECORDS = 16
"""Records of dirty keys of one member on one side: some 4,000 keys, a few seconds of an outage."""


@attrs.define(eq=False)
class Named:
    """One record of dirty keys.

    Attributes:
        slot: the record; closing it stops its owner, as with every slot.
        keys: what it names and the mirror may lack, oldest first.
        draining: its keys are being read: a later commit of one of them is not covered by it.
    """

    slot: Slot
    keys: dict[Target, None] = attrs.field(factory=dict)
    draining: bool = False

    @property
    def room(self) -> int:
        """How many keys more it can name."""
        return KEYS - len(self.keys)


@attrs.define(eq=False)
class Copying:
    """A copy of dirty buckets under way.

    Attributes:
        buckets: those that were marked when it began.
        again: those in which something was left to it since.
        left: collections that it has not ended, the first of them read up to ``cursor``.
    """

    buckets: frozenset[int]
    left: list[str]
    cursor: str | None = None
    again: set[int] = attrs.field(factory=set)


@attrs.define(eq=False)
class Backlog:
    """The dirty set of one incarnation on one side.

    Attributes:
        records: records of dirty keys, oldest first.
        spare: records that name nothing any more.
        marking: the record of dirty buckets, where there is one.
        buckets: the buckets that it marks.
        copying: the copy of dirty buckets that is under way.
        busy: a task is writing one of its records.
        draining: a task is draining it.
        writes: how many writes it has taken over from slots since it was empty.
    """

    records: list[Named] = attrs.field(factory=list)
    spare: list[Slot] = attrs.field(factory=list)
    marking: Slot | None = None
    buckets: frozenset[int] = frozenset()
    copying: Copying | None = None
    busy: bool = False
    draining: bool = False
    writes: int = 0

    def lacking(self) -> int:
        """How many writes the mirror may lack for it, at most."""
        if self.empty:
            self.writes = 0
        return self.writes

    @property
    def empty(self) -> bool:
        """Whether the mirror lacks nothing that this names."""
        return not self.records and not self.buckets

    @property
    def keys(self) -> int:
        """How many dirty keys there are."""
        return sum(len(record.keys) for record in self.records)

    def entries(self) -> list[object]:
        """What it names, coarsely: the oldest key of each record, and each bucket."""
        oldest = [next(iter(record.keys), None) for record in list(self.records)]
        return [*(target for target in oldest if target is not None), *self.buckets]

    def covers(self, target: Target, bucket: int) -> bool:
        """Whether a record in the store answers for a key that was committed before now.

        A record whose keys are being read does not; a bucket whose copy has begun is copied again.
        """
        if any(target in record.keys for record in self.records if not record.draining):
            return True
        if bucket not in self.buckets:
            return False
        if self.copying is not None:
            self.copying.again.add(bucket)
        return True

    def filling(self) -> Named | None:
        """The record that takes the next dirty keys; ``None`` where a new one has to."""
        last = self.records[-1] if self.records else None
        full = last is None or last.draining or last.room <= 0
        return None if full else last

    def has_room(self) -> bool:
        """Whether a key more can be named by itself."""
        return self.filling() is not None or len(self.records) < RECORDS

    def begin_copy(self, collections: list[str]) -> Copying:
        """The copy of the buckets that are marked now, or the one that is under way."""
        if self.copying is None:
            self.copying = Copying(self.buckets, collections)
        return self.copying
