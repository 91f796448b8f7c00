"""Verification: both sides are walked in full and compared, beside live writes, without alarm.

Both sides are walked at once, each in its own order: stamp and digest of a record are kept until
its partner comes by. What there is no room to keep is compared with its partner at once, looked up
by key; so is what is left over at the end. Suspects are told apart behind one barrier. A walk that
did not end, or counts that do not reconcile, make the run a failed one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import attrs

from polystore.driver import Segment
from polystore.driver.side import read_all
from polystore.effects import Both
from polystore.errors import InvalidRequest, MigrationError
from polystore.migration.backfill import patiently
from polystore.migration.compare import KINDS, summary
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
"""Records whose stamp and digest are kept at once, of both sides, about 300 bytes each."""

State: TypeAlias = tuple[int, str]
"""Stamp and digest of a record: what is compared of two."""


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
        parallel: segments of each side walked at once.
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
        ways = [(side, i) for i in range(self._parallel) for side in (SOURCE, TARGET)]
        await Both(*(self._walk(walk, side, i) for side, i in ways))
        found = await self._ended(walk)
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

    async def _walk(self, walk: _Walk, name: str, index: int) -> None:
        """Walk one segment of one side, page by page."""
        side = self.group.sides[name].background()
        segment = Segment(index, self._parallel)
        cursor: str | None = None
        while True:
            portion = side.portion(PAGE)
            page = await patiently(partial(side.scan, walk.collection, segment, cursor, portion))
            records = {stored.key: stored for stored in page.records}.values()
            states = [(stored.key, summary(walk.setting, stored)) for stored in records]
            with self.session.signal:
                walk.found.walked[name] += len(records)
                alone = [(k, state) for k, state in states if not walk.meets(name, k, state)]
            await self._looked_up(walk, name, alone)
            self._progress(walk.collection.name, name, len(records))
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
                    equal = their is not None and summary(walk.setting, their) == state
                    walk.compared(name, key, equal=equal)

    async def _ended(self, walk: _Walk) -> Verified:
        """Both walks are at their end: what is still kept has met no partner, and looks it up."""
        for name, left in walk.left_over().items():
            for start in range(0, len(left), PAGE):
                await self._looked_up(walk, name, left[start : start + PAGE])
        return walk.found


class _Walk:
    """One collection while both sides are walked: what is kept of each, and the suspects so far."""

    def __init__(self, setting: Setting, collection: Collection, found: Verified) -> None:
        self.setting = setting
        self.collection = collection
        self.found = found
        self.kept: dict[str, dict[Key, State]] = {SOURCE: {}, TARGET: {}}
        self.suspects: dict[Key, None] = {}
        self._taken = 0
        self._told = 0

    def meets(self, name: str, key: Key, state: State) -> bool:
        """Compare a record with its partner if that has come by, else keep it for that.

        ``False``: there is no room to keep it.
        """
        partner = self.kept[TARGET if name == SOURCE else SOURCE].pop(key, None)
        if partner is not None:
            self._taken += 1
            self._told += 2
            self._judge(key, equal=partner == state)
            return True
        mine = self.kept[name]
        if key not in mine:
            if sum(map(len, self.kept.values())) >= MOST_KEPT:
                return False
            self._taken += 1
        mine[key] = state
        return True

    def compared(self, name: str, key: Key, *, equal: bool) -> None:
        """A record was compared with its partner, read for it."""
        self._taken += 1
        self._told += 1
        self._judge(key, equal=equal, counts=name == SOURCE)

    def left_over(self) -> dict[str, list[tuple[Key, State]]]:
        """What is still kept, by side.

        Raises:
            MigrationError: a record was neither compared nor left over.
        """
        if self._taken != self._told + sum(map(len, self.kept.values())):
            raise MigrationError(
                f"{self.collection.name}: counts do not reconcile: the run has failed"
            )
        return {name: list(kept.items()) for name, kept in self.kept.items()}

    def _judge(self, key: Key, *, equal: bool, counts: bool = True) -> None:
        if not equal:
            self.suspects[key] = None
        elif counts:
            self.found.equal += 1
