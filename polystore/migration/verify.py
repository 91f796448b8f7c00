"""Verification: both sides are walked in full and compared, beside live writes, without alarm.

Both sides are walked at once, each in its own order: stamp and digest of a record are kept until
its partner comes by. What there is no room to keep is compared with its partner at once, looked up
by key; so is what is left over at a checkpoint, and at the end. Suspects are told apart behind one
barrier. A walk that did not end, or counts that do not reconcile, make the run a failed one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain

import attrs

from polystore.driver import Segment
from polystore.driver.side import read_all
from polystore.effects import SECOND, Both, Now, WallClock
from polystore.errors import InvalidRequest, MigrationError
from polystore.migration import foreign, resuming
from polystore.migration.canary import way_back
from polystore.migration.compare import FOREIGN, UNREADABLE
from polystore.migration.fleet import Fleet
from polystore.migration.group import OpenGroup
from polystore.migration.poison import asides, poison, unsigned
from polystore.migration.recording import Recorded
from polystore.migration.repair import Discrepancy, certain, repaired, tell
from polystore.migration.request import NOBODY, Request
from polystore.migration.resuming import Kept, keep
from polystore.migration.scanning import patiently
from polystore.migration.session import Session
from polystore.migration.stages import SOURCE, TARGET, Setting, Stage
from polystore.migration.walk import PAGE, Part, Sample, State, Verified, Walk
from polystore.values import Key

CHECKPOINT = 300.0
"""Seconds of walking that a death costs at most. At a checkpoint the partners of what is kept are
looked up: where the sides scan in unlike orders, up to a read by key for each record."""


class Verifier:
    """Compares the two sides of a group.

    Args:
        session: a member, which repairs need.
        fleet: raises the barrier.
        repair: whether discrepancies are repaired, or only reported.
        parallel: segments of each side walked at once.
        sample: walk only this; such a run opens no gate. ``None``: everything.
        touched: compare only what this run has written, with less reading; opens no gate either.
        fresh: begin anew, also where a run that died could be gone on with.
        checkpoint: seconds of walking between two checkpoints.
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
        touched: bool = False,
        fresh: bool = False,
        checkpoint: float = CHECKPOINT,
        request: Request = NOBODY,
        progress: Callable[[str, str, int], None] = lambda *_: None,
    ) -> None:
        if parallel < 1:
            raise InvalidRequest("a verification walks at least one segment at a time")
        if sample is not None and not 0 < sample.share <= 100:
            raise InvalidRequest("a sample is above 0 and at most 100 percent")
        if sample is not None and touched:
            raise InvalidRequest("a sample is of everything: leave out one of the two")
        self.session = session
        self.group: OpenGroup = session.group
        self._fleet = fleet
        self._repair = repair
        self._parallel = parallel
        self._sample = sample
        self._touched = touched
        self._full = sample is None and not touched
        self._fresh = fresh
        self._checkpoint = checkpoint
        self._request = request
        self._progress = progress

    async def run(self) -> dict[str, Verified]:
        """Walk and compare every collection; what was found, per collection.

        A full run that leaves nothing open is recorded: it opens the gates that ask for one. One
        that died is gone on with where it was at its last checkpoint, if no home moved since and it
        began no longer ago than a verification may be old.

        Raises:
            MigrationError: not in dual-read, or a home moved meanwhile: the run has failed.
        """
        setting = await self.group.ledger.setting()
        if setting.stage is not Stage.DUAL_READ:
            raise MigrationError(
                f"verification needs dual-read; the stage is {setting.stage.value}"
            )
        begun = [await self._begun(setting, name) for name in self.group.collections]
        async with Recorded(self.group.ledger, setting, self._what(begun), self._request) as told:
            await self._fleet.barrier(within=30.0)
            try:
                for one in begun:
                    if not one.ended:
                        await self._collection(one)
            except MigrationError:
                if self._full:
                    await resuming.forget(self.group.ledger, setting)
                raise
            found = {one.walk.collection.name: one.walk.found for one in begun}
            told += [f"{v.collection} {v.repaired} repaired, {v.open} open" for v in found.values()]
            await self._counted(setting, begun)
        return found

    def _what(self, begun: list[Kept]) -> str:
        """What the history calls it."""
        part = "" if self._sample is None else f" {self._sample.share:g} %"
        part = " what was touched" if self._touched else part
        again = ", goes on" if any(any(one.walk.found.walked.values()) for one in begun) else ""
        return f"verify{part}{'' if self._repair else ', no repair'}{again}"

    async def _begun(self, setting: Setting, name: str) -> Kept:
        """The walk of a collection: where it was left, or at its beginning."""
        collection = self.group.collections[name]
        now = await WallClock() // SECOND
        stored = None
        if self._full:
            oldest = now - int(self.group.config.gates.verified)
            ledger, repair = self.group.ledger, self._repair
            stored, found = await resuming.kept(
                ledger, setting, collection, repair=repair, oldest=oldest
            )
            if found is not None and not self._fresh:
                return found
        sides = setting.homes() if self._touched else (SOURCE, TARGET)
        parts = {
            side: list(map(Part, self._segments(side))) if side in sides else []
            for side in (SOURCE, TARGET)
        }
        met = await foreign.met(self.group.ledger, setting, name)
        return Kept(Walk(setting, collection, parts), now, self._repair, met, stored=stored)

    async def _counted(self, at: Setting, begun: Sequence[Kept]) -> None:
        """What a full run opens, and what it ends."""
        ended = await WallClock() // SECOND
        found = [one.walk.found for one in begun]
        clean = all(v.open == 0 for v in found)
        led_back = not any(v.way_back for v in found)

        def change(now: Setting) -> Setting | None:
            if _homes(now) != _homes(at):
                raise MigrationError("a home or the stage moved meanwhile: verify again")
            if not self._full:
                return None
            if clean:
                now = attrs.evolve(now, verified=now.epoch, verified_at=ended)
            proven = now.epoch if led_back and now.moved == 0 else now.proven
            return attrs.evolve(now, proven=proven)

        if self._full:  # before it counts: whoever comes next begins anew
            await resuming.forget(self.group.ledger, at)
        await self.group.ledger.change_setting(change)
        for one in begun if self._full else ():
            if not one.walk.found.kinds()[FOREIGN]:
                name = one.walk.collection.name
                await foreign.forget(self.group.ledger, at, name, one.met)

    async def _collection(self, kept: Kept) -> None:
        walk = kept.walk
        while not walk.done:
            until = await Now() + (self._checkpoint if self._full else math.inf)
            queues = {side: walk.left(side) for side in walk.parts}
            ways = [side for _ in range(self._parallel) for side in queues]
            await Both(*(self._work(walk, side, queues[side], until) for side in ways))
            await self._leveled(walk)
            if not walk.done:
                await keep(self.group.ledger, kept)
        unread = dict.fromkeys(chain(*walk.unread.values()), UNREADABLE)
        await self._set_aside(walk, unread)
        if self._full and walk.setting.moved == 0:
            walk.found.way_back = await way_back(self.group, walk.setting, walk.collection)
        if self._full and len(self.group.collections) > 1:
            kept.ended = True
            await keep(self.group.ledger, kept)

    async def _leveled(self, walk: Walk) -> None:
        """Everything that was walked so far is compared, and what differs repaired."""
        for name in walk.kept:
            while left := walk.left_over(name):
                await self._looked_up(walk, name, left)
        walk.reconcile()
        found, name = walk.found, walk.collection.name
        targets = [(name, key) for key in walk.suspects]
        walk.suspects.clear()
        found.suspects += len(targets)
        looks = await certain(self.group, self._fleet, targets)
        apart = {look.target[1]: look.kind or "" for look in looks if look.aside}
        await self._set_aside(walk, apart)
        settled = [
            await repaired(self.session, look, repair=self._repair)
            for look in looks
            if not look.aside
        ]
        found.discrepancies += settled
        tell(self.group, settled)

    async def _set_aside(self, walk: Walk, apart: Mapping[Key, str]) -> None:
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
                one = Discrepancy(name, key, kind, False)
                found.discrepancies.append(one)
                tell(self.group, [one])

    def _segments(self, side: str) -> list[Segment]:
        """What is walked of one side."""
        if self._sample is not None:
            return self._sample.segments(side)
        return [Segment(index, self._parallel) for index in range(self._parallel)]

    async def _work(self, walk: Walk, side: str, queue: list[Part], until: float) -> None:
        while queue:
            await self._walk(walk, side, queue.pop(0), until)
            if await Now() >= until:
                return

    async def _walk(self, walk: Walk, name: str, part: Part, until: float) -> None:
        """Walk one segment of one side, page by page, up to a moment."""
        side = self.group.sides[name].background()
        while not part.done:
            portion = side.portion(PAGE)
            page = await patiently(
                partial(side.scan, walk.collection, part.segment, part.cursor, portion)
            )
            states = {stored.key: walk.summary(stored) for stored in page.records}
            with self.session.signal:
                walk.arrived(name, page, len(states))
                alone = self._to_look_up(walk, name, states)
            await self._looked_up(walk, name, alone)
            part.cursor, part.done = page.cursor, page.cursor is None
            self._progress(walk.collection.name, name, len(states))
            if await Now() >= until:
                return

    def _to_look_up(
        self, walk: Walk, name: str, states: dict[Key, State]
    ) -> list[tuple[Key, State]]:
        """The records of a page whose partners are to be read now."""
        if self._touched:
            here = {key for key in states if self.group.home(walk.setting, key).name == name}
            return [(key, states[key]) for key in walk.of_this_run(name, states, here)]
        return [state for state in states.items() if not walk.meets(name, *state)]

    async def _looked_up(self, walk: Walk, name: str, alone: list[tuple[Key, State]]) -> None:
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


def _homes(at: Setting) -> tuple[object, ...]:
    """What has to be as it was: otherwise a home has moved, or the mirror is another copy."""
    return at.run, at.stage, at.copied, at.turned, at.moved
