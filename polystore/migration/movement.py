"""The movement table: conditional writes to a mirror whose database has none (PROTOCOL.md 8).

A row of the control store stands for one key of the mirror. Whoever wrote it there may read the
mirror, decide, and write, as long as the row's lease lasts; everybody else waits [M: SEED,
NO_LOCK]. A row that stays as it is for longer than a lease is taken over, and used after the
quarantine, when no call of its former owner can land any more [M: NO_QUAR]. What that owner did not
bring is in its slot: its home still owes it [M: NO_RESYNC].

It is fenced by time, where a database's own conditions are not: only a mirror is written so, never
a home. A write takes three calls more, and a key waits lease and quarantine for an owner that died.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import attrs

from polystore.driver import ANYTHING, Refused, Stored, Token, Unprocessed, Write, Written
from polystore.driver.bookkeeping import holds
from polystore.driver.keycodec import encode_key
from polystore.driver.side import Paces, Side, read_one
from polystore.effects import Now, Sleep, Uniform
from polystore.errors import (
    Contention,
    Declined,
    OutcomeUnknown,
    PolystoreError,
    Throttled,
    Unavailable,
)
from polystore.identity import WriteIds
from polystore.migration.ledger import Ledger
from polystore.values import Fields

ITEM = "move"
"""The item of a row; its partition is the group's name and the key's hash."""

USED, WAITING = "used", "waiting"
"""Phases of a row: its owner writes; its owner took it over and lets the quarantine pass."""

DRIFT = 1.1
"""A lease is over for others when they have waited this many, for clocks that drift."""

WAIT_SECONDS = 0.25
"""How long a write waits for a row that others use, before it is left to the background."""

MOST_SEEN = 4096
"""Rows of others that a process remembers; forgetting one only puts off its takeover."""


@attrs.frozen
class Row:
    """A row that this process may use: where it lies, as it is now, and until when."""

    ledger: Ledger
    stored: Stored
    until: float


@attrs.frozen
class Sight:
    """A row as it was seen first: its state, when, and whether this process had taken it over."""

    token: Token
    since: float
    ours: bool = False


def rested(sight: Sight, now: float, quarantine: float) -> bool:
    """Whether no call of a row's former owner can land any more [M: NO_QUAR]."""
    return now - sight.since >= quarantine


class Movement:
    """The movement table of one group, as one process uses it.

    Args:
        control: the control store.
        group: name of the group.
        ids: makes the names of owners.
        lease: seconds that a row may be used.
        quarantine: seconds within which a call lands, or never.
    """

    def __init__(
        self, control: Side, group: str, ids: WriteIds, lease: float, quarantine: float
    ) -> None:
        self._control = control
        self._group = group
        self._ids = ids
        self._lease = lease
        self._quarantine = quarantine
        self._seen: dict[str, Sight] = {}

    async def claim(self, write: Write) -> Row:
        """The row of a key, for this process alone.

        Raises:
            Contention: others use it, or a call of a former owner may still land.
            PolystoreError: the control store does not answer.
        """
        place = _place(write)
        ledger = Ledger(self._control, f"{self._group}/move/{place}", self._ids)
        last = await Now() + WAIT_SECONDS
        while True:
            row = await self._tried(ledger, place)
            if row is not None:
                self._seen.pop(place, None)
                return row
            if await Now() >= last:
                raise Contention("another process is at this key of the mirror; nothing was done")
            await Sleep(0.01 + 0.04 * await Uniform())

    async def release(self, row: Row) -> None:
        """Give a row back, if it is still this process's [M: NO_OWNER]; if not, it grows old."""
        try:
            await row.ledger.delete(row.stored)
        except PolystoreError:
            return

    async def _tried(self, ledger: Ledger, place: str) -> Row | None:
        row = await self._written(ledger, USED, None)
        if row is not None:
            return row
        known = await ledger.get(ITEM)
        if known is None or known.fields is None:
            return None
        now = await Now()
        sight = self._seen.get(place)
        if sight is None or sight.token != known.token:
            self._see(place, Sight(known.token, now))
            return None
        if sight.ours:
            over = rested(sight, now, self._quarantine)
            return await self._written(ledger, USED, known) if over else None
        waiting = known.fields["phase"] == WAITING
        patience = DRIFT * self._lease + (DRIFT * self._quarantine if waiting else 0.0)
        if now - sight.since >= patience:
            taken = await self._written(ledger, WAITING, known)
            if taken is not None:
                self._see(place, Sight(taken.stored.token, await Now(), ours=True))
        return None

    async def _written(self, ledger: Ledger, phase: str, known: Stored | None) -> Row | None:
        """The row as this process has just written it; ``None`` where others came before."""
        sent = await Now()
        until = sent + self._lease
        fields: Fields = {"owner": self._ids.new(), "phase": phase}
        stored = await ledger.put(ITEM, fields, known, sent + self._lease / 2)
        return None if stored is None else Row(ledger, stored, until)

    def _see(self, place: str, sight: Sight) -> None:
        self._seen.pop(place, None)  # one step at a time: threads of a process share this
        self._seen[place] = sight  # now the newest
        for oldest in list(self._seen)[:-MOST_SEEN]:
            self._seen.pop(oldest, None)


def _place(write: Write) -> str:
    """What a row is found by; two keys with one hash only wait for each other."""
    named = f"{write.collection.name}\x00{encode_key(write.key)}"
    return blake2b(named.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class MovedSide(Side):
    """A side whose writes go through the movement table: a mirror, never a home.

    Args:
        plain: the side itself, which writes whatever it is asked to.
        movement: the table.
    """

    __slots__ = ("_movement", "_plain")

    def __init__(self, plain: Side, movement: Movement) -> None:
        super().__init__(
            plain.name,
            plain.driver,
            lambda _, collection: plain.capabilities(collection),
            plain.pace,
            may_be_home=False,
        )
        self._plain = plain
        self._movement = movement

    def at(self, pace: Paces) -> Side:
        return MovedSide(self._plain.at(pace), self._movement)

    async def write(self, write: Write) -> Written | Refused:
        """One write, decided here while nobody else writes this key.

        Raises:
            Contention: others are at this key; nothing was done.
            OutcomeUnknown: it may land yet; the key waits until that is over.
            PolystoreError: a store does not answer; nothing was done.
        """
        row = await self._movement.claim(write)
        try:
            outcome = await self._decided(row, write)
        except OutcomeUnknown:
            raise  # the row stays: the call may land
        except PolystoreError:
            await self._movement.release(row)
            raise
        await self._movement.release(row)
        return outcome

    async def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        """Several writes, one after the other.

        Raises:
            OutcomeUnknown: of the first that has no answer; those before it were done.
        """
        outcomes: list[Written | Refused | Unprocessed] = []
        for write in writes:
            try:
                outcomes.append(await self.write(write))
            except (Contention, Declined, Unavailable, Throttled) as error:
                outcomes.append(Unprocessed(error))
        return outcomes

    async def _decided(self, row: Row, write: Write) -> Written | Refused:
        current = await read_one(self, write.collection, write.key)
        if not holds(write.condition, current):
            return Refused(told=True, current=current)
        if not live(row, await Now()):
            raise Contention("the time at this key of the mirror ran out; nothing was done")
        plain = self._plain
        timely = plain if plain.pace is None else plain.at(plain.pace.by(row.until))
        return await timely.write(attrs.evolve(write, condition=ANYTHING))


def live(row: Row, now: float) -> bool:
    """Whether the row is still this process's, by its own clock [M: NO_SELF]."""
    return now < row.until
