"""The verbs of an open collection: pure decisions, and the procedures of both facades.

:mod:`polystore.store` runs these procedures synchronously, :mod:`polystore.aio` under
asyncio; neither decides anything itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import attrs

from polystore.conditions import Absent, Always, AtVersion, Condition, If, Present
from polystore.driver import Consistency
from polystore.effects import Procedure, Sleep
from polystore.errors import AlreadyExists, Conflict, InvalidRequest, NotFound, PolystoreError
from polystore.records import KEEP, Change, Expiry, Record, Version, changed, expiry_of
from polystore.route.base import DELETE, Decision, Put, Route, Verb, expired
from polystore.route.bound import Bound
from polystore.schema import Collection
from polystore.values import Fields, Key

PURGE_PAGE = 100
"""Records that a purge looks at between two pauses."""


@attrs.frozen(eq=False)
class Access:
    """How one collection is reached.

    Attributes:
        collection: its declaration.
        place: name of what transactions stay within: a group, or the store's own database.
        route: carries out its operations.
        bound: what keys and records are checked against just now.
        enter: called before each operation. Raises Unavailable once the store is closed.
    """

    collection: Collection
    place: str
    route: Route
    bound: Callable[[], Bound]
    enter: Callable[[], None]


@contextmanager
def located(collection: Collection, key: Key | None = None) -> Iterator[None]:
    """Adds the collection and the key to an error that does not know them."""
    try:
        yield
    except PolystoreError as error:
        error.locate(collection.name, key)
        raise


def consistency_of(text: str) -> Consistency:
    """The consistency that an application asked for by name."""
    try:
        return Consistency(text)
    except ValueError:
        names = " or ".join(repr(c.value) for c in Consistency)
        raise InvalidRequest(f"consistency must be {names}, not {text!r}") from None


def put_verb(fields: Fields, when: Condition, expires_at: datetime | None = None) -> Verb:
    """Make the record ``fields``, if ``when`` holds."""
    return _verb(when, Put(fields, expiry_of(expires_at)))


def update_verb(
    collection: Collection,
    key: Key,
    changes: tuple[Change, ...],
    when: Condition,
    expires_at: Expiry,
) -> Verb:
    """Change a record. Where there is none and ``when`` holds all the same, start from the key."""
    told = None if expires_at is KEEP else expiry_of(expires_at)

    def decide(record: Record | None) -> Decision:
        if not when.holds(record):
            raise NotFound("there is no such record") if record is None else refusal(when)
        fields = dict(zip(collection.key_names, key, strict=True)) if record is None else record
        expires = told
        if expires_at is KEEP and record is not None:
            expires = expiry_of(record.expires_at)
        return Put(changed(dict(fields), changes, collection.key_names), expires)

    return Verb(decide)


def delete_verb(when: Condition) -> Verb:
    """Take the record away, if ``when`` holds."""
    return _verb(when, DELETE)


def _verb(when: Condition, decision: Decision) -> Verb:
    _check_condition(when)

    def decide(record: Record | None) -> Decision:
        if not when.holds(record):
            raise refusal(when)
        return decision

    puts = isinstance(decision, Put)
    fresh = isinstance(when, Absent) and puts
    version = when.version if isinstance(when, AtVersion) else None
    return Verb(decide, blind=isinstance(when, Always), fresh=fresh, puts=puts, version=version)


def refusal(when: Condition) -> Conflict:
    """The error that says which kind of condition was false."""
    if isinstance(when, Absent):
        return AlreadyExists("there is a record with this key")
    if isinstance(when, Present):
        return NotFound("there is no such record")
    return Conflict("the condition does not hold; nothing was written")


def _check_condition(when: object) -> None:
    if not isinstance(when, Condition):
        raise InvalidRequest(
            f"when= takes a condition such as If.absent, not {type(when).__name__}"
        )


def split_changes(
    arguments: Sequence[object], expires_at: Expiry
) -> tuple[tuple[object, ...], tuple[Change, ...]]:
    """The key parts and the changes of an ``update``; one of the expiry may be alone."""
    at = next((i for i, a in enumerate(arguments) if isinstance(a, Change)), len(arguments))
    changes = arguments[at:]
    enough = changes or expires_at is not KEEP
    if not enough or not all(isinstance(change, Change) for change in changes):
        raise InvalidRequest(
            "update takes the key and then changes: Set, Remove, Increment, Append"
        )
    return tuple(arguments[:at]), tuple(c for c in changes if isinstance(c, Change))


class Operations:
    """The verbs of one collection.

    Args:
        access: how the collection is reached.
        timeout: seconds for an operation that does not say.
    """

    def __init__(self, access: Access, timeout: float) -> None:
        self.access = access
        self.collection = access.collection
        self.timeout = timeout

    def seconds(self, timeout: float | None) -> float:
        """The time that one operation has."""
        return seconds_of(timeout, self.timeout)

    async def put(
        self,
        record: Mapping[str, object],
        when: Condition,
        timeout: float | None,
        expires_at: datetime | None = None,
    ) -> Version:
        """Write a whole record."""
        self.access.enter()
        key, fields = self.access.bound().check_record(record)
        with located(self.collection, key):
            return written(await self._write(key, put_verb(fields, when, expires_at), timeout))

    async def get(
        self, parts: tuple[object, ...], consistency: str, timeout: float | None
    ) -> Record | None:
        """Read one record."""
        (record,) = await self.get_many((parts,), consistency, timeout)
        return record

    async def get_many(
        self, keys: Sequence[tuple[object, ...]], consistency: str, timeout: float | None
    ) -> list[Record | None]:
        """Read several records; a key may be asked for twice."""
        self.access.enter()
        bound = self.access.bound()
        checked = [bound.check_key(_parts(key)) for key in keys]
        wanted = list(dict.fromkeys(checked))
        level, seconds = consistency_of(consistency), self.seconds(timeout)
        with located(self.collection, wanted[0] if len(wanted) == 1 else None):
            found = await self.access.route.read(bound, wanted, level, seconds) if wanted else []
        records = dict(zip(wanted, found, strict=True))
        return [records[key] for key in checked]

    async def update(
        self,
        arguments: Sequence[object],
        when: Condition,
        timeout: float | None,
        expires_at: Expiry = KEEP,
    ) -> Version:
        """Change fields of one record."""
        self.access.enter()
        parts, changes = split_changes(arguments, expires_at)
        _check_condition(when)
        key = self.access.bound().check_key(parts)
        with located(self.collection, key):
            verb = update_verb(self.collection, key, changes, when, expires_at)
            return written(await self._write(key, verb, timeout))

    async def delete(
        self, parts: tuple[object, ...], when: Condition, timeout: float | None
    ) -> None:
        """Take one record away."""
        self.access.enter()
        key = self.access.bound().check_key(parts)
        with located(self.collection, key):
            await self._write(key, delete_verb(when), timeout)

    async def purge(self, rate: float | None, timeout: float | None) -> int:
        """Remove what has expired and still lies there; how many records."""
        pause = 0.0 if rate is None else PURGE_PAGE / _per_second(rate)
        cursor: str | None = None
        purged = 0
        while True:
            self.access.enter()
            bound, seconds = self.access.bound(), self.seconds(timeout)
            with located(self.collection):
                page = await self.access.route.scan(bound, cursor, PURGE_PAGE, seconds, expired)
            for record in page.records:
                purged += await self._purged(record.key, timeout)
            cursor = page.cursor
            if cursor is None:
                return purged
            await Sleep(pause)

    async def _purged(self, key: Key, timeout: float | None) -> bool:
        """Delete what cannot be seen any more; what was written anew meanwhile stays."""
        try:
            await self.delete(key, If.absent, timeout)
        except AlreadyExists:
            return False
        return True

    def _write(self, key: Key, verb: Verb, timeout: float | None) -> Procedure[Version | None]:
        bound = self.access.bound()
        return self.access.route.write(bound, key, verb, self.seconds(timeout))


def seconds_of(timeout: float | None, default: float) -> float:
    """A time limit in seconds: ``timeout``, or the default. Raises InvalidRequest if not > 0."""
    if timeout is None:
        return default
    if not timeout > 0:
        raise InvalidRequest("timeout must be a number of seconds above 0")
    return timeout


def _per_second(rate: float) -> float:
    if not rate > 0:
        raise InvalidRequest("rate must be a number of records a second above 0")
    return rate


def written(version: object) -> Version:
    """The version that a put made."""
    assert isinstance(version, Version)
    return version


def _parts(key: object) -> tuple[object, ...]:
    if not isinstance(key, tuple | list):
        raise InvalidRequest(
            f"get_many takes keys as tuples of their parts, not {type(key).__name__}"
        )
    return tuple(key)
