"""One collection on its way through a verification: what was walked, what is kept. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container
from hashlib import blake2b
from itertools import islice
from typing import TypeAlias

import attrs

from polystore.driver import ScanPage, Segment, Stored
from polystore.errors import MigrationError
from polystore.migration.compare import KINDS, summary
from polystore.migration.repair import Discrepancy
from polystore.migration.stages import SOURCE, TARGET, Setting
from polystore.schema import Collection
from polystore.values import Key

PAGE = 1000
"""Records of one page."""

MOST_KEPT = 1_000_000
"""Records whose stamp and digest are kept at once, of both sides, about 300 bytes each."""

PARTS = 100
"""Segments that a sample is drawn from, on each side."""

State: TypeAlias = tuple[int, str]
"""Stamp and digest of a record: what is compared of two."""


@attrs.frozen(kw_only=True)
class Sample:
    """A part of each side, drawn by a seed, whose records are compared with their partners.

    Attributes:
        share: how many percent of the segments, above 0; at least one segment is drawn.
        seed: the same seed draws the same segments.
    """

    share: float
    seed: int = 0

    def segments(self, side: str) -> list[Segment]:
        """Those that were drawn of one side."""

        def rank(index: int) -> bytes:
            return blake2b(f"{self.seed}/{side}/{index}".encode(), digest_size=8).digest()

        drawn = sorted(range(PARTS), key=rank)[: math.ceil(PARTS * self.share / 100)]
        return [Segment(index, PARTS) for index in sorted(drawn)]


@attrs.define(kw_only=True)
class Verified:
    """What a verification found for one collection.

    Attributes:
        rules: what the comparison left out, and brought to a form.
        walked: records seen on each side, tombstones included, by side.
        equal: records of the source whose partner agreed at first sight.
        suspects: keys looked at again behind a barrier.
        aside: records that the copy has set aside, and that somebody has signed off.
        discrepancies: what was left, and whether it was repaired.
        way_back: what is in the way back, while the dial is at 0; empty for nothing.
    """

    collection: str
    rules: tuple[str, ...] = ()
    walked: dict[str, int] = attrs.field(factory=lambda: {SOURCE: 0, TARGET: 0})
    equal: int = 0
    suspects: int = 0
    aside: int = 0
    discrepancies: list[Discrepancy] = attrs.field(factory=list)
    way_back: str = ""

    @property
    def open(self) -> int:
        """Discrepancies that were not repaired."""
        return sum(not d.repaired for d in self.discrepancies)

    @property
    def repaired(self) -> int:
        """Discrepancies that were repaired."""
        return sum(d.repaired for d in self.discrepancies)

    def kinds(self) -> dict[str, int]:
        """How many discrepancies there are of each kind."""
        found = Counter(d.kind for d in self.discrepancies)
        return {**dict.fromkeys(KINDS, 0), **found}

    def paths(self) -> dict[str, int]:
        """How many discrepancies there are at each field, most first; never what it holds."""
        return dict(Counter(path for d in self.discrepancies for path in d.paths).most_common())


@attrs.define
class Part:
    """A segment of one side, and how far it has been walked."""

    segment: Segment
    cursor: str | None = None
    done: bool = False


class Walk:
    """One collection while both sides are walked: what is kept of each, and the suspects so far.

    Attributes:
        parts: what is walked of each side, and how far that is.
        compared_of: how many records of each side were compared.
        explained_of: how many of them were met again, or left out as nothing of this run.
    """

    def __init__(
        self, setting: Setting, collection: Collection, parts: dict[str, list[Part]]
    ) -> None:
        self.setting = setting
        self.collection = collection
        self.parts = parts
        self.found = Verified(collection=collection.name, rules=collection.compare.rules)
        self.kept: dict[str, dict[Key, State]] = {SOURCE: {}, TARGET: {}}
        self.unread: dict[str, dict[Key, None]] = {SOURCE: {}, TARGET: {}}
        self.suspects: dict[Key, None] = {}
        self.compared_of: Counter[str] = Counter()
        self.explained_of: Counter[str] = Counter()

    @property
    def done(self) -> bool:
        """Whether every segment was walked to its end."""
        return not any(map(self.left, self.parts))

    def left(self, name: str) -> list[Part]:
        """The segments of one side that were not walked to their end."""
        return [part for part in self.parts[name] if not part.done]

    def summary(self, stored: Stored) -> State:
        """What is kept of a record."""
        return summary(self.setting, stored, self.collection.compare)

    def arrived(self, name: str, page: ScanPage, keys: int) -> None:
        """A page of one side was read; it has so many ``keys`` of records that could be read."""
        seen, unread = len(page.records) + len(page.unreadable), self.unread[name]
        before = len(unread)
        unread.update((found.key, None) for found in page.unreadable)
        self.found.walked[name] += seen
        self.explained_of[name] += seen - keys - (len(unread) - before)

    def meets(self, name: str, key: Key, state: State) -> bool:
        """Compare a record with its partner if that has come by, else keep it for that.

        ``False``: there is no room to keep it.
        """
        partner = self.kept[TARGET if name == SOURCE else SOURCE].pop(key, None)
        if partner is not None:
            self.compared_of.update((SOURCE, TARGET))
            self._judge(key, equal=partner == state)
            return True
        mine = self.kept[name]
        if key in mine:  # written while its side was walked, and met again
            self.explained_of[name] += 1
        elif sum(map(len, self.kept.values())) >= MOST_KEPT:
            return False
        mine[key] = state
        return True

    def of_this_run(self, name: str, states: dict[Key, State], homes: Container[Key]) -> list[Key]:
        """Of a page of one side, what this run has written there as its home; the rest is left."""
        floor = self.setting.floor()
        keys = [key for key, (stamp, _) in states.items() if stamp > floor and key in homes]
        self.explained_of[name] += len(states) - len(keys)
        return keys

    def compared(self, name: str, key: Key, *, equal: bool) -> None:
        """A record was compared with its partner, read for it."""
        self.compared_of[name] += 1
        self._judge(key, equal=equal, counts=name == SOURCE)

    def left_over(self, name: str) -> list[tuple[Key, State]]:
        """Up to a page of what one side still keeps, which is kept no longer."""
        mine = self.kept[name]
        return [(key, mine.pop(key)) for key in list(islice(mine, PAGE))]

    def reconcile(self) -> None:
        """Each record that was walked has been compared, or is explained (VER-3).

        Raises:
            MigrationError: one was lost between the two; nothing of the run counts.
        """
        for name, walked in self.found.walked.items():
            explained = self.explained_of[name] + len(self.unread[name])
            if walked != self.compared_of[name] + explained:
                raise MigrationError(
                    f"{self.collection.name}, {name}: {walked} records were walked, "
                    f"{self.compared_of[name]} compared and {explained} explained: the run has "
                    "failed, which is a defect of polystore: report it, and verify again"
                )

    def _judge(self, key: Key, *, equal: bool, counts: bool = True) -> None:
        if not equal:
            self.suspects[key] = None
        elif counts:
            self.found.equal += 1
