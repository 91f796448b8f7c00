"""Verification: both sides are walked in full and compared, beside live writes, without alarm.

Both sides are walked at once, each in its own order: stamp and digest of a record are kept until
its partner comes by. What there is no room to keep is compared with its partner at once, looked up
by key; so is what is left over at the end. Suspects are told apart behind one barrier. A walk that
did not end, or counts that do not reconcile, make the run a failed one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import blake2b
from itertools import chain, islice
from typing import TypeAlias

import attrs

from polystore.driver import ScanPage, Segment, Stored
from polystore.driver.side import read_all
from polystore.effects import SECOND, Both, WallClock
from polystore.errors import InvalidRequest, MigrationError
from polystore.migration.backfill import patiently
from polystore.migration.canary import way_back
from polystore.migration.compare import FOREIGN, KINDS, UNREADABLE, summary
from polystore.migration.fleet import Fleet
from polystore.migration.foreign import forget
from polystore.migration.group import OpenGroup
from polystore.migration.poison import asides, poison, unsigned
from polystore.migration.recording import Recorded
from polystore.migration.repair import Discrepancy, certain, repaired, tell
from polystore.migration.request import NOBODY, Request
from polystore.migration.session import Session
from polystore.migration.stages import SOURCE, TARGET, Setting, Stage
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
        walked: records seen on each side, tombstones included, by side.
        equal: records of the source whose partner agreed at first sight.
        suspects: keys looked at again behind a barrier.
        aside: records that the copy has set aside, and that somebody has signed off.
        discrepancies: what was left, and whether it was repaired.
        way_back: what is in the way back, while the dial is at 0; empty for nothing.
    """

    collection: str
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


class Verifier:
    """Compares the two sides of a group.

    Args:
        session: a member, which repairs need.
        fleet: raises the barrier.
        repair: whether discrepancies are repaired, or only reported.
        parallel: segments of each side walked at once.
        sample: walk only this; such a run opens no gate. ``None``: everything.
        request: who asks, and why, for the history.
        progress: told how many records of which side were walked.
    """

    def __init__(
        self,
        session: Session,
        fleet: Fleet,
        *,
        repair: bool = True,
        parallel: int = 2,
        sample: Sample | None = None,
        request: Request = NOBODY,
        progress: Callable[[str, str, int], None] = lambda *_: None,
    ) -> None:
        if parallel < 1:
            raise InvalidRequest("a verification walks at least one segment at a time")
        self.session = session
        self.group: OpenGroup = session.group
        self._fleet = fleet
        self._repair = repair
        if sample is not None and not 0 < sample.share <= 100:
            raise InvalidRequest("a sample is above 0 and at most 100 percent")
        self._parallel = parallel
        self._sample = sample
        self._request = request
        self._progress = progress

    async def run(self) -> dict[str, Verified]:
        """Walk and compare every collection; what was found, per collection.

        A full run that leaves nothing open is recorded: it opens the gates that ask for one.

        Raises:
            MigrationError: not in dual-read, or a home moved meanwhile: the run has failed.
        """
        setting = await self.group.ledger.setting()
        if setting.stage is not Stage.DUAL_READ:
            raise MigrationError(
                f"verification needs dual-read; the stage is {setting.stage.value}"
            )
        share = "" if self._sample is None else f" {self._sample.share:g} %"
        what = f"verify{share}{'' if self._repair else ', no repair'}"
        async with Recorded(self.group.ledger, setting, what, self._request) as told:
            await self._fleet.barrier(within=30.0)
            found = {
                name: await self._collection(setting, collection)
                for name, collection in self.group.collections.items()
            }
            told += [f"{v.collection} {v.repaired} repaired, {v.open} open" for v in found.values()]
            at = await WallClock() // SECOND
            clean = self._sample is None and all(v.open == 0 for v in found.values())
            led_back = self._sample is None and not any(v.way_back for v in found.values())
            await self._counts(setting, at if clean else None, led_back=led_back)
            if self._sample is None and not any(v.kinds()[FOREIGN] for v in found.values()):
                await forget(self.group.ledger, setting)
        return found

    async def _counts(self, at: Setting, clean_at: int | None, *, led_back: bool) -> None:
        def change(now: Setting) -> Setting | None:
            same = (now.run, now.stage, now.turned, now.moved) == (
                at.run, at.stage, at.turned, at.moved,
            )  # fmt: skip
            if not same:
                raise MigrationError("a home moved during the verification: run it again")
            proven = now.epoch if led_back and now.moved == 0 else now.proven
            if clean_at is not None:
                now = attrs.evolve(now, verified=now.epoch, verified_at=clean_at)
            return attrs.evolve(now, proven=proven)

        await self.group.ledger.change_setting(change)

    async def _collection(self, setting: Setting, collection: Collection) -> Verified:
        walk = _Walk(setting, collection, Verified(collection=collection.name))
        queues = {side: self._segments(side) for side in (SOURCE, TARGET)}
        ways = [side for _ in range(self._parallel) for side in queues]
        await Both(*(self._work(walk, side, queues[side]) for side in ways))
        found = await self._ended(walk)
        targets = [(collection.name, key) for key in walk.suspects]
        found.suspects = len(targets)
        looks = await certain(self.group, self._fleet, targets)
        left = [look for look in looks if not look.aside]
        apart = {look.target[1]: look.kind or "" for look in looks if look.aside}
        await self._set_aside(walk, apart | dict.fromkeys(chain(*walk.unread.values()), UNREADABLE))
        for look in left:
            found.discrepancies.append(await repaired(self.session, look, repair=self._repair))
        tell(self.group, found.discrepancies)
        if self._sample is None and setting.moved == 0:
            found.way_back = await way_back(self.group, setting, collection)
        return found

    async def _set_aside(self, walk: _Walk, apart: Mapping[Key, str]) -> None:
        """What only the source holds, or what cannot be read: explained where it is signed off."""
        if not apart:
            return
        name, found, ledger = walk.collection.name, walk.found, self.group.ledger
        open_ = {p.key for p in unsigned(await asides(ledger, walk.setting, [name]))}
        for key, kind in apart.items():
            known = await poison(ledger, walk.setting, name, key)
            if known is not None and known.key not in open_:
                found.aside += 1
            else:
                found.discrepancies.append(Discrepancy(name, key, kind, False))

    def _segments(self, side: str) -> list[Segment]:
        """What is walked of one side."""
        if self._sample is not None:
            return self._sample.segments(side)
        return [Segment(index, self._parallel) for index in range(self._parallel)]

    async def _work(self, walk: _Walk, side: str, queue: list[Segment]) -> None:
        while queue:
            await self._walk(walk, side, queue.pop(0))

    async def _walk(self, walk: _Walk, name: str, segment: Segment) -> None:
        """Walk one segment of one side, page by page."""
        side = self.group.sides[name].background()
        cursor: str | None = None
        while True:
            portion = side.portion(PAGE)
            page = await patiently(partial(side.scan, walk.collection, segment, cursor, portion))
            states = {s.key: walk.summary(s) for s in page.records}
            with self.session.signal:
                walk.arrived(name, page, len(states))
                alone = [s for s in states.items() if not walk.meets(name, *s)]
            await self._looked_up(walk, name, alone)
            self._progress(walk.collection.name, name, len(states))
            cursor = page.cursor
            if cursor is None:
                return

    async def _looked_up(self, walk: _Walk, name: str, alone: list[tuple[Key, State]]) -> None:
        """Compare records of one side with their partners, read now."""
        other = self.group.other(self.group.sides[name]).background()
        while alone:
            portion = other.portion(len(alone))
            part, alone = alone[:portion], alone[portion:]
            theirs = await read_all(other, walk.collection, [key for key, _ in part])
            with self.session.signal:
                for (key, state), their in zip(part, theirs, strict=True):
                    equal = their is not None and walk.summary(their) == state
                    walk.compared(name, key, equal=equal)

    async def _ended(self, walk: _Walk) -> Verified:
        """Both walks are at their end: what is still kept has met no partner, and looks it up."""
        for name in walk.kept:
            while left := walk.left_over(name):
                await self._looked_up(walk, name, left)
        walk.reconcile()
        return walk.found


