"""Slots: small records at the home that fence a process's commits and say what they touched.

A slot is one record of :data:`~polystore.migration.ledger.SLOTS`, owned by one incarnation of one
process and used by one attempt at a time. Each commit carries it: "open, and as I left it". Closing
it stops its owner and its late calls for ever [M: NO_FENCE]. Its intent names the keys that the
last attempt may have committed and the mirror may not have [M: INTENT_LATE, INTENT_ONE].
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs

from polystore.driver import Stored, Token, Unchanged, Write
from polystore.effects import Changed, Now, Signal
from polystore.errors import DeadlineExceeded
from polystore.migration.ledger import SLOTS
from polystore.values import Fields, Key, Value

Target = tuple[str, Key]
"""A key to converge: name of its collection, and the key."""

FREE, BUSY, OWED, UNKNOWN, NAMING = "free", "busy", "owed", "unknown", "naming"
"""States of a slot in its owner's memory: ready for use; used by an attempt that is running; its
intent not yet on the mirror; its last commit without an answer; no slot of attempts but a
record of the backlog, fenced and found like one."""


def targets_of(writes: Sequence[Write]) -> tuple[Target, ...]:
    """The keys that a commit of these writes may leave to converge."""
    return tuple((write.collection.name, write.key) for write in writes)


@attrs.define(eq=False)
class Slot:
    """One slot as its owner knows it.

    Attributes:
        home: name of the side that it lies on.
        member: incarnation that owns it.
        index: its number on that side.
        seq: how often it was committed or bumped; the next attempt's number.
        token: compares the state that the owner left it in.
        state: ``free``, ``busy``, ``owed`` or ``unknown``.
        intent: keys of the last attempt, while the mirror may lack them.
    """

    home: str
    member: str
    index: int
    seq: int
    token: Token
    state: str = FREE
    intent: tuple[Target, ...] = ()

    def attempt(self, targets: Sequence[Target], write_id: str) -> Write:
        """The write that a commit of these keys carries: it lasts only in an open, unmoved slot."""
        fields = slot_fields(self.member, self.index, self.seq + 1, targets, self.seq)
        return self._write(fields, write_id)

    def bump(self, write_id: str) -> Write:
        """The write that makes sure that attempt ``seq`` never commits, if it has not."""
        fields = slot_fields(self.member, self.index, self.seq + 1, (), -1)
        return self._write(fields, write_id)

    def naming(self, targets: Sequence[Target], buckets: Sequence[int], write_id: str) -> Write:
        """The write that makes it name these keys, or buckets, as a record of the backlog."""
        fields = slot_fields(self.member, self.index, self.seq + 1, targets, -1)
        return self._write({**fields, "buckets": list(buckets)}, write_id)

    def removal(self) -> Write:
        """The write that removes it, for an owner that leaves with nothing owed."""
        return Write(SLOTS, (self.member, self.index), None, Unchanged(self.token))

    def _write(self, fields: Fields, write_id: str) -> Write:
        return Write(SLOTS, (self.member, self.index), fields, Unchanged(self.token), write_id)


def likely(writes: Sequence[Write]) -> Write:
    """The write of a slot that these writes would need, to be measured where there is none yet."""
    return Slot("", "m" * 36, 0, 2**40, None).attempt(targets_of(writes), "w" * 36)


def slot_fields(
    member: str, index: int, seq: int, targets: Iterable[Target], attempt: int
) -> Fields:
    """A slot record: ``seq``, whether it is closed, and the intent of an attempt (-1: of none)."""
    return {
        "member": member,
        "slot": index,
        "seq": seq,
        "closed": False,
        "attempt": attempt,
        "intent": [[name, *key] for name, key in targets],
    }


@attrs.frozen
class SlotRecord:
    """What a slot record says."""

    closed: bool
    seq: int
    attempt: int
    intent: tuple[Target, ...]
    buckets: tuple[int, ...] = ()

    @classmethod
    def of(cls, stored: Stored) -> SlotRecord:
        """Read a stored slot."""
        fields = stored.fields
        assert fields is not None
        intent = fields["intent"]
        assert isinstance(intent, list)
        targets = tuple(_target(item) for item in intent)
        seq, attempt = fields["seq"], fields["attempt"]
        assert type(seq) is int
        assert type(attempt) is int
        buckets = fields.get("buckets", [])
        assert isinstance(buckets, list)
        marked = tuple(bucket for bucket in buckets if type(bucket) is int)
        return cls(bool(fields["closed"]), seq, attempt, targets, marked)


def _target(item: Value) -> Target:
    """A key to converge, as an intent names it: the collection's name, then the key's parts."""
    assert isinstance(item, list)
    name, *key = item
    assert isinstance(name, str)
    return (name, tuple(part for part in key if isinstance(part, str | int | bytes)))


class Pool:
    """The slots of one incarnation on one side."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self.slots: list[Slot] = []

    def add(self, slots: Iterable[Slot]) -> None:
        """Take new slots into use."""
        with self._signal:
            self.slots.extend(slots)
            self._signal.notify()

    def take(self) -> Slot | None:
        """A free slot, now busy; ``None`` if there is none."""
        with self._signal:
            for slot in self.slots:
                if slot.state == FREE:
                    slot.state = BUSY
                    return slot
        return None

    def give(self, slot: Slot, state: str) -> None:
        """The attempt has ended; the slot is ``free``, ``owed`` or ``unknown`` from now on."""
        with self._signal:
            slot.state = state
            if state == FREE:
                slot.intent = ()
            self._signal.notify()

    async def take_by(self, deadline: float) -> Slot:
        """Wait for a free slot.

        Raises:
            DeadlineExceeded: all stay in use; nothing was written.
        """
        while True:
            slot = await self.take_within(math.inf, deadline)
            if slot is not None:
                return slot

    async def take_within(self, seconds: float, deadline: float) -> Slot | None:
        """Wait for a free slot for so long; ``None`` if none came free.

        Raises:
            DeadlineExceeded: none did by the deadline; nothing was written.
        """
        slot = self.take()
        if slot is not None:
            return slot
        left = deadline - await Now()
        free = left > 0 and await Changed(self._signal, self.any_free, min(left, seconds))
        if not free and left <= seconds:
            raise DeadlineExceeded("no slot is free; nothing was done")
        return self.take()

    def owed(self) -> list[tuple[Slot, int, tuple[Target, ...]]]:
        """Slots that are owed, each as it is now: its seq and its intent."""
        with self._signal:
            return [(s, s.seq, s.intent) for s in self.slots if s.state == OWED]

    def settled(self, owed: Sequence[tuple[Slot, int, tuple[Target, ...]]]) -> None:
        """What these slots owed is settled: those are free that nobody has used since."""
        with self._signal:
            for slot, seq, _ in owed:
                if slot.state == OWED and slot.seq == seq:
                    slot.state, slot.intent = FREE, ()
            self._signal.notify()

    def unsettled(self) -> list[Slot]:
        """Slots whose intent the mirror may lack, or whose outcome is unknown."""
        with self._signal:
            return [slot for slot in self.slots if slot.state in (OWED, UNKNOWN)]

    def any_free(self) -> bool:
        return any(slot.state == FREE for slot in self.slots)
