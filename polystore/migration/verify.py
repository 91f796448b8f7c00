"""Verification: both sides are walked in full and compared, beside live writes, without alarm.

A page of the source is compared with the target's records of the same keys, and then the other way
round for keys that the source lacks. Suspects are told apart behind one barrier. A walk that did
not end, or counts that do not reconcile, make the run a failed one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import attrs

from polystore.driver import Segment, Stored
from polystore.driver.side import Side, read_all
from polystore.effects import Both
from polystore.errors import MigrationError
from polystore.migration.backfill import patiently
from polystore.migration.compare import KINDS, differs
from polystore.migration.fleet import Fleet
from polystore.migration.group import OpenGroup
from polystore.migration.repair import Discrepancy, certain, repaired
from polystore.migration.session import Session
from polystore.migration.slots import Target
from polystore.migration.stages import SOURCE, TARGET, Setting, Stage
from polystore.schema import Collection
from polystore.values import Key

PAGE = 1000
"""Records of one page."""

MOST_SEEN = 2_000_000
"""Keys of the source remembered, so as not to compare them again; beyond that they are."""


@attrs.define(kw_only=True)
class Verified:
    """What a verification found for one collection.

    Attributes:
        walked: records seen on each side, tombstones included, by side.
        skipped: records of the second walk whose key the first had compared.
        equal: keys whose two sides agreed at first sight.
        again: suspects that were met a second time.
        suspects: keys looked at again behind a barrier.
        discrepancies: what was left, and whether it was repaired.
    """

    collection: str
    walked: dict[str, int] = attrs.field(factory=lambda: {SOURCE: 0, TARGET: 0})
    skipped: int = 0
    equal: int = 0
    again: int = 0
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
        found = Verified(collection=collection.name)
        suspects: dict[Key, None] = {}
        seen: set[int] = set()
        for side in (SOURCE, TARGET):
            await Both(
                *(
                    self._walk(setting, collection, side, index, found, suspects, seen)
                    for index in range(self._parallel)
                )
            )
        if sum(found.walked.values()) != found.skipped + found.equal + len(suspects) + found.again:
            raise MigrationError(f"{collection.name}: counts do not reconcile: the run has failed")
        targets: list[Target] = [(collection.name, key) for key in suspects]
        found.suspects = len(targets)
        for look in await certain(self.group, self._fleet, targets):
            if self._repair:
                found.discrepancies.append(await repaired(self.session, look))
            else:
                kind = look.kind or ""
                found.discrepancies.append(
                    Discrepancy(collection.name, look.target[1], kind, False)
                )
        return found

    async def _walk(
        self,
        setting: Setting,
        collection: Collection,
        name: str,
        index: int,
        found: Verified,
        suspects: dict[Key, None],
        seen: set[int],
    ) -> None:
        """Walk one segment of one side and compare each page with the other side."""
        side = self.group.sides[name]
        segment = Segment(index, self._parallel)
        cursor: str | None = None
        while True:
            page = await patiently(partial(side.scan, collection, segment, cursor, PAGE))
            records = {stored.key: stored for stored in page.records}
            marks = {key: hash(key) for key in records}
            fresh = [stored for key, stored in records.items() if marks[key] not in seen]
            found.walked[name] += len(records)
            found.skipped += len(records) - len(fresh)
            await self._compared(setting, collection, side, fresh, found, suspects)
            if len(seen) < MOST_SEEN:
                seen.update(marks.values())
            self._progress(collection.name, name, len(records))
            cursor = page.cursor
            if cursor is None:
                return

    async def _compared(
        self,
        setting: Setting,
        collection: Collection,
        side: Side,
        records: Sequence[Stored],
        found: Verified,
        suspects: dict[Key, None],
    ) -> None:
        other = self.group.other(side)
        theirs = await read_all(other, collection, [stored.key for stored in records])
        for mine, their in zip(records, theirs, strict=True):
            at_home, at_mirror = (
                (mine, their) if self.group.home(setting, mine.key) is side else (their, mine)
            )
            if differs(setting, at_home, at_mirror):
                found.again += mine.key in suspects
                suspects[mine.key] = None
            else:
                found.equal += 1
