"""Backfill: every record of the source is brought to the target, beside live writes.

Each segment is scanned page by page; a page is written to the mirror by stamp, and its checkpoint
follows once the mirror has confirmed all of it. Copiers may be killed, resumed and doubled: they
only repeat what does no harm [M: BF_BLIND, BF_IFABSENT].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs

from polystore.capacity import Capacity
from polystore.driver import ScanPage
from polystore.driver.side import Side, read_one
from polystore.effects import Both, Now
from polystore.errors import (
    CursorExpired,
    DriverError,
    InvalidRequest,
    MigrationError,
    OutcomeUnknown,
    PolystoreError,
    Throttled,
    Unavailable,
)
from polystore.migration.bringing import Bringing, Brought
from polystore.migration.fleet import Fleet
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import SLOTS, Ledger
from polystore.migration.member import Member
from polystore.migration.poison import Poison, set_aside
from polystore.migration.progress import SegmentProgress, Summary, copy_summary, segments
from polystore.migration.recording import Recorded
from polystore.migration.request import Request
from polystore.migration.scanning import Scanning
from polystore.migration.stages import SOURCE, Setting, Stage
from polystore.schema import Collection
from polystore.values import Fields

PAGE = 500
"""Records of one page: a checkpoint follows each."""

MOST_HALVINGS = 24
"""How often a segment is halved at most: then each part of a million records has one or none."""


class Copier:
    """Copies a group's collections from source to target.

    Args:
        group: the open group.
        parallel: how many segments are copied at once.
        page: records of one page.
        progress: told of each confirmed page.
        begun: told of each page before it is sent to the target.
        running: asked before each page; ``False`` stops the copy where it is.
        rate: records a second that are brought to the target, by all segments together; ``None``:
            what the control record says, or else the configuration.
        request: who begins the copy, and why, for the history; ``None`` keeps it out of that.
    """

    def __init__(
        self,
        group: OpenGroup,
        *,
        parallel: int = 4,
        page: int = PAGE,
        progress: Callable[[SegmentProgress], None] = lambda _: None,
        begun: Callable[[SegmentProgress], None] = lambda _: None,
        running: Callable[[], bool] = lambda: True,
        rate: float | None = None,
        request: Request | None = None,
    ) -> None:
        if parallel < 1 or page < 1:
            raise InvalidRequest("a copy needs at least one segment, and a record a page")
        self.group = group
        self._parallel = parallel
        self._page = page
        self._progress = progress
        self._begun = begun
        self._running = running
        self._rate = rate
        self._request = request
        self._bringing = Bringing(group, self._heed)
        self._looked = -math.inf
        self._pressed: dict[str, int] = {}

    async def run(self) -> dict[str, Summary]:
        """Copy everything that is not copied yet; the sums per collection.

        Raises:
            MigrationError: the stage is not dual-write, or members have not acknowledged it yet.
            PolystoreError: a store failed for good; run it again, it goes on where it was.
        """
        ledger = self.group.ledger
        setting = await ledger.setting()
        if setting.stage is not Stage.DUAL_WRITE:
            raise MigrationError(f"the copy runs in dual-write; the stage is {setting.stage.value}")
        await self._heed()
        late = await self._late(setting)
        if late:
            raise MigrationError(f"{len(late)} members have not acknowledged dual-write yet")
        if self._request is None:
            return await self._all(setting)
        async with Recorded(ledger, setting, "backfill", self._request) as told:
            found = await self._all(setting)
            told += [f"{name}: {summary.text()}" for name, summary in found.items()]
        return found

    async def _all(self, setting: Setting) -> dict[str, Summary]:
        ledger = self.group.ledger
        for name, collection in self.group.collections.items():
            parts = await self._planned(ledger, setting, name)
            queue = [part for part in parts if part.left]
            await Both(
                *(
                    self._work(setting, collection, queue)
                    for _ in range(min(self._parallel, len(queue)))
                )
            )
        return {name: await copy_summary(ledger, setting, name) for name in self.group.collections}

    async def _late(self, setting: Setting) -> list[Member]:
        """Who may still write without mirroring, behind a copier that has passed [M: BF_EARLY]."""
        return await Fleet(self.group).behind(setting)

    async def _planned(self, ledger: Ledger, setting: Setting, name: str) -> list[SegmentProgress]:
        """The segments as they stand; planned now where nobody has. The first plan counts."""
        parts = await segments(ledger, setting, name)
        count = parts[0].count if parts else self._parallel
        plan = [SegmentProgress(collection=name, index=i, count=count) for i in range(count)]
        plan += [half for part in parts if part.split for half in part.halves()]
        known = {part.segment for part in parts}
        new = [part for part in plan if part.segment not in known]
        for part in new:
            await ledger.put(part.item(setting.copied), part.to_fields(), None)
        return await segments(ledger, setting, name) if new else parts

    async def _work(
        self, setting: Setting, collection: Collection, queue: list[SegmentProgress]
    ) -> None:
        while queue and self._running():
            queue += await self._segment(setting, collection, queue.pop(0))

    async def _segment(
        self, setting: Setting, collection: Collection, part: SegmentProgress
    ) -> list[SegmentProgress]:
        """Copy one segment; what takes its place where it had to be split."""
        source = self.group.sides[SOURCE].background()
        segment = attrs.evolve(part.segment, snapshot=True)  # what is newer comes by itself
        scanning = Scanning(source, collection, segment, self._page)
        while not part.done and self._running():
            await self._heed()
            try:
                page = await scanning.page(part.cursor)
            except CursorExpired:
                if part.cursor is None:
                    raise
                part = part.again()
                continue
            except Throttled:
                raise
            except (Unavailable, OutcomeUnknown, DriverError) as error:
                await read_one(source, SLOTS, ("", 0))  # raises where all of the source is silent
                if scanning.narrower():
                    continue
                return await self._split(setting, source, collection, part, error)
            self._begun(part)
            brought = await self._bringing.bring(setting, collection, page.records)
            unread = {found.key: found for found in page.unreadable}.values()
            poison = [Poison.unread(collection.name, source.driver.name, u) for u in unread]
            part = await self._confirmed(setting, part, page, brought, [*brought.poison, *poison])
        return []

    async def _confirmed(
        self,
        setting: Setting,
        part: SegmentProgress,
        page: ScanPage,
        brought: Brought,
        poison: Sequence[Poison],
    ) -> SegmentProgress:
        """The segment after a page that the mirror has, and all that was set aside is kept."""
        for one in poison:
            await set_aside(self.group.ledger, setting, one)
        part = attrs.evolve(
            part,
            cursor=page.cursor,
            done=page.cursor is None,
            pages=part.pages + 1,
            scanned=part.scanned + brought.written + brought.newer + len(poison),
            written=part.written + brought.written,
            newer=part.newer + brought.newer,
            rejected=part.rejected + len(poison),
        )
        await self._checkpoint(setting, part)
        self._progress(part)
        return part

    async def _split(
        self,
        setting: Setting,
        source: Side,
        collection: Collection,
        part: SegmentProgress,
        error: PolystoreError,
    ) -> list[SegmentProgress]:
        """Halve a segment that cannot be read: what takes its place (BF-10).

        What cannot be halved any further is set aside as a place.

        Raises:
            PolystoreError: the source cannot halve segments at all.
        """
        halved = len(part.path) < MOST_HALVINGS and await source.halve(collection, part.segment)
        if halved:
            await self.group.ledger.change(part.item(setting.copied), _retired)
            planned = await self._planned(self.group.ledger, setting, part.collection)
            halves = {half.segment for half in part.halves()}
            return [half for half in planned if half.segment in halves and half.left]
        if not part.path:
            raise error
        place = Poison.unread_place(collection.name, source.driver.name, part.segment, error)
        await self._confirmed(setting, part, ScanPage([], None), Brought(), [place])
        return []

    async def _heed(self) -> None:
        """Look, once in a while, at the rates in the control record, and how the fleet fares.

        Where operations of any member had to wait, were declined or throttled since the last look,
        the copy gives way (THR-12): limits are of each process, and this one is no member.
        """
        now = await Now()
        if now - self._looked < self.group.config.poll:
            return
        self._looked = now
        pressed = {m.id: m.pressed for m in await Fleet(self.group).members()}
        if any(count > self._pressed.get(one, count) for one, count in pressed.items()):
            self.group.copying.give_way(now, now)
        self._pressed = pressed
        self.group.heed((await self.group.ledger.setting()).load)
        if self._rate is not None:
            self.group.copying.change(Capacity(rate=self._rate))

    async def _checkpoint(self, setting: Setting, part: SegmentProgress) -> None:
        """Keep how far a segment is, unless another copier is further."""

        def further(fields: Fields | None) -> Fields | None:
            if fields is not None:
                known = SegmentProgress.from_fields(fields)
                if not known.left or known.pages >= part.pages:
                    return None
            return part.to_fields()

        await self.group.ledger.change(part.item(setting.copied), further)


def _retired(fields: Fields | None) -> Fields | None:
    """A segment whose halves take its place, unless somebody has come to its end."""
    assert fields is not None
    known = SegmentProgress.from_fields(fields)
    return attrs.evolve(known, split=True).to_fields() if known.left else None
