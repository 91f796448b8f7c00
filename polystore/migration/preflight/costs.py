"""What each stage, the copy and a verification will use, computed from sizes. Pure.

The units are those that a database counts (``Driver.tariff``). Traffic is told for one operation
on a record of average size: times the operations a second, it is units a second.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from polystore.driver import Tariff
from polystore.migration.stages import Stage
from polystore.values import Fields

SLOT_BYTES = 300
"""Bytes of a slot with the intent of one key, and some to spare: one unit everywhere."""


@attrs.define
class Usage:
    """The records of one side, added up; all are ints, so that sums of parts are exact.

    Attributes:
        records, bytes: how many, and their sizes together.
        largest: the largest size.
        writes: units of one plain write of each.
        reads: units of one strong read of each.
        entries: entries of declared indexes.
    """

    records: int = 0
    bytes: int = 0
    largest: int = 0
    writes: int = 0
    reads: int = 0
    entries: int = 0

    def add(self, tariff: Tariff, size: int, entries: int) -> None:
        """Count one more record."""
        self.records += 1
        self.bytes += size
        self.largest = max(self.largest, size)
        self.writes += tariff.write_units(size, entries)
        self.reads += tariff.read_units(size)
        self.entries += entries

    def join(self, other: Usage) -> None:
        """Count all that ``other`` counted."""
        self.records += other.records
        self.bytes += other.bytes
        self.largest = max(self.largest, other.largest)
        self.writes += other.writes
        self.reads += other.reads
        self.entries += other.entries

    def to_fields(self) -> Fields:
        """As a value of the control store."""
        return attrs.asdict(self)

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> Usage:
        """What :meth:`to_fields` made."""
        return cls(**{a.name: fields[a.name] for a in attrs.fields(cls)})  # type: ignore[arg-type]


@attrs.frozen
class Units:
    """Units of one operation at one side."""

    writes: float = 0.0
    reads: float = 0.0


@attrs.frozen
class Billed:
    """One side: what is on it, and how its database counts."""

    usage: Usage
    tariff: Tariff

    def read(self) -> Units:
        """One strong read of an average record."""
        return Units(reads=self.usage.reads / max(self.usage.records, 1))

    def plain(self) -> Units:
        """One put without bookkeeping: nothing is read."""
        return Units(writes=self.usage.writes / max(self.usage.records, 1))

    def stamped(self) -> Units:
        """One put as a home: the record is read, then written with a slot in one commit."""
        slot = self.tariff.write_units(SLOT_BYTES)
        return Units(self.tariff.atomic * (self.plain().writes + slot), self.read().reads)

    def mirrored(self) -> Units:
        """One put as a mirror: written if its stamp is older."""
        return Units(self.plain().writes, self.tariff.looks * self.read().reads)


@attrs.frozen
class StageCost:
    """One operation in one stage, at each side."""

    stage: str
    put_source: Units
    put_target: Units
    get_source: Units
    get_target: Units


NOTHING_USED = Units()


def stage_costs(source: Billed, target: Billed) -> list[StageCost]:
    """Every stage of a migration, in order; every read of dual-read is compared."""
    s, t, none = source, target, NOTHING_USED
    dual_read = Stage.DUAL_READ.value
    return [
        StageCost(Stage.SOURCE_ONLY.value, s.plain(), none, s.read(), none),
        StageCost(Stage.PREPARE.value, s.stamped(), none, s.read(), none),
        StageCost(Stage.DUAL_WRITE.value, s.stamped(), t.mirrored(), s.read(), none),
        StageCost(f"{dual_read}, dial 0 %", s.stamped(), t.mirrored(), s.read(), t.read()),
        StageCost(f"{dual_read}, dial 100 %", s.mirrored(), t.stamped(), s.read(), t.read()),
        StageCost(Stage.TARGET_ONLY.value, none, t.stamped(), none, t.read()),
        StageCost(Stage.CLEAN.value, none, t.plain(), none, t.read()),
    ]


@attrs.frozen
class Totals:
    """What is used once.

    Attributes:
        copy_reads, copy_writes: the copy, at the source and at the target.
        verify_source, verify_target: reads of one verification.
        stored: bytes on the target afterwards, its index entries included.
    """

    copy_reads: int
    copy_writes: int
    verify_source: int
    verify_target: int
    stored: int


def totals(source: Billed, target: Billed) -> Totals:
    """What the copy and one verification use, and what the target will hold."""
    walked = [b.tariff.scan_units(b.usage.bytes, b.usage.records) for b in (source, target)]
    usage = target.usage
    return Totals(
        copy_reads=walked[0],
        copy_writes=target.tariff.bulk * usage.writes,
        verify_source=walked[0],
        verify_target=walked[1],
        stored=target.tariff.stored(usage.bytes, usage.records, usage.entries),
    )
