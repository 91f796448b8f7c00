"""Progress of long tasks, kept in the control store: what any process can read and take up."""

from __future__ import annotations

import attrs

from polystore.driver import Segment
from polystore.migration.ledger import Ledger
from polystore.migration.poison import asides, unsigned
from polystore.migration.stages import Setting
from polystore.values import Fields


@attrs.frozen(kw_only=True)
class SegmentProgress:
    """How far the copy of one segment is.

    Attributes:
        collection: its name.
        index, count, path: the segment, and how many there are; which part of it, where it was
            split.
        split: whether its halves have taken its place: then what it counted counts no more.
        cursor: where the next page begins; ``None`` at the beginning and at the end.
        done: whether the end was reached.
        pages: pages confirmed.
        scanned: records read from the source; each is one of the following three.
        written: records that the mirror took.
        newer: records that the mirror had already, as new or newer.
        rejected: records that were set aside: unreadable, or refused by the target.
    """

    collection: str
    index: int
    count: int
    cursor: str | None = None
    done: bool = False
    pages: int = 0
    scanned: int = 0
    written: int = 0
    newer: int = 0
    rejected: int = 0
    path: str = ""
    split: bool = False

    @property
    def segment(self) -> Segment:
        """What of the source it is."""
        return Segment(self.index, self.count, path=self.path)

    @property
    def left(self) -> bool:
        """Whether there is something of it to copy."""
        return not self.done and not self.split

    def halves(self) -> list[SegmentProgress]:
        """The two that take its place where it is split."""
        return [
            SegmentProgress(
                collection=self.collection, index=self.index, count=self.count, path=half.path
            )
            for half in self.segment.halves()
        ]

    def again(self) -> SegmentProgress:
        """The segment from its beginning, where its cursor has expired: it counts anew."""
        return SegmentProgress(
            collection=self.collection,
            index=self.index,
            count=self.count,
            path=self.path,
            pages=self.pages,
        )

    def item(self, copied: int) -> str:
        """Its item in the control store, for the copy that began in epoch ``copied``."""
        return f"copy/{copied}/{self.collection}/{self.index:05d}{self.path and '.'}{self.path}"

    def to_fields(self) -> Fields:
        """As fields of its record."""
        return attrs.asdict(self)

    @classmethod
    def from_fields(cls, fields: Fields) -> SegmentProgress:
        """What a record says."""
        known = {a.name: fields[a.name] for a in attrs.fields(cls) if a.name in fields}
        return cls(**known)  # type: ignore[arg-type]


@attrs.frozen(kw_only=True)
class Summary:
    """The copy of one collection, over all its segments.

    Attributes:
        unsigned: records that were set aside, for which nobody has answered.
    """

    segments: int = 0
    ended: int = 0
    pages: int = 0
    scanned: int = 0
    written: int = 0
    newer: int = 0
    rejected: int = 0
    unsigned: int = 0

    @property
    def reconciles(self) -> bool:
        """Whether every record that was read is accounted for."""
        return self.scanned == self.written + self.newer + self.rejected

    @property
    def done(self) -> bool:
        """Whether all segments ended, counts reconcile, and what was rejected is signed off."""
        return (
            self.segments > 0
            and self.ended == self.segments
            and self.reconciles
            and self.unsigned == 0
        )

    def text(self) -> str:
        """For people."""
        left = f" ({self.unsigned} not signed off: `polystore migrate poison`)"
        return (
            f"{self.ended} of {self.segments} segments, {self.scanned} read, "
            f"{self.written} written, {self.newer} newer, {self.rejected} rejected"
            f"{left if self.unsigned else ''}"
        )


async def segments(ledger: Ledger, setting: Setting, collection: str) -> list[SegmentProgress]:
    """The segments of the copy that counts, as far as they were planned."""
    stored = await ledger.all(f"copy/{setting.copied}/{collection}/")
    return [SegmentProgress.from_fields(s.fields) for s in stored if s.fields is not None]


async def copy_summary(ledger: Ledger, setting: Setting, collection: str) -> Summary:
    """The copy of one collection that counts, added up."""
    planned = await segments(ledger, setting, collection) if setting.copied else []
    parts = [part for part in planned if not part.split]
    rejected = sum(p.rejected for p in parts)
    aside = unsigned(await asides(ledger, setting, [collection])) if rejected else []
    return Summary(
        segments=planned[0].count + len(planned) - len(parts) if planned else 0,
        ended=sum(p.done for p in parts),
        pages=sum(p.pages for p in parts),
        scanned=sum(p.scanned for p in parts),
        written=sum(p.written for p in parts),
        newer=sum(p.newer for p in parts),
        rejected=rejected,
        unsigned=len(aside),
    )
