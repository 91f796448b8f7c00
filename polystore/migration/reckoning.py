"""What became of the writes that a member acknowledged while there was a mirror. Pure.

acknowledged = mirrored + caught up + open + under way: every write is in one of the four, in the
member's own counts as of its last report. ``repaired`` stands beside them: records that a
comparison mended, whoever had written them.
"""

from __future__ import annotations

import attrs

from polystore.migration.member import Member
from polystore.observe.counters import DUE, MIRRORED, OPEN_WRITES, PENDING, REPAIRED


@attrs.frozen
class Reckoning:
    """The sum of one member, or of all.

    Attributes:
        acknowledged: writes that are home, of stages with a mirror.
        mirrored: those that the mirror had before the application was told.
        caught_up: those that were left for later, and that the mirror has by now.
        open: those that it may lack, at most.
        under_way: those of operations that have not ended.
        repaired: records that a comparison found wrong, and mended.
    """

    acknowledged: int
    mirrored: int
    caught_up: int
    open: int
    under_way: int
    repaired: int

    @classmethod
    def of(cls, member: Member) -> Reckoning:
        """What a member told with its last report."""
        due, mirrored, pending = map(member.told, (DUE, MIRRORED, PENDING))
        left = min(member.told(OPEN_WRITES), pending)
        under_way = due - mirrored - pending
        return cls(due, mirrored, pending - left, left, under_way, member.told(REPAIRED))

    @property
    def reconciles(self) -> bool:
        """Whether no write was told of twice; at rest, none is under way either."""
        return self.under_way >= 0

    def __add__(self, other: Reckoning) -> Reckoning:
        mine, theirs = attrs.astuple(self), attrs.astuple(other)
        return Reckoning(*(a + b for a, b in zip(mine, theirs, strict=True)))

    def text(self) -> str:
        """For people."""
        sum_ = f"{self.mirrored} mirrored + {self.caught_up} caught up + {self.open} open"
        wrong = "" if self.reconciles else " (DOES NOT RECONCILE)"
        return (
            f"acknowledged {self.acknowledged} = {sum_} + {self.under_way} under way; "
            f"{self.repaired} repaired{wrong}"
        )


NOTHING = Reckoning(0, 0, 0, 0, 0, 0)
"""The sum of no member."""
