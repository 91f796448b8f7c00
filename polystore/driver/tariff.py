"""How a database counts what calls use: what a preflight foretells the cost of a stage with."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Tariff:
    """What a database counts for reads, writes and storage.

    The defaults are those of a database that counts nothing but rows.

    Attributes:
        writes, reads: what the counted units are called.
        write_bytes, read_bytes: bytes of a record that one unit covers; ``None`` where a record is
            one unit of any size.
        atomic: units of a write inside a commit for one outside.
        bulk: units of one of many conditional writes for one alone.
        looks: reads that a write under "stamp older than" takes.
        index_writes: whether each entry of a declared index is a write of its own, of the size of
            the record.
        overhead: bytes that are stored beside each record, and beside each index entry.
        source: where the numbers come from.
    """

    writes: str = "writes"
    reads: str = "reads"
    write_bytes: int | None = None
    read_bytes: int | None = None
    atomic: int = 1
    bulk: int = 1
    looks: int = 0
    index_writes: bool = False
    overhead: int = 0
    source: str = "a database of its own, which bills nothing"

    def write_units(self, size: int, entries: int = 0) -> int:
        """Units of one write of a record outside a commit.

        Args:
            size: bytes of the record as ``Driver.measure`` counts it.
            entries: declared indexes that the record is in.
        """
        units = _units(size, self.write_bytes)
        return units * (1 + entries) if self.index_writes else units

    def read_units(self, size: int) -> int:
        """Units of one strong read of a record."""
        return _units(size, self.read_bytes)

    def scan_units(self, size: int, records: int) -> int:
        """Units of one walk over ``records`` that have ``size`` bytes together."""
        return records if self.read_bytes is None else _units(size, self.read_bytes)

    def stored(self, size: int, records: int, entries: int) -> int:
        """Bytes that records of ``size`` bytes take, with those of their index entries."""
        copies = size * entries // max(records, 1) if self.index_writes else 0
        return size + copies + self.overhead * (records + entries)


def _units(size: int, covered: int | None) -> int:
    return 1 if covered is None else max(-(-size // covered), 1)
