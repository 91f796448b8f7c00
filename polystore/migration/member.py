"""Members: the records by which processes take part, and one incarnation as its owner knows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import attrs

from polystore.driver import NOTHING, Stored, Write, Written
from polystore.driver.side import Side
from polystore.effects import Signal
from polystore.migration.home import Fenced
from polystore.migration.ledger import SLOTS, Ledger
from polystore.migration.load import Load
from polystore.migration.slots import Pool, Slot, slot_fields
from polystore.migration.stages import SOURCE, TARGET, Setting
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
        **about,
    }


class Incarnation:
    """One stay of this process in the fleet, until it leaves or is shut out.

    Attributes:
        id: unique.
        setting: what it acknowledged last.
        lease_until: moment on the monotonic clock up to which its reads count.
        pools: its slots, per side.
        record: its member record as it knows it.
    """

    def __init__(self, id_: str, record: Stored, setting: Setting, signal: Signal) -> None:
        self.id = id_
        self.record = record
        self.setting = setting
        self.lease_until = float("-inf")
        self.pools = {SOURCE: Pool(signal), TARGET: Pool(signal)}
        self.unanswered_until = float("-inf")

    @property
    def item(self) -> str:
        """Its item in the control store."""
        return PREFIX + self.id

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
        until: moment on the monotonic clock after which nothing is repeated.

    Raises:
        Fenced: somebody closed it.
    """
    while True:
        record = incarnation.record
        assert record.fields is not None
        if record.fields["state"] != ACTIVE:
            raise Fenced
        fields = change(dict(record.fields))
        if fields is None:
            return
        written = await ledger.put(incarnation.item, fields, record, until)
        if written is None:
            written = await ledger.get(incarnation.item)
            if written is None:
                raise Fenced
            incarnation.record = written
            continue
        incarnation.record = written
        return


async def add_slots(ledger: Ledger, incarnation: Incarnation, home: Side, count: int) -> None:
    """Make more slots on a side: counted in the member record first, then made.

    Raises:
        Fenced: the member, or one of the slots, has been closed.
        ConfigError: the side has no collection for slots.
    """
    field = f"slots_{home.name}"
    start = 0

    def counted(fields: Fields) -> Fields:
        nonlocal start
        before = fields[field]
        assert type(before) is int
        start = before
        return {**fields, field: before + count}

    await update(ledger, incarnation, counted)
    made = []
    for index in range(start, start + count):
        slot = Slot(home.name, incarnation.id, index, 0, None)
        fields = slot_fields(slot.member, index, 0, (), -1)
        write = Write(SLOTS, (slot.member, index), fields, NOTHING, f"{incarnation.id}.{index}")
        outcome = await home.write(write)
        if not isinstance(outcome, Written):
            raise Fenced
        slot.token = outcome.token
        made.append(slot)
    incarnation.pools[home.name].add(made)
