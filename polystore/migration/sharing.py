"""Commits that the writers of one process share (WR-10): leading one, waiting for one, taking over.

Each caller holds its own ticket, has its own deadline and is told the truth about its own write.
One of them leads; should it be cancelled, or its time run out, another that still waits bumps the
slot and finds out for all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import copy

from polystore.driver import Committed, Refused, Rejected, Stored, Unchanged, Write, Written
from polystore.driver.side import Side, read_all
from polystore.effects import Changed, Now
from polystore.errors import (
    DeadlineExceeded,
    DriverError,
    InvalidRequest,
    OutcomeUnknown,
    PolystoreError,
)
from polystore.migration.frame import Admitted
from polystore.migration.group import OpenGroup
from polystore.migration.grouping import HELD_UP_SECONDS, Flight, Part
from polystore.migration.home import NOT_APPLIED, Fenced, Holding, commit, resolve
from polystore.migration.session import Session
from polystore.migration.slots import likely
from polystore.values import Key

SHARED = "commits_shared"
"""Counter of the commits that more than one caller shared."""

SHARING = "writes_shared"
"""Counter of the writes in them."""


class Sharing:
    """Carries out the commits of single writes, several in one where several wait.

    Args:
        session: this process in the group.
        slot: waits for a slot of a side.
    """

    def __init__(
        self, session: Session, slot: Callable[[Admitted, Side], Awaitable[Holding]]
    ) -> None:
        self._session = session
        self._group: OpenGroup = session.group
        self._slot = slot

    async def outcome(self, at: Admitted, home: Side, part: Part) -> Written | Refused:
        """Commit one write, alone or with others, and say what became of it.

        Raises:
            OutcomeUnknown: no answer by the deadline.
            Fenced, PolystoreError: surely not applied.
        """
        line = part.line
        while True:
            leads = takes_over = False
            with line.signal:
                if part.outcome is None and line.may_lead(part):
                    if part.flight is None:
                        leads = True
                        line.going += 1
                    else:
                        takes_over = part.flight.led = True
            if leads:
                await self._lead(at, home, part)
            elif takes_over:
                await self._take_over(at, home, part)
            if part.outcome is not None:
                return _told(part)
            if not leads or part.flight is not None:
                await self._wait(part, at.turn.until)

    async def _wait(self, part: Part, until: float) -> None:
        """Wait until there is something to do; at the deadline give up, and say what is so."""
        line = part.line
        left = until - await Now()
        patience = min(left, HELD_UP_SECONDS) if part.flight is None else left
        if patience > 0 and await Changed(line.signal, lambda: line.is_ready(part), patience):
            return
        with line.signal:
            if line.is_ready(part):
                return
            if part.flight is not None:
                if patience >= left:
                    raise OutcomeUnknown("no answer to the shared commit, and no time left")
            elif patience < left:
                part.held_up = True
            else:
                line.waiting.remove(part)
                raise DeadlineExceeded("waited for its turn to commit; nothing was done")

    async def _lead(self, at: Admitted, home: Side, part: Part) -> None:
        """Commit one's own part and those that go with it."""
        line = part.line
        try:
            holding = await self._own_slot(at, home, part)
            flight = self._departed(at, home, part, holding) if holding is not None else None
            if flight is not None:
                await self._fly(at, home, flight)
        finally:
            with line.signal:
                line.going -= 1
                if line.waiting:
                    line.signal.notify()

    async def _own_slot(self, at: Admitted, home: Side, part: Part) -> Holding | None:
        """A slot for a part that leads; ``None`` where it needs none any more.

        While it waits for one, another may take it along: then that commit tells what became of it,
        and a slot that could not be had says nothing (WR-10).
        """
        try:
            return await self._slot(at, home)
        except (PolystoreError, Fenced):
            with part.line.signal:
                if part.flight is None and part.outcome is None:
                    raise
            return None

    def _departed(self, at: Admitted, home: Side, part: Part, holding: Holding) -> Flight | None:
        """The flight of a part and its company; ``None`` where another took it along meanwhile."""
        flight = None
        try:
            with part.line.signal:
                if part.flight is None and part.outcome is None:
                    room = Room(home)
                    flight = part.line.depart(part, holding.pool, holding.slot, room.fits)
                    self._admit(at, flight)
        finally:
            if flight is None:
                holding.pool.give(holding.slot, holding.state)
        return flight

    def _admit(self, at: Admitted, flight: Flight) -> None:
        """A ticket for the buckets of all, while all still hold theirs: some may go on earlier."""
        if len(flight.parts) == 1:
            return
        buckets = [self._group.bucket(part.write.key) for part in flight.parts]
        covered = (min(buckets), max(buckets) + 1)
        latch = self._session.latch
        ticket = latch.along(covered, at.setting, at.incarnation)
        flight.release = lambda: latch.release(ticket)
        self._session.counters.add(SHARED)
        self._session.counters.add(SHARING, len(flight.parts))

    async def _fly(self, at: Admitted, home: Side, flight: Flight) -> None:
        """Commit what is open, without what is refused, until the outcome of each is known."""
        try:
            while flight.open:
                writes = [part.write for part in flight.open]
                ids, until = self._group.ids, at.turn.until
                try:
                    outcome = await commit(home, flight.slot, ids, writes, (), until)
                except NOT_APPLIED as error:
                    self._failed(flight, error)
                else:
                    if isinstance(outcome, Committed):
                        self._landed(flight, outcome)
                    else:
                        await self._sort_out(home, flight, outcome)
        finally:
            self._let_go(flight)

    def _let_go(self, flight: Flight) -> None:
        """Whoever led goes on; what is open is for another to find out about."""
        with flight.line.signal:
            flight.led = False
            over = flight.is_over()  # where all are to be tried alone
            flight.line.signal.notify()
        if over:
            flight.end()

    def _landed(self, flight: Flight, outcome: Committed) -> None:
        tokens = outcome.tokens or (None,) * len(flight.open)
        with flight.line.signal:
            for part, token in zip(list(flight.open), tokens, strict=False):
                flight.tell(part, Written(token))
                part.line.overtaken(part)

    def _failed(self, flight: Flight, error: Exception) -> None:
        """All failed, surely not applied: each is told, or tried alone if it may be one's fault."""
        with flight.line.signal:
            if len(flight.open) > 1 and isinstance(error, InvalidRequest | DriverError):
                self._part(flight)
            else:
                flight.tell_all(lambda: copy(error))

    def _part(self, flight: Flight) -> None:
        for part in list(flight.open):
            flight.part_with(part)

    async def _sort_out(self, home: Side, flight: Flight, rejected: Rejected) -> None:
        """Take out of a flight whose commit was refused the parts that were: the rest goes again.

        Where the database does not say which, a look at all of them tells.
        """
        refusals = rejected.refusals
        if not any(refusals) and len(flight.open) > 1:
            refusals = await self._look(home, flight)
        with flight.line.signal:
            if not any(refusals):
                if len(flight.open) > 1:
                    self._part(flight)
                else:
                    flight.tell_all(Refused)
                return
            for part, refused in zip(list(flight.open), refusals, strict=False):
                if refused is not None:
                    flight.tell(part, refused)

    async def _look(self, home: Side, flight: Flight) -> tuple[Refused | None, ...]:
        """What a refusal did not tell; nothing where the look fails too."""
        asked: dict[str, list[Write]] = {}
        for part in flight.open:
            asked.setdefault(part.write.collection.name, []).append(part.write)
        found: dict[tuple[str, Key], Stored | None] = {}
        try:
            for name, writes in asked.items():
                keys = [write.key for write in writes]
                records = await read_all(home, writes[0].collection, keys)
                found.update(((name, k), r) for k, r in zip(keys, records, strict=True))
        except PolystoreError:
            return ()
        return tuple(_refusal(part.write, found[part.target]) for part in flight.open)

    async def _take_over(self, at: Admitted, home: Side, part: Part) -> None:
        """Find out for all that are left what became of the commit, whose leader is gone."""
        flight = part.flight
        assert flight is not None
        try:
            try:
                applied = await resolve(home, flight.slot, self._group.ids, at.turn.until)
            except Fenced as error:
                self._failed(flight, error)
            else:
                if applied:
                    self._landed(flight, Committed(()))
                else:
                    with part.line.signal:
                        flight.tell_all(Refused)
        finally:
            self._let_go(flight)


class Room:
    """How much more a commit at one side has room for, beside the slot."""

    def __init__(self, home: Side) -> None:
        self._home = home
        self._items = 1  # the slot
        self._bytes = 0

    def fits(self, write: Write) -> bool:
        """Whether there is room for one more write; then it is taken."""
        promised = self._home.capabilities(write.collection).transactions
        items, size = self._items + 1, self._bytes
        if promised.size is not None:
            size += sum(self._home.measure(w).record for w in (write, likely((write,))))
        if (promised.items and items > promised.items.most) or (
            promised.size and size > promised.size.most
        ):
            return False
        self._items, self._bytes = items, size
        return True


def _refusal(write: Write, found: Stored | None) -> Refused | None:
    """What a look says about the condition of a write: the state there is another one."""
    condition = write.condition
    if isinstance(condition, Unchanged):
        holds = found is not None and found.token == condition.token
    else:
        holds = found is None
    return None if holds else Refused(told=True, current=found)


def _told(part: Part) -> Written | Refused:
    """The outcome of a part; raises it where it is an error."""
    outcome = part.outcome
    if isinstance(outcome, Exception):
        raise outcome
    assert outcome is not None
    return outcome
