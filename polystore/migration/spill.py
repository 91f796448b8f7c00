"""Spilling and draining: the backlog of a member when the mirror is slow or down (MIR-8).

At every instant a key that the mirror may lack is named by the intent of a slot, by a record of
dirty keys, or by a marked bucket. So a slot is freed only after the record that names its keys is
in the store; and a record is emptied only after its keys were read, and confirmed by the mirror,
later than the last commit that it answers for.
"""

from __future__ import annotations

from collections.abc import Sequence

from polystore.driver import Segment, Write, Written
from polystore.driver.side import Side, read_all, read_one
from polystore.effects import Both, Changed, Now, Signal
from polystore.errors import CursorExpired, MigrationError, PolystoreError
from polystore.migration.backlog import Backlog, Copying, Named
from polystore.migration.breaker import Breaker
from polystore.migration.group import OpenGroup
from polystore.migration.home import Fenced
from polystore.migration.ledger import SLOTS
from polystore.migration.member import Incarnation, add_slots
from polystore.migration.mirror import mirror_write, put_all_if_older
from polystore.migration.slots import NAMING, Slot, SlotRecord, Target
from polystore.migration.stages import Setting
from polystore.observe.counters import SPILLED

CHUNK = 32
"""Records that one call of a drain reads, and brings to the mirror."""

PARALLEL = 4
"""Chunks of a drain at a time."""

PAGE = 500
"""Records of one page of a copy of dirty buckets."""

WAIT_SECONDS = 1.0
"""How long one task waits while another writes the records of the backlog."""


