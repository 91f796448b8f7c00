"""Broken drivers: conditions, tokens, commits and many writes at once."""

from __future__ import annotations

import threading
import time
from bisect import insort
from collections.abc import Sequence

import attrs

from polystore.driver import (
    ANYTHING,
    Check,
    Committed,
    Nothing,
    OlderThan,
    Refused,
    Rejected,
    Token,
    Unchanged,
    Unprocessed,
    Write,
    Written,
)
from polystore.driver.bookkeeping import holds
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.table import Table
from polystore.values import canonical


class CheckedThenWritten(MemoryDriver):
    """It looks, and writes later: others come between."""

    def write(self, write: Write) -> Written | Refused:
        current = self._table(write.collection).rows.get(write.key)
        if not holds(write.condition, current):
            return Refused()
        time.sleep(0.002)
        return Written(self._apply(self._table(write.collection), write))


class TokenReusedAfterDelete(MemoryDriver):
    """A version counts from 1 again where nothing is left of the record before."""

    def _token(self, write: Write) -> Token:
        row = self._table(write.collection).rows.get(write.key)
        return 1 if row is None else row.token + 1


class TokenOfContent(MemoryDriver):
    """A hash of the fields: what was there before has the token that it had."""

    def _token(self, write: Write) -> Token:
        return write.stamp, canonical(write.fields or {})


class StampsMayBeEqual(MemoryDriver):
    """``OlderThan`` holds of the stamp itself."""

    def write(self, write: Write) -> Written | Refused:
        if isinstance(write.condition, OlderThan):
            write = attrs.evolve(write, condition=OlderThan(write.condition.stamp + 1))
        return super().write(write)


class TombstoneIsNothing(MemoryDriver):
    """``NOTHING`` holds of a tombstone."""

    def write(self, write: Write) -> Written | Refused:
        row = self._table(write.collection).rows.get(write.key)
        if isinstance(write.condition, Nothing) and row is not None and row.fields is None:
            write = attrs.evolve(write, condition=OlderThan(2**62))
        return super().write(write)


class RefusedAndWritten(MemoryDriver):
    """It says that the condition was false, and has written."""

    def write(self, write: Write) -> Written | Refused:
        outcome = super().write(write)
        if isinstance(outcome, Refused) and write.fields is not None:
            with self._lock:
                self._apply(self._table(write.collection), write)
        return outcome


class StampsRefusedWithoutExpiry(MemoryDriver):
    """What refuses a stamp is told by a statement of its own."""

    def write(self, write: Write) -> Written | Refused:
        outcome = super().write(write)
        if isinstance(outcome, Refused) and isinstance(write.condition, OlderThan):
            assert outcome.current is not None
            return Refused(True, attrs.evolve(outcome.current, expires=None))
        return outcome


class DeleteOfNothingRefused(MemoryDriver):
    """It wants something to delete."""

    def write(self, write: Write) -> Written | Refused:
        nothing = write.key not in self._table(write.collection).rows
        if nothing and write.fields is None and write.stamp is None:
            return Refused(told=True)
        return super().write(write)


class WriteIdLost(MemoryDriver):
    """Nobody can tell afterwards whose write it was."""

    def _apply(self, table: Table, write: Write) -> Token:
        return super()._apply(table, attrs.evolve(write, write_id=None))


class ExpiryLostWithStamp(MemoryDriver):
    """While two databases are in play, no record expires."""

    def _apply(self, table: Table, write: Write) -> Token:
        if write.stamp is not None:
            write = attrs.evolve(write, expires=None)
        return super()._apply(table, write)


class TransactionSplit(MemoryDriver):
    """One write after the other, until one is refused."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        with self._lock:
            if any(not holds(check.condition, self._current(check)) for check in checks):
                return Rejected()
        tokens = []
        for write in writes:
            outcome = self.write(write)
            if isinstance(outcome, Refused):
                return Rejected()
            tokens.append(outcome.token)
        return Committed(tuple(tokens))


class ChecksLeftOut(MemoryDriver):
    """A commit looks at what it writes alone."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return super().commit(writes, [])


class CommitInOneCollection(MemoryDriver):
    """What belongs to a second collection is not written."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        first = [w for w in writes if w.collection == writes[0].collection]
        outcome = super().commit(first, checks)
        if isinstance(outcome, Committed):
            return Committed((*outcome.tokens, *[0] * (len(writes) - len(outcome.tokens))))
        return outcome


class WidthCutOff(MemoryDriver):
    """A commit has room for 25 writes and says nothing about the others."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return super().commit(writes[:25], checks)


class ManyAnswersOutOfOrder(MemoryDriver):
    """Outcomes in the order in which they came."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        outcomes = super().write_many(writes)
        return sorted(outcomes, key=lambda outcome: isinstance(outcome, Refused))


class ManyDeletesToldAsRefused(MemoryDriver):
    """Of many, a delete that left nothing is told as one that found nothing."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        outcomes = super().write_many(writes)
        for n, write in enumerate(writes):
            if n and isinstance(write.condition, Unchanged) and outcomes[n] == Written(None):
                outcomes[n] = Refused()
        return outcomes


