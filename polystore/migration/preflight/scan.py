"""The scan: every record of the source is looked at, beside live traffic, and nothing is written.

It goes like the copy: segment by segment, page by page, a checkpoint after each page with all that
was found so far, so that a scan that was killed goes on where it was. What it finds is kept for the
run that it is for: the one that is armed, or in source-only the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import attrs

from polystore.driver import Segment
from polystore.effects import Both, Now, Sleep
from polystore.errors import IllegalEdge, InvalidRequest
from polystore.migration.group import OpenGroup
from polystore.migration.preflight.checkpoints import (
    Begun,
    Part,
    basis_of,
    begun,
    complete,
    part_item,
    parts,
    parts_root,
    root_of,
    run_of,
)
from polystore.migration.preflight.looking import Look, Tally
from polystore.migration.scanning import patiently
from polystore.migration.stages import SOURCE, STAMP_RUN, Setting, Stage
from polystore.schema import Collection
from polystore.values import Fields

PAGE = 500
"""Records of one page: a checkpoint follows each."""

_STAGES = (Stage.SOURCE_ONLY, Stage.ARMED, Stage.PREPARE, Stage.DUAL_WRITE)


class Rate:
    """Holds several tasks together to so many records a second."""

    def __init__(self, rate: float | None) -> None:
        self._most = rate
        self._due = float("-inf")
        self._lock = threading.Lock()

    async def took(self, records: int) -> None:
        """Wait until so many more records may have been taken."""
        if self._most is None:
            return
        now = await Now()
        with self._lock:
            self._due = max(self._due, now) + records / self._most
            wait = self._due - now
        await Sleep(wait)


class Scan:
    """Looks at every record of a group's source.

    Args:
        group: the open group.
        parallel: segments scanned at once.
        page: records of one page.
        rate: records a second at most; ``None`` for as fast as it goes.
        fresh: begin anew also where an earlier scan has not come to its end.
        progress: told of each page that was looked at: the collection, and its records.
        running: asked before each page; ``False`` stops the scan where it is.
    """

    def __init__(
        self,
        group: OpenGroup,
        *,
        parallel: int = 4,
        page: int = PAGE,
        rate: float | None = None,
        fresh: bool = False,
        progress: Callable[[str, int], None] = lambda *_: None,
        running: Callable[[], bool] = lambda: True,
    ) -> None:
        if parallel < 1 or page < 1 or (rate is not None and rate <= 0):
            raise InvalidRequest("a scan needs at least one segment, a record a page, and a rate")
        self.group = group
        self._parallel = parallel
        self._page = page
        self._rate = Rate(rate)
        self._fresh = fresh
        self._progress = progress
        self._running = running

    async def run(self, who: str, when: str) -> None:
        """Scan to the end: a scan that was left in the middle, or else a new one.

        Args:
            who, when: kept with a new one.

        Raises:
            IllegalEdge: the source is not the home of everything any more.
            PolystoreError: a store failed for good; run it again, it goes on where it was.
        """
        setting = await self.group.ledger.setting()
        if setting.stage not in _STAGES:
            raise IllegalEdge(
                f"a preflight looks at the source while it is home; this is {setting.stage.value}"
            )
        run = run_of(setting)
        scan = await self._begun(setting, who, when)
        for collection in self.group.collections.values():
            look = Look(self.group, collection, (run << STAMP_RUN) + 1)
            planned = await self._planned(run, scan.number, collection.name)
            queue = [part for part in planned if not part.done]
            work = [
                self._work(collection, look, partial(part_item, run, scan.number), queue)
                for _ in range(min(self._parallel, len(queue)))
            ]
            await Both(*work)

    async def _begun(self, setting: Setting, who: str, when: str) -> Begun:
        """The scan to go on with, or a new one; the parts of the one before are removed."""
        ledger, run = self.group.ledger, run_of(setting)
        basis = {name: basis_of(self.group, c) for name, c in self.group.collections.items()}
        last = await begun(ledger, run)
        if last is not None and not self._fresh and last.basis == basis:
            known = await parts(ledger, run, last.number)
            if not complete(known, list(self.group.collections)):
                return last
        number = 1 if last is None else last.number + 1
        new = Begun(number=number, who=who, when=when, epoch=setting.epoch, basis=basis)

        def newer(fields: Fields | None) -> Fields | None:
            known = None if fields is None else Begun.from_fields(fields)
            return None if known and known.number >= number else new.to_fields()

        stored = await ledger.change(root_of(run) + "scan", newer)
        for old in await ledger.all(parts_root(run, number - 1)):
            await ledger.delete(old)
        assert stored is not None
        assert stored.fields is not None
        return Begun.from_fields(stored.fields)

    async def _planned(self, run: int, number: int, name: str) -> list[Part]:
        """The segments as they stand; planned now where nobody has. The first plan counts."""
        ledger = self.group.ledger
        found = [p for p in await parts(ledger, run, number) if p.collection == name]
        count = found[0].count if found else self._parallel
        known = {part.index for part in found}
        for index in range(count):
            if index not in known:
                part = Part(collection=name, index=index, count=count)
                await ledger.put(part_item(run, number, part), part.to_fields(), None)
        if len(known) == count:
            return found
        return [p for p in await parts(ledger, run, number) if p.collection == name]

    async def _work(
        self, collection: Collection, look: Look, item: Callable[[Part], str], queue: list[Part]
    ) -> None:
        while queue and self._running():
            part = queue.pop(0)
            while not part.done and self._running():
                part = await self._page_of(collection, look, part)
                await self._checkpoint(item(part), part)

    async def _page_of(self, collection: Collection, look: Look, part: Part) -> Part:
        """Look at the next page of a segment."""
        source = self.group.sides[SOURCE].background()
        segment = Segment(part.index, part.count)
        portion = source.portion(self._page)
        page = await patiently(partial(source.scan, collection, segment, part.cursor, portion))
        tally = Tally()
        tally.join(part.tally)
        tally.join(look.at(page.records))
        tally.join(look.unread(source.driver.name, page.unreadable))
        records = len(page.records) + len(page.unreadable)
        self._progress(collection.name, records)
        await self._rate.took(records)
        return attrs.evolve(
            part,
            cursor=page.cursor,
            done=page.cursor is None,
            pages=part.pages + 1,
            scanned=part.scanned + records,
            tally=tally,
        )

    async def _checkpoint(self, item: str, part: Part) -> None:
        """Keep how far a segment is, unless another scan is further."""

        def further(fields: Fields | None) -> Fields | None:
            if fields is not None:
                known = Part.from_fields(fields)
                if known.done or known.pages >= part.pages:
                    return None
            return part.to_fields()

        await self.group.ledger.change(item, further)
