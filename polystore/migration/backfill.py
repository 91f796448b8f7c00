"""Backfill: every record of the source is brought to the target, beside live writes.

Each segment is scanned page by page; a page is written to the mirror by stamp, and its checkpoint
follows once the mirror has confirmed all of it. Copiers may be killed, resumed and doubled: they
only repeat what does no harm [M: BF_BLIND, BF_IFABSENT].
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import attrs

from polystore.capacity import Capacity
from polystore.driver import Refused, ScanPage, Segment, Stored, Unprocessed, Write
from polystore.driver.side import Side
from polystore.effects import Both, Now, Sleep, Uniform
from polystore.errors import (
    ConfigError,
    Contention,
    CursorExpired,
    InvalidRequest,
    MigrationError,
    OutcomeUnknown,
    Unavailable,
)
from polystore.migration.fleet import Fleet
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import Ledger
from polystore.migration.member import Member
from polystore.migration.mirror import check_refusal, mirror_write
from polystore.migration.poison import Poison, set_aside
from polystore.migration.progress import SegmentProgress, Summary, copy_summary, segments
from polystore.migration.recording import Recorded
from polystore.migration.request import Request
from polystore.migration.stages import SOURCE, TARGET, Setting, Stage
from polystore.pacing.limiter import ASKED
from polystore.schema import Collection
from polystore.values import Fields

T = TypeVar("T")
PAGE = 500
"""Records of one page: a checkpoint follows each."""

_TRIES = 8


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
            queue = [part for part in parts if not part.done]
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
        known = {part.index for part in parts}
        for index in range(count):
            if index not in known:
                part = SegmentProgress(collection=name, index=index, count=count)
                await ledger.put(part.item(setting.copied), part.to_fields(), None)
        return await segments(ledger, setting, name) if len(known) < count else parts

    async def _work(
        self, setting: Setting, collection: Collection, queue: list[SegmentProgress]
    ) -> None:
        while queue and self._running():
            await self._segment(setting, collection, queue.pop(0))

    async def _segment(
        self, setting: Setting, collection: Collection, part: SegmentProgress
    ) -> None:
        source = self.group.sides[SOURCE].background()
        target = self.group.sides[TARGET].background()
        segment = Segment(part.index, part.count, snapshot=True)  # what is newer comes by itself
        while not part.done and self._running():
            await self._heed()
            try:
                page = await self._scanned(source, collection, segment, part.cursor)
            except CursorExpired:
                if part.cursor is None:
                    raise
                part = part.again()
                continue
            self._begun(part)
            written, newer, poison = await self._copied(setting, collection, target, page.records)
            unread = {found.key: found for found in page.unreadable}.values()
            poison += [Poison.unread(collection.name, source.driver.name, u) for u in unread]
            for one in poison:
                await set_aside(self.group.ledger, setting, one)
            scanned = len(page.records) + len(unread)
            part = attrs.evolve(
                part,
                cursor=page.cursor,
                done=page.cursor is None,
                pages=part.pages + 1,
                scanned=part.scanned + scanned,
                written=part.written + written,
                newer=part.newer + newer,
                rejected=part.rejected + len(poison),
            )
            await self._checkpoint(setting, part)
            self._progress(part)

    async def _scanned(
        self, source: Side, collection: Collection, segment: Segment, cursor: str | None
    ) -> ScanPage:
        """The next page, in small portions where the source is limited."""
        found = ScanPage([], cursor)
        while True:
            most = self._page - len(found.records)
            portion = source.portion(most)
            page = await patiently(partial(source.scan, collection, segment, cursor, portion))
            found.records += page.records
            found.unreadable += page.unreadable
            found.cursor = cursor = page.cursor
            if cursor is None or portion == most or len(found.records) >= self._page:
                return found

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
                if known.done or known.pages >= part.pages:
                    return None
            return part.to_fields()

        await self.group.ledger.change(part.item(setting.copied), further)

    async def _copied(
        self,
        setting: Setting,
        collection: Collection,
        target: Side,
        records: Sequence[Stored],
    ) -> tuple[int, int, list[Poison]]:
        """Write one page to the mirror; how many were written, newer already; what cannot be."""
        bound = self.group.bounds[collection.name].both
        name, writes, sent = collection.name, [], _Sent()
        for stored in {s.key: s for s in records}.values():
            write = mirror_write(collection, stored, setting, copying=True)
            violations = [] if write.fields is None else list(bound.violations(write))
            if violations:
                sent.poison.append(Poison.violating(name, stored.key, violations))
            else:
                writes.append(write)
        sent.again = writes
        for attempt in range(_TRIES):
            left, sent.again = sent.again, []
            await self._send(target, left, sent)
            if not sent.again:
                break
            await Sleep(0.1 * 2**attempt * (0.5 + 0.5 * await Uniform()))
        else:
            raise Unavailable(f"{len(sent.again)} records could not be written", collection=name)
        return sent.written, len(records) - sent.written - len(sent.poison), sent.poison

    async def _send(self, target: Side, writes: Sequence[Write], sent: _Sent) -> None:
        """Send writes once, and add up what became of them."""
        limit = target.capabilities(writes[0].collection).batches.write_items if writes else None
        size = limit.most if limit else max(len(writes), 1)
        start = 0
        while start < len(writes):
            await self._heed()
            portion = self.group.copying.portion(target.portion(size))
            batch = writes[start : start + portion]
            start += portion
            await self.group.copying.take(ASKED, (len(batch), 0.0), math.inf)
            try:
                outcomes = await target.write_many(batch)
            except (OutcomeUnknown, Unavailable, Contention):
                sent.again += batch
                continue
            except InvalidRequest as error:
                if isinstance(error, ConfigError):
                    raise
                if len(batch) == 1:
                    sent.refused(target, batch[0], error)
                for write in batch if len(batch) > 1 else ():
                    await self._send(target, [write], sent)
                continue
            for write, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Unprocessed):
                    if isinstance(outcome.error, InvalidRequest):
                        sent.refused(target, write, outcome.error)
                    else:
                        sent.again.append(write)
                elif isinstance(outcome, Refused):
                    await check_refusal(target, write, outcome)
                else:
                    sent.written += 1


@attrs.define
class _Sent:
    """What became of the records of one page."""

    written: int = 0
    again: list[Write] = attrs.field(factory=list)
    poison: list[Poison] = attrs.field(factory=list)

    def refused(self, target: Side, write: Write, error: InvalidRequest) -> None:
        """The target refused a record that keeps within what it promises."""
        name = write.collection.name
        self.poison.append(Poison.refused(name, write.key, target.driver.name, error))


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a read that fails for a moment; the last failure is raised."""
    for attempt in range(_TRIES - 1):
        try:
            return await call()
        except (Unavailable, OutcomeUnknown):
            await Sleep(0.1 * 2**attempt * (0.5 + 0.5 * await Uniform()))
    return await call()