class _Walk:
    """One collection while both sides are walked: what is kept of each, and the suspects so far."""

    def __init__(self, setting: Setting, collection: Collection, found: Verified) -> None:
        self.setting = setting
        self.collection = collection
        self.found = found
        self.kept: dict[str, dict[Key, State]] = {SOURCE: {}, TARGET: {}}
        self.unread: dict[str, dict[Key, None]] = {SOURCE: {}, TARGET: {}}
        self.suspects: dict[Key, None] = {}
        self._compared: Counter[str] = Counter()
        self._repeated: Counter[str] = Counter()

    def summary(self, stored: Stored) -> State:
        """What is kept of a record."""
        return summary(self.setting, stored, self.collection.compare)

    def arrived(self, name: str, page: ScanPage, keys: int) -> None:
        """A page of one side was read; it has so many ``keys`` of records that could be read."""
        seen, unread = len(page.records) + len(page.unreadable), self.unread[name]
        before = len(unread)
        unread.update((found.key, None) for found in page.unreadable)
        self.found.walked[name] += seen
        self._repeated[name] += seen - keys - (len(unread) - before)

    def meets(self, name: str, key: Key, state: State) -> bool:
        """Compare a record with its partner if that has come by, else keep it for that.

        ``False``: there is no room to keep it.
        """
        partner = self.kept[TARGET if name == SOURCE else SOURCE].pop(key, None)
        if partner is not None:
            self._compared.update((SOURCE, TARGET))
            self._judge(key, equal=partner == state)
            return True
        mine = self.kept[name]
        if key in mine:  # written while its side was walked, and met again
            self._repeated[name] += 1
        elif sum(map(len, self.kept.values())) >= MOST_KEPT:
            return False
        mine[key] = state
        return True

    def compared(self, name: str, key: Key, *, equal: bool) -> None:
        """A record was compared with its partner, read for it."""
        self._compared[name] += 1
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
            explained = self._repeated[name] + len(self.unread[name])
            if walked != self._compared[name] + explained:
                raise MigrationError(
                    f"{self.collection.name}, {name}: {walked} records were walked, "
                    f"{self._compared[name]} compared and {explained} explained: the run has "
                    "failed, which is a defect of polystore: report it, and verify again"
                )

    def _judge(self, key: Key, *, equal: bool, counts: bool = True) -> None:
        if not equal:
            self.suspects[key] = None
        elif counts:
            self.found.equal += 1
