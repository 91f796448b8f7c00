"""Commits at the home: the records and the slot in one, and the truth about a lost answer.

The commit is the linearization point of a write. A time-out is unknown, never "failed"
[M: BLIND_RETRY]: bumping the slot finds out, and keeps a late commit from landing [M: NO_BUMP].
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from polystore.driver import Check, Committed, Rejected, Stored, Write, Written
from polystore.driver.side import Side, read_one
from polystore.effects import Now, Sleep, Uniform
from polystore.errors import Contention, DriverError, InvalidRequest, OutcomeUnknown, Unavailable
from polystore.identity import WriteIds
from polystore.migration.ledger import SLOTS
from polystore.migration.slots import FREE, UNKNOWN, Pool, Slot, SlotRecord, targets_of

_NO_ANSWER = (OutcomeUnknown, DriverError, Unavailable, Contention)


class Fenced(Exception):
    """The slot is closed or gone: this incarnation has been shut out; nothing was applied."""


NOT_APPLIED = (Fenced, Contention, Unavailable, DriverError, InvalidRequest)
"""What :func:`commit` raises where surely nothing was applied."""


class Holding:
    """A busy slot in the hands of one attempt, given back in the state that it is left in.

    Attributes:
        pool, slot: the slot, and where it is given back.
        state: what it is given back as: ``free``, until a commit that uses it has been sent.
    """

    def __init__(self, pool: Pool, slot: Slot) -> None:
        self.pool = pool
        self.slot = slot
        self.state = FREE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.state == UNKNOWN and isinstance(error, NOT_APPLIED):
            self.state = FREE
        self.pool.give(self.slot, self.state)


async def commit(
    home: Side,
    slot: Slot,
    ids: WriteIds,
    writes: Sequence[Write],
    checks: Sequence[Check],
    deadline: float,
) -> Committed | Rejected:
    """Commit records and slot as one; rejected where a token was lost.

    Committed without tokens: the slot says that it was applied, and they are not known. Rejected
    without refusals: nothing says which record it was.

    Raises:
        Fenced: the slot is closed; surely not applied.
        OutcomeUnknown: no answer by the deadline; the slot keeps the attempt.
        Contention, Throttled, Unavailable, DriverError, InvalidRequest: surely not applied.
    """
    targets = targets_of(writes)
    slot_write = slot.attempt(targets, ids.new())
    slot.intent = targets
    try:
        outcome = await home.commit([*writes, slot_write], checks)
    except OutcomeUnknown:
        return _outcome(await resolve(home, slot, ids, deadline))
    except DriverError:
        if await resolve(home, slot, ids, deadline):
            return Committed(())
        raise  # surely not applied; the same error would come again
    if isinstance(outcome, Committed):
        slot.seq += 1
        slot.token = outcome.tokens[-1]
        return Committed(outcome.tokens[:-1])
    try:
        applied = await _refused(home, slot, outcome, len(writes))
    except _NO_ANSWER:  # the refusal may be that of our own repetition: only the slot can tell
        return _outcome(await resolve(home, slot, ids, deadline))
    return Committed(()) if applied else Rejected(outcome.refusals[: len(writes)])


def _outcome(applied: bool) -> Committed | Rejected:
    return Committed(()) if applied else Rejected()


async def _refused(home: Side, slot: Slot, outcome: Rejected, position: int) -> bool:
    """After a refusal: was it the slot, and why? Only the slot's record can tell."""
    if outcome.refusals:
        refusal = outcome.refusals[position]
        if refusal is None:
            return False
        if refusal.told:
            return _judged(slot, refusal.current)
    return _judged(slot, await read_one(home, SLOTS, (slot.member, slot.index)))


def _judged(slot: Slot, current: Stored | None) -> bool:
    """Whether attempt ``slot.seq`` was applied, by what its slot says now; adopts that state."""
    if current is None:
        raise Fenced
    record = SlotRecord.of(current)
    applied = record.attempt == slot.seq
    if record.closed and not applied:
        raise Fenced
    slot.seq = record.seq
    slot.token = current.token
    return applied


async def resolve(home: Side, slot: Slot, ids: WriteIds, deadline: float) -> bool:
    """Find out whether the slot's last attempt was applied, and make sure it never is later.

    Raises:
        Fenced: the slot is closed and the attempt was not applied.
        OutcomeUnknown: the home gives no answer by the deadline, or the slot is gone.
    """
    bump = slot.bump(ids.new())
    while True:
        try:
            outcome = await home.write(bump)
            if isinstance(outcome, Written):
                slot.seq += 1
                slot.token = outcome.token
                return False
            current = await read_one(home, SLOTS, (slot.member, slot.index))
        except _NO_ANSWER as error:
            pause = 0.02 + 0.08 * await Uniform()
            if await Now() + pause >= deadline:
                raise OutcomeUnknown("no answer, and no time left to find out") from error
            await Sleep(pause)
            continue
        if current is None:
            raise OutcomeUnknown("no answer, and the slot that could tell is gone")
        return _judged(slot, current)