class SecondIndexLeft(MemoryDriver):
    """Of several indexes the first is brought up to date; the others are when a record is new."""

    def _apply(self, table: Table, write: Write) -> Token:
        before = table.rows.get(write.key)
        token = super()._apply(table, write)
        row = table.rows.get(write.key)
        if before is None or row is None:
            return token
        for n, order in enumerate(table._orders[1:], 1):
            was, is_ = before.entries[n], row.entries[n]
            if was is not None and is_ is not None and was != is_:
                order.remove((is_, write.key))
                insort(order, (was, write.key))
                row.entries[n] = was
        return token


class ManyWithoutConditions(MemoryDriver):
    """A bulk call that knows no conditions."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        return super().write_many([attrs.evolve(w, condition=ANYTHING) for w in writes])


class ManyLost(MemoryDriver):
    """It sends 25 and reports all as written."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        done = super().write_many(writes[:25])
        return [*done, *(Written(0) for _ in writes[25:])]


class CommitInChunks(MemoryDriver):
    """Of a wide commit 25 are one, and then the next 25."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        tokens: list[Token] = []
        for start in range(0, max(len(writes), 1), 25):
            outcome = super().commit(writes[start : start + 25], checks[: 0 if start else None])
            if isinstance(outcome, Rejected):
                return Rejected()
            tokens += outcome.tokens
        return Committed(tuple(tokens))


class ChecksCutOff(MemoryDriver):
    """A commit has room for 25 checks."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return super().commit(writes, checks[-25:])


class TokensOfTheOpening(MemoryDriver):
    """Each opening counts for itself."""

    _count = 0

    def _token(self, write: Write) -> Token:
        self._count += 1
        return self._count


class TokensOfTheTable(MemoryDriver):
    """A collection that is made anew counts from 1 again."""

    def _token(self, write: Write) -> Token:
        counts = self._space.__dict__.setdefault("counts", {})
        table = self._table(write.collection)
        place = (write.collection.name, write.key)
        last, before = counts.get(place, (None, 0))
        counts[place] = table, 1 if last is not table else before + 1
        return counts[place][1]


class ManyDeleteBlindly(MemoryDriver):
    """Of many writes those that leave nothing know no stamps."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        return super().write_many(
            [
                attrs.evolve(w, condition=ANYTHING)
                if w.fields is None and isinstance(w.condition, OlderThan)
                else w
                for w in writes
            ]
        )


class ManyNeedStamps(MemoryDriver):
    """Of many writes one with ``OlderThan`` is refused by what has no stamp."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        return [self._one(write) for write in writes]

    def _one(self, write: Write) -> Written | Refused:
        current = self._current(write)
        if isinstance(write.condition, OlderThan) and current and current.stamp is None:
            return Refused(told=True, current=current)
        return self.write(write)


class CommitInsertsOverForeign(MemoryDriver):
    """In a commit, ``NOTHING`` holds where there is no write id."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return super().commit([self._over(write) for write in writes], checks)

    def _over(self, write: Write) -> Write:
        current = self._current(write)
        foreign = current is not None and current.write_id is None and current.stamp is None
        held = isinstance(write.condition, Nothing) and foreign
        return attrs.evolve(write, condition=ANYTHING) if held else write


class ChecksOfForeignHold(MemoryDriver):
    """A check compares write ids, and passes where there is none."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return super().commit(writes, [check for check in checks if not self._foreign(check)])

    def _foreign(self, check: Check) -> bool:
        current = self._current(check)
        return current is not None and current.write_id is None


class LateOfManyWithoutStamps(MemoryDriver):
    """Of many writes those after the 25th go another way."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        late = [w if w.fields is None else attrs.evolve(w, stamp=None) for w in writes[25:]]
        return super().write_many([*writes[:25], *late])


class LateOfACommitWithoutExpiry(MemoryDriver):
    """Of a commit, the writes after the 25th go another way."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        late = [attrs.evolve(write, expires=None) for write in writes[25:]]
        return super().commit([*writes[:25], *late], checks)


class ManyLockEachOther(MemoryDriver):
    """Many writes lock one record after the other; who waits too long fails as it happens."""

    _locks: dict[object, threading.Lock] = {}  # noqa: RUF012  # of all openings

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        held: list[threading.Lock] = []
        try:
            for write in writes:
                place = id(self._space), write.collection.name, write.key
                lock = self._locks.setdefault(place, threading.Lock())
                if not lock.acquire(timeout=0.02):
                    raise TimeoutError
                held.append(lock)
                time.sleep(0.0002)
            return super().write_many(writes)
        finally:
            for lock in held:
                lock.release()
