"""Transactions: reads are remembered and checked at commit, writes are kept until then.

A :class:`Draft` is what one run of the application's function has read and wants to write. It is
committed whole, or thrown away; then the function runs again on a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from polystore.conditions import Condition
from polystore.effects import Now, Sleep, Uniform, WallClock
from polystore.errors import (
    Conflict,
    Contention,
    Declined,
    InvalidRequest,
    PolystoreError,
    Throttled,
    Unsupported,
)
from polystore.operations import (
    Access,
    delete_verb,
    located,
    put_verb,
    split_changes,
    update_verb,
)
from polystore.records import Expiry, Record, Version
from polystore.route.base import (
    Decision,
    Place,
    Put,
    Route,
    Seen,
    Verb,
    has_expired,
    wall_clock,
)
from polystore.route.bound import Bound, shown
from polystore.values import Key, copied

Name = tuple[str, Key]
"""Collection and key: what a transaction knows a record by."""


class Draft:
    """What one run of a transaction has read and wants to write.

    Args:
        open_: gives the way to a collection, by name; raises for a name that is not declared.
        deadline: moment on the monotonic clock up to which the transaction may take.
    """

    def __init__(self, open_: Callable[[str], Access], deadline: float) -> None:
        self._open = open_
        self._deadline = deadline
        self._place: str | None = None
        self._route: Route | None = None
        self._seen: dict[Name, tuple[Place, Seen]] = {}
        self._writes: dict[Name, tuple[Place, Decision]] = {}
        self._pending: dict[Name, int] = {}
        self._ended = False

    def collection(self, name: str) -> DraftCollection:
        """One collection inside the transaction.

        Raises:
            InvalidRequest: it is not declared, or the transaction is over.
            Unsupported: it is in another group or database than what was used before.
        """
        if self._ended:
            raise InvalidRequest("this transaction is over: use tx inside its function only")
        access = self._open(name)
        if self._place not in (None, access.place):
            raise Unsupported(
                f"a transaction stays within one group or database: {name!r} is in {access.place}, "
                f"the transaction in {self._place}",
                collection=name,
            )
        self._place, self._route = access.place, access.route
        return DraftCollection(self, access)

    async def _left(self) -> float:
        """Seconds to the deadline, at least a moment: what was begun may end."""
        return max(self._deadline - await Now(), 0.001)

    async def look(self, access: Access, key: Key) -> Record | None:
        """The record as this transaction sees it: its own write, else what it read first."""
        name = (access.collection.name, key)
        if name in self._writes:
            return await self._own(name)
        if name not in self._seen:
            place = (access.bound(), key)
            access.enter()
            self._seen[name] = (place, await access.route.look(place, await self._left()))
        return await _shown(self._seen[name][1])

    async def _own(self, name: Name) -> Record | None:
        _, decision = self._writes[name]
        if not isinstance(decision, Put):
            return None
        if decision.expires is not None and decision.expires <= await WallClock():
            return None
        version = Version(f"pending:{self._pending[name]}")
        return Record(name[1], copied(decision.fields), version, decision.expires)

    async def decide(self, access: Access, bound: Bound, key: Key, verb: Verb) -> None:
        """Decide on the record as this transaction sees it, and keep the decision."""
        name = (access.collection.name, key)
        record = None if verb.blind else await self.look(access, key)
        self._writes[name] = ((bound, key), verb.decide(record))
        self._pending[name] = self._pending.get(name, 0) + 1

    async def commit(self) -> None:
        """Write everything if all that was read is still so.

        Raises:
            Conflict, Contention: it is not, or the database gave way; nothing was written.
        """
        self._ended = True
        if self._route is None:
            return
        seen, writes = tuple(self._seen.values()), tuple(self._writes.values())
        await self._route.commit(seen, writes, await self._left())

    async def stale(self) -> bool:
        """Whether what was read was never there at one moment; nothing is written."""
        self._ended = True
        if self._route is None or len(self._seen) <= 1:
            return False
        try:
            await self._route.commit(tuple(self._seen.values()), (), await self._left())
        except Declined:
            return False
        except (Conflict, Contention, Throttled):
            return True
        except PolystoreError:
            return False  # what the function raised says more
        return False


async def _shown(read: Seen) -> Record | None:
    """What was read, as a record that the caller may change."""
    stored = read.stored
    if stored is None or stored.fields is None or has_expired(stored, await wall_clock((stored,))):
        return None
    return shown(stored.key, copied(stored.fields), stored.write_id, stored.expires)


class DraftCollection:
    """One collection inside a transaction: its verbs, as procedures."""

    def __init__(self, draft: Draft, access: Access) -> None:
        self._draft = draft
        self._access = access

    async def get(self, parts: tuple[object, ...]) -> Record | None:
        """Read one record, and remember it for the commit."""
        key = self._access.bound().check_key(parts)
        with located(self._access.collection, key):
            return await self._draft.look(self._access, key)

    async def put(
        self, record: Mapping[str, object], when: Condition, expires_at: datetime | None = None
    ) -> None:
        """Write a whole record at commit."""
        bound = self._access.bound()
        key, fields = bound.check_record(record)
        await self._decide(bound, key, put_verb(fields, when, expires_at))

    async def update(
        self, arguments: Sequence[object], when: Condition, expires_at: Expiry
    ) -> None:
        """Change fields of one record at commit."""
        bound = self._access.bound()
        parts, changes = split_changes(arguments, expires_at)
        key = bound.check_key(parts)
        verb = update_verb(bound.collection, key, changes, when, expires_at)
        await self._decide(bound, key, verb)

    async def delete(self, parts: tuple[object, ...], when: Condition) -> None:
        """Take one record away at commit."""
        bound = self._access.bound()
        key = bound.check_key(parts)
        await self._decide(bound, key, delete_verb(when))

    async def _decide(self, bound: Bound, key: Key, verb: Verb) -> None:
        with located(self._access.collection, key):
            await self._draft.decide(self._access, bound, key, verb)


class Attempts:
    """The runs of one transaction's function, up to a number and a deadline.

    Args:
        open_: as for :class:`Draft`.
        most: runs at most; ``None`` for as many as the time allows.
        seconds: time for all of them together.
    """

    def __init__(self, open_: Callable[[str], Access], most: int | None, seconds: float) -> None:
        if most is not None and (type(most) is not int or most < 1):
            raise InvalidRequest("attempts must be a whole number of at least 1")
        self._open = open_
        self._most = most
        self._seconds = seconds
        self._deadline: float | None = None
        self._made = 0

    async def begin(self) -> Draft:
        """What the next run works on."""
        if self._deadline is None:
            self._deadline = await Now() + self._seconds
        return Draft(self._open, self._deadline)

    async def committed(self, draft: Draft) -> bool:
        """Commit; ``False`` after a pause where the function has to run again."""
        try:
            await draft.commit()
        except Declined:
            raise
        except _AGAIN as error:
            await self._pause(error)
            return False
        return True

    async def excused(self, draft: Draft, error: Exception) -> bool:
        """Whether an error of the function only shows that it read what was never so.

        It waits before it says so; the function runs again.
        """
        if isinstance(error, Declined):
            return False
        if not isinstance(error, Contention | Throttled) and not await draft.stale():
            return False
        await self._pause(error)
        return True

    async def _pause(self, error: Exception) -> None:
        """Wait a random moment: up to 2 ms, doubled each time, at most 100 ms."""
        self._made += 1
        seconds = await Uniform() * min(0.002 * 2**self._made, 0.1)
        assert self._deadline is not None
        if self._made == self._most or await Now() + seconds >= self._deadline:
            raise Contention(
                f"others changed what the transaction read, {self._made} times; nothing was applied"
            ) from error
        await Sleep(seconds)


_AGAIN = (Conflict, Contention, Throttled)
"""What a commit raises where another run may succeed: surely not applied."""
