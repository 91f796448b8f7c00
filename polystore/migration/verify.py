"""Verification: both sides are walked in full and compared, beside live writes, without alarm.

Stamps and digests of the source's records are kept and met by those of the target; where there are
more than can be kept, the other side's records are looked up instead. Suspects are told apart
behind one barrier. A walk that did not end, or counts that do not reconcile, make the run a failed
one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs

from polystore.driver import Segment, Stored
from polystore.driver.side import read_all
from polystore.effects import Both, Procedure
from polystore.errors import InvalidRequest, MigrationError
from polystore.migration.backfill import patiently
from polystore.migration.compare import KINDS, differs, summary
from polystore.migration.fleet import Fleet
from polystore.migration.group import OpenGroup
from polystore.migration.repair import Discrepancy, certain, repaired, tell
from polystore.migration.session import Session
from polystore.migration.stages import SOURCE, TARGET, Setting, Stage
from polystore.schema import Collection
from polystore.values import Key

PAGE = 1000
"""Records of one page."""

MOST_KEPT = 1_000_000
"""Records of the source whose stamp and digest are kept at once, about 300 bytes each."""


@attrs.define(kw_only=True)
class Verified:
    """What a verification found for one collection.

    Attributes:
        walked: records seen on each side, tombstones included, by side.
        equal: records of the source whose partner agreed at first sight.
        suspects: keys looked at again behind a barrier.
        discrepancies: what was left, and whether it was repaired.
    """

    collection: str
    walked: dict[str, int] = attrs.field(factory=lambda: {SOURCE: 0, TARGET: 0})
    equal: int = 0
    suspects: int = 0
    discrepancies: list[Discrepancy] = attrs.field(factory=list)

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
        return {kind: sum(d.kind == kind for d in self.discrepancies) for kind in KINDS}


class Verifier:
    """Compares the two sides of a group.

    Args:
        session: a member, which repairs need.
        fleet: raises the barrier.
        repair: whether discrepancies are repaired, or only reported.
        parallel: segments walked at once.
        progress: told how many records of which side were walked.
    """

    def __init__(
        self,
        session: Session,
        fleet: Fleet,
        *,
        repair: bool = True,
        parallel: int = 2,
        progress: Callable[[str, str, int], None] = lambda *_: None,
    ) -> None:
        if parallel < 1:
            raise InvalidRequest("a verification walks at least one segment at a time")
        self.session = session
        self.group: OpenGroup = session.group
        self._fleet = fleet
        self._repair = repair
        self._parallel = parallel
        self._progress = progress

    async def run(self) -> dict[str, Verified]:
        """Walk and compare every collection; what was found, per collection.

        A run that leaves nothing open is recorded: it opens the gates that ask for one.

        Raises:
            MigrationError: not in dual-read, or a home moved meanwhile: the run has failed.
        """
        setting = await self.group.ledger.setting()
        if setting.stage is not Stage.DUAL_READ:
            raise MigrationError(
                f"verification needs dual-read; the stage is {setting.stage.value}"
            )
        await self._fleet.barrier(within=30.0)
        found = {
            name: await self._collection(setting, collection)
            for name, collection in self.group.collections.items()
        }
        await self._recorded(setting, all(v.open == 0 for v in found.values()))
        return found

    async def _recorded(self, at: Setting, clean: bool) -> None:
        def change(now: Setting) -> Setting | None:
            same = (now.run, now.stage, now.turned, now.moved) == (
                at.run, at.stage, at.turned, at.moved,
            )  # fmt: skip
            if not same:
                raise MigrationError("a home moved during the verification: run it again")
            return attrs.evolve(now, verified=now.epoch) if clean else None

        await self.group.ledger.change_setting(change)

    async def _collection(self, setting: Setting, collection: Collection) -> Verified:
        walk = _Walk(setting, collection, Verified(collection=collection.name))
        for side in (SOURCE, TARGET):
            met = self._keep if side == SOURCE else self._meet
            await Both(*(self._walk(walk, side, i, met) for i in range(self._parallel)))
        found = walk.finished()
        targets = [(collection.name, key) for key in walk.suspects]
        found.suspects = len(targets)
        for look in await certain(self.group, self._fleet, targets):
            if self._repair:
                found.discrepancies.append(await repaired(self.session, look))
            else:
                kind = look.kind or ""
                found.discrepancies.append(
                    Discrepancy(collection.name, look.target[1], kind, False)
                )
        tell(self.group, found.discrepancies)
        return found

    async def _walk(
        self,
        walk: _Walk,
        name: str,
        index: int,
        met: Callable[[_Walk, list[Stored]], Procedure[None]],
    ) -> None:
        """Walk one segment of one side, handing each page on."""
        side = self.group.sides[name].background()
        segment = Segment(index, self._parallel)
        cursor: str | None = None
        while True:
            portion = side.portion(PAGE)
            page = await patiently(partial(side.scan, walk.collection, segment, cursor, portion))
            records = list({stored.key: stored for stored in page.records}.values())
            walk.found.walked[name] += len(records)
            await met(walk, records)
            self._progress(walk.collection.name, name, len(records))
            cursor = page.cursor
            if cursor is None:
                return

    async def _keep(self, walk: _Walk, records: list[Stored]) -> None:
        """A page of the source: keep it for the second walk, or look its partners up now."""
        room = MOST_KEPT - len(walk.kept)
        for stored in records[:room]:
            walk.keep(stored)
        await self._looked_up(walk, SOURCE, records[room:])

    async def _meet(self, walk: _Walk, records: list[Stored]) -> None:
        """A page of the target: meet what was kept; look up what was not."""
        unknown = [stored for stored in records if not walk.meets(stored)]
        await self._looked_up(walk, TARGET, unknown)

    async def _looked_up(self, walk: _Walk, name: str, records: list[Stored]) -> None:
        side = self.group.sides[name]
        other = self.group.other(side).background()
        keys = [stored.key for stored in records]
        theirs: list[Stored | None] = []
        while len(theirs) < len(keys):
            portion = keys[len(theirs) : len(theirs) + other.portion(len(keys))]
            theirs += await read_all(other, walk.collection, portion)
        for mine, their in zip(records, theirs, strict=True):
            at_home = self.group.home(walk.setting, mine.key) is side
            pair = (mine, their) if at_home else (their, mine)
            if name == SOURCE:
                walk.compared(mine.key, equal=not differs(walk.setting, *pair))
            elif differs(walk.setting, *pair):
                walk.suspects[mine.key] = None


class _Walk:
    """One collection while it is walked: what is kept of the source, and the suspects so far."""

    def __init__(self, setting: Setting, collection: Collection, found: Verified) -> None:
        self.setting = setting
        self.collection = collection
        self.found = found
        self.kept: dict[Key, tuple[int, str]] = {}
        self.suspects: dict[Key, None] = {}
        self._met = 0
        self._compared = 0

    def keep(self, stored: Stored) -> None:
        """Keep what is compared of a record of the source."""
        self._met += stored.key not in self.kept
        self.kept[stored.key] = summary(self.setting, stored)

    def meets(self, stored: Stored) -> bool:
        """Compare a record of the target with what was kept of the source; whether it was kept."""
        kept = self.kept.pop(stored.key, None)
        if kept is None:
            return False
        self._judge(stored.key, equal=kept == summary(self.setting, stored))
        return True

    def compared(self, key: Key, *, equal: bool) -> None:
        """A record of the source was compared with its partner at once."""
        self._met += 1
        self._judge(key, equal=equal)

    def _judge(self, key: Key, *, equal: bool) -> None:
        self._compared += 1
        if equal:
            self.found.equal += 1
        else:
            self.suspects[key] = None

    def finished(self) -> Verified:
        """Both walks are at their end: what is still kept has met no partner.

        Raises:
            MigrationError: a record of the source was neither compared nor left over.
        """
        self.suspects.update(dict.fromkeys(self.kept))
        if self._met != self._compared + len(self.kept):
            raise MigrationError(
                f"{self.collection.name}: counts do not reconcile: the run has failed"
            )
        return self.found
