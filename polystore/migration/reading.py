"""Reads of a group: by key (in dual-read compared with the mirror), queries and scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

from polystore.driver import Consistency, QueryPage, Segment, Stored
from polystore.driver.keycodec import encode_key
from polystore.driver.side import read_all, read_one
from polystore.effects import Both
from polystore.errors import CursorExpired, PolystoreError
from polystore.migration.compare import differs
from polystore.migration.frame import Admitted, Frame
from polystore.migration.latch import ALL
from polystore.migration.pages import merged
from polystore.migration.preflight.shape import GET, GET_MANY, QUERY, SCAN
from polystore.migration.session import Session
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Setting, Stage
from polystore.observe.counters import COMPARED
from polystore.pacing.turn import Need, idle
from polystore.queries import Position, QueryPlan
from polystore.records import Record
from polystore.route.base import (
    Page,
    Place,
    ScannedPage,
    Seen,
    Show,
    as_seen,
    present,
    visible,
    wall_clock,
)
from polystore.route.bound import Bound
from polystore.route.plain import RETRY, Retry
from polystore.values import Key

_SEED = 0x5EED
"""Start of the hash that picks shadow reads: another one than that of the buckets."""
Suspect = tuple[str, Key]


class Reading(Frame):
    """Answers reads at the home of each key.

    Args:
        session: this process in the group.
        suspect: told of each key whose sides differed.
    """

    def __init__(self, session: Session, suspect: Callable[[Suspect], None]) -> None:
        super().__init__(session)
        self._suspect = suspect

    async def read(
        self, bound: Bound, keys: Sequence[Key], consistency: Consistency, timeout: float
    ) -> list[Record | None]:
        """Records by key, in order; in dual-read compared with the mirror."""
        if not keys:
            return []

        async def attempt(at: Admitted) -> list[Record | None] | Retry:
            found = await self._read(at, bound, keys, consistency)
            if not await at.live():
                return RETRY
            self._did(at, bound.collection.name, GET if len(keys) == 1 else GET_MANY)
            return await as_seen(found)

        return await self._under(
            self._range(keys), timeout, attempt, (bound, keys[0]), lambda s: self._reads(s, keys)
        )

    async def _read(
        self, at: Admitted, bound: Bound, keys: Sequence[Key], consistency: Consistency
    ) -> list[Stored | None]:
        collection, setting = bound.collection, at.setting
        if setting.stage is not Stage.DUAL_READ:
            return await read_all(at.side(setting.home(0)), collection, keys, consistency)
        shadowed = self._shadowed(setting, keys)
        homes = {key: setting.home(self.group.bucket(key)) for key in keys}
        asked = {
            name: [k for k in keys if homes[k] == name or k in shadowed]
            for name in self.group.sides
        }
        replies = await Both(
            *(self._side(at, name, bound, asked[name], consistency, homes) for name in asked)
        )
        by_side = {
            name: dict(zip(asked[name], reply, strict=True)) if reply is not None else None
            for name, reply in zip(asked, replies, strict=True)
        }
        found = [(by_side[homes[key]] or {})[key] for key in keys]
        compared = 0
        for key, stored in zip(keys, found, strict=True):
            mirror = by_side[self.group.other(self.group.sides[homes[key]]).name]
            if key not in shadowed or mirror is None:
                continue
            compared += 1
            if differs(setting, stored, mirror[key], collection.compare):
                self._suspect((collection.name, key))
        self.session.counters.add(COMPARED, compared)
        return found

    async def _side(
        self,
        at: Admitted,
        name: str,
        bound: Bound,
        keys: list[Key],
        consistency: Consistency,
        homes: dict[Key, str],
    ) -> list[Stored | None] | None:
        """One side's records; ``None`` where it failed and was only to be compared with."""
        if not keys:
            return []
        at_home = name in (homes[key] for key in keys)
        try:
            side = at.side(name) if at_home else await idle(self.group.sides[name])
            return await read_all(side, bound.collection, keys, consistency)
        except PolystoreError:
            if at_home:
                raise
            self.session.counters.add("shadow-failed")
            return None

    def _shadowed(self, setting: Setting, keys: Sequence[Key]) -> frozenset[Key]:
        if setting.shadow >= 100:
            return frozenset(keys)
        return frozenset(
            key for key in keys if crc32(encode_key(key).encode(), _SEED) % 100 < setting.shadow
        )

    async def look(self, place: Place, timeout: float) -> Seen:
        """Read one record for a transaction, at its home."""
        bound, key = place
        bucket = self.group.bucket(key)

        async def attempt(at: Admitted) -> Seen | Retry:
            home = at.home(key)
            stored = await read_one(home, bound.collection, key)
            if not await at.live():
                return RETRY
            return Seen(home.name, stored)

        return await self._under(
            (bucket, bucket + 1), timeout, attempt, place, lambda s: self._reads(s, (key,))
        )

    async def query(
        self, bound: Bound, plan: QueryPlan, after: Position | None, limit: int, timeout: float
    ) -> Page:
        """One page from the home; from both sides, merged, where homes are mixed."""
        buckets = self._buckets(plan)

        async def attempt(at: Admitted) -> Page | Retry:
            setting = at.setting
            homes = self._homes(setting, buckets)
            pages = await Both(*(self._page(at, h, bound, plan, after, limit) for h in homes))
            if not await at.live():
                return RETRY
            self._did(at, bound.collection.name, QUERY)
            if len(pages) == 1:
                return Page(await present(pages[0].records), pages[0].next)
            for home, page in zip(homes, pages, strict=True):
                page.records = [
                    s for s in page.records if setting.home(self.group.bucket(s.key)) == home
                ]
            now = await wall_clock([s for page in pages for s in page.records])
            return merged(plan, pages, after, limit, now)

        def needs(setting: Setting) -> list[Need]:
            return [Need(self.group.sides[h], 1) for h in self._homes(setting, buckets)]

        return await self._under(buckets, timeout, attempt, (bound, ()), needs)

    def _homes(self, setting: Setting, buckets: tuple[int, int]) -> list[str]:
        return sorted({setting.home(buckets[0]), setting.home(buckets[1] - 1)})

    async def _page(
        self,
        at: Admitted,
        side: str,
        bound: Bound,
        plan: QueryPlan,
        after: Position | None,
        limit: int,
    ) -> QueryPage:
        return await at.side(side).query(bound.collection, plan, after, limit)

    def _buckets(self, plan: QueryPlan) -> tuple[int, int]:
        """The buckets that a query may touch: one, where its key prefix decides."""
        colocate = self.group.config.colocate
        if plan.index is None and colocate is not None and len(plan.equals) >= colocate:
            bucket = self.group.bucket(tuple(plan.equals))
            return (bucket, bucket + 1)
        return ALL

    async def scan(
        self, bound: Bound, cursor: str | None, limit: int, timeout: float, show: Show = visible
    ) -> ScannedPage:
        """One page of a scan.

        Each key is taken from the side that was its home when the scan began: while both sides are
        in play, each of them has it. When a side goes, a scan on it ends with CursorExpired.
        """
        collection = bound.collection

        async def attempt(at: Admitted) -> ScannedPage | Retry:
            name, moved, native = _scan_start(at.setting, cursor)
            if not _in_play(at.setting, name):
                raise CursorExpired(
                    f"this scan began on the {name}, which is out of play: start it again",
                    collection=collection.name,
                )
            page = (await at.side(name).scan(collection, Segment(), native, limit)).whole()
            if not await at.live():
                return RETRY
            self._did(at, collection.name, SCAN)
            records = [
                record
                for record in await present(page.records, show)
                if (self.group.bucket(record.key) < moved) == (name == TARGET)
            ]
            return ScannedPage(records, _scan_rest(name, moved, page.cursor))

        def needs(setting: Setting) -> list[Need]:
            return [Need(self.group.sides[_scan_start(setting, cursor)[0]], 1)]

        return await self._under(ALL, timeout, attempt, (bound, ()), needs)


def _scan_start(setting: Setting, cursor: str | None) -> tuple[str, int, str | None]:
    """Side, moved buckets and native cursor that a scan goes on with."""
    if cursor is None:
        whole = setting.home(0) == setting.home(BUCKETS - 1) == TARGET
        moved = BUCKETS if whole else setting.moved
        return (SOURCE if moved < BUCKETS else TARGET, moved, None)
    side, moved_text, rest = cursor.split(":", 2)
    return (side, int(moved_text), rest or None)


def _scan_rest(side: str, moved: int, cursor: str | None) -> str | None:
    """The cursor after a page: within this side, then on the target, then none."""
    if cursor is not None:
        return f"{side}:{moved}:{cursor}"
    return f"{TARGET}:{moved}:" if side == SOURCE and moved > 0 else None


def _in_play(setting: Setting, side: str) -> bool:
    """Whether a side still has every record: as a home, or as a mirror."""
    return setting.stage.mirrored or side in setting.homes()