class Spilling:
    """Moves what slots owe into the dirty set, and brings the mirror what that names.

    Args:
        group: the open group.
        signal: guards what the tasks of this process share.
    """

    def __init__(self, group: OpenGroup, signal: Signal) -> None:
        self.group = group
        self._signal = signal

    # -- spilling -----------------------------------------------------------------------------

    async def spill(self, incarnation: Incarnation, home: Side) -> None:
        """Free the slots that are owed, by naming their keys elsewhere first.

        Raises:
            Fenced: the member has been closed.
            PolystoreError: a store does not answer; the slots stay as they are.
        """
        backlog, pool = incarnation.backlogs[home.name], incarnation.pools[home.name]
        if not await self._entered(backlog):
            return
        try:
            owed = pool.owed()
            if not owed:
                return
            targets = dict.fromkeys(target for _, _, intent in owed for target in intent)
            left = [t for t in targets if not backlog.covers(t, self.group.bucket(t[1]))]
            await self._name(incarnation, home, backlog, left)
            backlog.writes += sum(len(intent) for _, _, intent in owed)
            pool.settled(owed)
            self.group.counters.add(SPILLED, len(targets))
        finally:
            self._leave(backlog)

    async def _name(
        self, incarnation: Incarnation, home: Side, backlog: Backlog, left: Sequence[Target]
    ) -> None:
        """Name keys in the store: one by one while there is room, else by their buckets."""
        while left and backlog.has_room():
            named = backlog.filling()
            if named is None:
                named = Named(await self._record(incarnation, home, backlog))
                backlog.records.append(named)
            taken = left[: named.room]
            if not self._fits(home, named.slot, [*named.keys, *taken]):
                break
            await write_names(home, named.slot, [*named.keys, *taken], (), self.group)
            named.keys.update(dict.fromkeys(taken))
            left = left[len(taken) :]
        if left:
            if backlog.marking is None:
                backlog.marking = await self._record(incarnation, home, backlog)
            marked = backlog.buckets | {self.group.bucket(key) for _, key in left}
            await write_names(home, backlog.marking, (), sorted(marked), self.group)
            backlog.buckets = marked

    async def _record(self, incarnation: Incarnation, home: Side, backlog: Backlog) -> Slot:
        if backlog.spare:
            return backlog.spare.pop()
        (slot,) = await add_slots(self.group.ledger, incarnation, home, 1, NAMING)
        return slot

    def _fits(self, home: Side, slot: Slot, targets: Sequence[Target]) -> bool:
        write = slot.naming(targets, (), self.group.ids.new())
        return not list(self.group.slots[home.name].violations(write))

    async def _entered(self, backlog: Backlog) -> bool:
        """Become the one task that writes the records; ``False`` if another did meanwhile."""
        with self._signal:
            if not backlog.busy:
                backlog.busy = True
                return True
        await Changed(self._signal, lambda: not backlog.busy, WAIT_SECONDS)
        return False

    def _leave(self, backlog: Backlog) -> None:
        with self._signal:
            backlog.busy = False
            self._signal.notify()

    # -- draining -----------------------------------------------------------------------------

    async def drained(self, incarnation: Incarnation, name: str, until: float) -> bool:
        """Bring the mirror what the dirty set names, oldest first; whether it is empty now.

        Args:
            name: of the home whose backlog it is.
            until: moment on the monotonic clock after which nothing new is begun.

        Raises:
            Fenced: the member has been closed.
            PolystoreError: a store does not answer; what is named stays named.
        """
        backlog = incarnation.backlogs[name]
        with self._signal:
            if backlog.empty or backlog.draining:
                return backlog.empty
            backlog.draining = True
        try:
            home, setting = self.group.sides[name], incarnation.setting
            while backlog.records and await Now() < until:
                await self._drain(setting, home, backlog, backlog.records[0])
            if backlog.buckets and not backlog.records and await Now() < until:
                await self._copy(setting, home, backlog, until)
        finally:
            with self._signal:
                backlog.draining = False
        return backlog.empty

    async def _drain(self, setting: Setting, home: Side, backlog: Backlog, named: Named) -> None:
        while not await self._entered(backlog):
            pass
        named.draining = True  # while no spill is writing it: from now on others take its place
        self._leave(backlog)
        try:
            while named.keys:
                size = self._portion(home)
                at_once = 1 if self._breaker(home).failures else PARALLEL
                targets = list(named.keys)[: size * at_once]
                parts = [targets[i : i + size] for i in range(0, len(targets), size)]
                await Both(*(self._converge(setting, home, part) for part in parts))
                for target in targets:
                    del named.keys[target]
            await write_names(home, named.slot, (), (), self.group)
        except BaseException:
            with self._signal:
                named.draining = False  # what is left in it will be read again
            raise
        with self._signal:
            backlog.records.remove(named)
            backlog.spare.append(named.slot)

    async def _converge(self, setting: Setting, home: Side, targets: Sequence[Target]) -> None:
        """Bring several keys up to their home."""
        mirror = self.group.other(home).background()
        for name in dict.fromkeys(name for name, _ in targets):
            collection = self.group.collection(name)
            keys = [key for other, key in targets if other == name]
            found = await read_all(home.background(), collection, keys)
            writes = [mirror_write(collection, s, setting) for s in found if s is not None]
            written = await self._brought(mirror, writes)
            self.group.counters.add("mirrored_late", written)

    async def _brought(self, mirror: Side, writes: Sequence[Write]) -> int:
        """Bring records to the mirror; whether it answers is told to its breaker."""
        breaker = self.group.breakers[mirror.name]
        try:
            written = await put_all_if_older(mirror, writes)
        except MigrationError:
            raise
        except PolystoreError:
            breaker.failed(await Now())
            raise
        if writes:
            breaker.answered(await Now())
        return written

    def _breaker(self, home: Side) -> Breaker:
        return self.group.breakers[self.group.other(home).name]

    def _portion(self, home: Side) -> int:
        mirror = self.group.other(home).background()
        return home.background().portion(mirror.portion(CHUNK))

    async def _copy(self, setting: Setting, home: Side, backlog: Backlog, until: float) -> None:
        """Copy the dirty buckets; a mark goes only if nothing was left to it since this began."""
        copying = backlog.begin_copy(list(self.group.collections))
        while copying.left:
            if await Now() >= until:
                return
            await self._page(setting, home, copying)
        while not await self._entered(backlog):
            pass
        try:
            assert backlog.marking is not None
            left = (backlog.buckets - copying.buckets) | copying.again
            await write_names(home, backlog.marking, (), sorted(left), self.group)
            backlog.buckets, backlog.copying = frozenset(left), None
        finally:
            self._leave(backlog)

    async def _page(self, setting: Setting, home: Side, copying: Copying) -> None:
        collection = self.group.collection(copying.left[0])
        source, mirror = home.background(), self.group.other(home).background()
        portion = source.portion(PAGE)
        try:
            page = await source.scan(collection, Segment(), copying.cursor, portion)
        except CursorExpired:
            if copying.cursor is None:
                raise
            copying.cursor = None  # what was copied is copied: the rest of it lies behind
            return
        writes = [
            mirror_write(collection, stored, setting)
            for stored in {s.key: s for s in page.records}.values()
            if (stored.stamp or 0) > setting.floor()
            and self.group.bucket(stored.key) in copying.buckets
        ]
        size = self._portion(home)
        parts = [writes[i : i + size] for i in range(0, len(writes), size)]
        for i in range(0, len(parts), PARALLEL):
            group = parts[i : i + PARALLEL]
            written = await Both(*(self._brought(mirror, part) for part in group))
            self.group.counters.add("mirrored_late", sum(written))
        copying.cursor = page.cursor
        if page.cursor is None:
            copying.left.pop(0)


async def write_names(
    home: Side, slot: Slot, targets: Sequence[Target], buckets: Sequence[int], group: OpenGroup
) -> None:
    """Write what a record of the backlog names, if it is open; its answer may be late, and no harm.

    Raises:
        Fenced: somebody closed it.
        PolystoreError: no answer: it names what it did, or this.
    """
    while True:
        outcome = await home.write(slot.naming(targets, buckets, group.ids.new()))
        if isinstance(outcome, Written):
            slot.seq += 1
            slot.token = outcome.token
            return
        key = (slot.member, slot.index)
        current = outcome.current if outcome.told else await read_one(home, SLOTS, key)
        if current is None or SlotRecord.of(current).closed:
            raise Fenced
        slot.seq, slot.token = SlotRecord.of(current).seq, current.token
