"""Members: the records by which processes take part, and one incarnation as its owner knows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import attrs

from polystore.driver import NOTHING, Stored, Write, Written
from polystore.driver.side import Side
from polystore.effects import Now, Signal
from polystore.errors import DeadlineExceeded
from polystore.migration.backlog import Backlog
from polystore.migration.grouping import Line
from polystore.migration.home import Fenced
from polystore.migration.ledger import SLOTS, Ledger
from polystore.migration.load import Load
from polystore.migration.slots import FREE, Pool, Slot, slot_fields
from polystore.migration.stages import SOURCE, SPEAKS, TARGET, Setting
from polystore.observe.counters import (
    BACKLOG_MS,
    DIRTY_BUCKETS,
    DIRTY_KEYS,
    OPEN,
    OPEN_WRITES,
    PRESSING,
)
from polystore.values import Fields

ACTIVE, CLOSED, RECOVERED = "active", "closed", "recovered"
PREFIX = "member/"


@attrs.frozen(eq=False)
class Member:
    """A member record, read.

    Attributes:
        id: the incarnation.
        stored: the record that it was read from.
        state: ``active``, ``closed`` (shut out, not yet recovered) or ``recovered``.
        acked: the newest epoch that it acknowledged.
        announced: the newest epoch that it was told of.
        barrier, asked: the newest barrier that it passed, and that it was asked for.
        beat: grows with each refresh of its lease.
        slots: how many slots it may have used, per side.
        fast: whether it is asked to poll quickly.
        load: the rates and policies that it was told of.
        speaks: the version of the protocol that it knows.
    """

    id: str
    stored: Stored
    state: str
    acked: int
    announced: int
    barrier: int
    asked: int
    beat: int
    slots: Mapping[str, int]
    fast: bool
    load: Load
    speaks: int

    def told(self, name: str) -> int:
        """What it has counted under a name, as of its last beat; 0 where it told nothing."""
        value = (self.stored.fields or {}).get(name, 0)
        return value if type(value) is int else 0

    @property
    def lacks(self) -> int:
        """How many slots, keys and buckets it owed the mirror, as of its last report."""
        return sum(map(self.told, (OPEN, DIRTY_KEYS, DIRTY_BUCKETS)))

    @property
    def unmirrored(self) -> int:
        """How many acknowledged writes the mirror may lack, as of its last report."""
        return self.told(OPEN_WRITES)

    @property
    def pressed(self) -> int:
        """How often its operations had to wait, were declined or throttled, as of its last beat."""
        total = 0
        for name, count in (self.stored.fields or {}).items():
            what, _, side = name.partition(":")
            if what in PRESSING and side in ("", SOURCE, TARGET) and type(count) is int:
                total += count  # and not what a copy in this process waited for its own rate
        return total

    @classmethod
    def of(cls, stored: Stored) -> Member:
        """Read a stored member record."""
        fields = stored.fields
        assert fields is not None

        def number(name: str) -> int:
            value = fields[name]
            assert type(value) is int, name
            return value

        return cls(
            id=str(fields["item"]).removeprefix(PREFIX),
            stored=stored,
            state=str(fields["state"]),
            acked=number("acked"),
            announced=number("announced"),
            barrier=number("barrier"),
            asked=number("asked"),
            beat=number("beat"),
            slots={SOURCE: number("slots_source"), TARGET: number("slots_target")},
            fast=bool(fields["fast"]),
            load=Load.from_fields(fields["load"]),
            speaks=number("speaks"),
        )


def first_record(setting: Setting, about: Fields) -> Fields:
    """The fields of a member that joins under ``setting``; ``about`` says who it is."""
    return {
        "state": ACTIVE,
        "acked": setting.epoch,
        "announced": setting.epoch,
        "barrier": setting.barrier,
        "asked": setting.barrier,
        "beat": 0,
        "slots_source": 0,
        "slots_target": 0,
        "fast": False,
        "load": setting.load.to_fields(),
        "speaks": SPEAKS,
        **about,
    }


class Incarnation:
    """One stay of this process in the fleet, until it leaves or is shut out.

    Attributes:
        id: unique.
        setting: what it acknowledged last.
        lease_until: moment on the monotonic clock up to which its reads count.
        pools: its slots, per side.
        lines: its writes that wait for a commit, per side.
        backlogs: what it owes the mirror beyond its slots, per home.
        record: its member record as it knows it.
    """

    def __init__(self, id_: str, record: Stored, setting: Setting, signal: Signal) -> None:
        self.id = id_
        self.record = record
        self.setting = setting
        self.lease_until = float("-inf")
        self.pools = {SOURCE: Pool(signal), TARGET: Pool(signal)}
        self.lines = {SOURCE: Line(signal.another()), TARGET: Line(signal.another())}
        self.backlogs = {SOURCE: Backlog(), TARGET: Backlog()}
        self.unanswered_until = float("-inf")
        self._since: dict[object, float] = {}

    @property
    def item(self) -> str:
        """Its item in the control store."""
        return PREFIX + self.id

    @property
    def owes(self) -> bool:
        """Whether the mirror may lack anything of it, or an answer is missing."""
        return self.spilled or bool(self.unsettled())

    @property
    def spilled(self) -> bool:
        """Whether the mirror lacks more than slots can name: the limit of the backlog."""
        return any(not backlog.empty for backlog in self.backlogs.values())

    def lacking(self, now: float) -> Fields:
        """How much the mirror may lack just now, and since when, for the status and for gates.

        Args:
            now: on the monotonic clock. What is owed is older than it by as long as one report
                after another has told of it: no operation looks at a clock for that.
        """
        backlogs = self.backlogs.values()
        pools = self.pools.values()
        in_slots = sum(len(intent) for pool in pools for _, _, intent in pool.owed())
        owed: set[object] = {(s.home, s.index, s.seq) for s in self.unsettled()}
        owed.update(entry for b in backlogs for entry in b.entries())
        self._since = {entry: self._since.get(entry, now) for entry in owed}
        oldest = min(self._since.values(), default=now)
        return {
            BACKLOG_MS: int(1000 * (now - oldest)),
            OPEN: len(self.unsettled()),
            OPEN_WRITES: in_slots + sum(backlog.lacking() for backlog in backlogs),
            DIRTY_KEYS: sum(backlog.keys for backlog in backlogs),
            DIRTY_BUCKETS: sum(len(backlog.buckets) for backlog in backlogs),
        }

    def unsettled(self) -> list[Slot]:
        """Slots on either side that still owe the mirror something, or an answer."""
        return [slot for pool in self.pools.values() for slot in pool.unsettled()]


async def update(
    ledger: Ledger,
    incarnation: Incarnation,
    change: Callable[[Fields], Fields | None],
    until: float = math.inf,
) -> None:
    """Change the own member record by compare-and-set, if it is still active.

    Args:
        until: moment on the monotonic clock after which no call is begun.

    Raises:
        Fenced: somebody closed it.
        DeadlineExceeded: it is too late.
    """
    while True:
        record = incarnation.record
        assert record.fields is not None
        if record.fields["state"] != ACTIVE:
            raise Fenced
        fields = change(dict(record.fields))
        if fields is None:
            return
        await in_time(until)
        written = await ledger.put(incarnation.item, fields, record, until)
        if written is None:
            written = await ledger.get(incarnation.item)
            if written is None:
                raise Fenced
            incarnation.record = written
            continue
        incarnation.record = written
        return


async def add_slots(
    ledger: Ledger,
    incarnation: Incarnation,
    home: Side,
    count: int,
    state: str = FREE,
    until: float = math.inf,
) -> list[Slot]:
    """Make more slots on a side: counted in the member record first, then made.

    Args:
        state: that they begin in; ``naming`` keeps them from attempts.
        until: moment on the monotonic clock after which no call is begun; what was made stays.

    Raises:
        Fenced: the member, or one of the slots, has been closed.
        ConfigError: the side has no collection for slots.
        DeadlineExceeded: not all were made in time.
    """
    start = await _counted(ledger, incarnation, home, count, until)
    made: list[Slot] = []
    try:
        for index in range(start, start + count):
            await in_time(until)
            slot = Slot(home.name, incarnation.id, index, 0, None, state)
            fields = slot_fields(slot.member, index, 0, (), -1)
            write = Write(SLOTS, (slot.member, index), fields, NOTHING, f"{incarnation.id}.{index}")
            outcome = await home.write(write)
            if not isinstance(outcome, Written):
                raise Fenced
            slot.token = outcome.token
            made.append(slot)
    finally:
        incarnation.pools[home.name].add(made)
    return made


async def in_time(until: float) -> None:
    """Go on, if there is time to. Raises DeadlineExceeded."""
    if await Now() >= until:
        raise DeadlineExceeded("joining, or making slots, took too long; nothing was written")


async def _counted(
    ledger: Ledger, incarnation: Incarnation, home: Side, count: int, until: float
) -> int:
    """Count more slots in the member record: whoever closes the member closes so many."""
    field = f"slots_{home.name}"
    start = 0

    def more(fields: Fields) -> Fields:
        nonlocal start
        before = fields[field]
        assert type(before) is int
        start = before
        return {**fields, field: before + count}

    await update(ledger, incarnation, more, until)
    return start
