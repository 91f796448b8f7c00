"""Single calls of one database on the calling thread, for what needs no procedure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from polystore.driver import ANYTHING, NOTHING, Condition, Consistency, Refused, Stored
from polystore.driver.bookkeeping import PACKED
from polystore.driver.packing import unpack
from polystore.errors import PolystoreError, Throttled
from polystore.records import Record, Version
from polystore.route.base import DELETE, Decision, Put
from polystore.route.bound import Bound, shown
from polystore.route.plain import RETRY, PlainRoute, Retry, version_of
from polystore.schema import Oversized
from polystore.values import Key

_STRONG = Consistency.STRONG


class Direct:
    """Reads and writes records of one collection with one call each, neither waiting nor repeating.

    Errors are those of the route. Throttled and Contention say that the route should be asked.

    Args:
        route: what does the same by procedures.
        bound: the collection.
        wall: tells microseconds since 1970, for records that have an expiry.
    """

    __slots__ = ("_bound", "_collection", "_driver", "_read", "_route", "_wall", "_write")

    def __init__(self, route: PlainRoute, bound: Bound, wall: Callable[[], int]) -> None:
        self._route = route
        self._wall = wall
        self._bound = bound
        self._collection = bound.collection
        self._driver = route.side.driver
        self._read = self._driver.read
        packs = self._collection.oversized is Oversized.COMPRESS
        self._write = route.side.calls.write if packs else self._driver.write

    def get(self, parts: tuple[object, ...]) -> Record | None:
        """Read one record, strongly."""
        key = self._bound.check_key(parts)
        try:
            reply = self._read(self._collection, (key,), _STRONG)
        except Exception as error:  # noqa: BLE001  # translated
            raise self._told(error, key) from _cause(error)
        if reply.unprocessed:
            raise Throttled("the read was not processed", collection=self._collection.name, key=key)
        stored = reply.records[0]
        if stored is None or stored.fields is None:
            return None
        expires = stored.expires
        if expires is not None and expires <= self._wall():
            return None
        if PACKED in stored.fields:
            self._unpack(stored)
        return shown(key, stored.fields, stored.write_id, expires)

    def put(self, record: Mapping[str, object], expires: int | None) -> Version | Retry | None:
        """Write a record whatever is there."""
        key, fields = self._bound.check_record(record)
        return self._apply(key, Put(fields, expires), ANYTHING)

    def insert(self, record: Mapping[str, object], expires: int | None) -> Version | Retry | None:
        """Write a record where nothing is; ``RETRY`` where something was, be it expired."""
        key, fields = self._bound.check_record(record)
        return self._apply(key, Put(fields, expires), NOTHING)

    def delete(self, parts: tuple[object, ...]) -> Version | Retry | None:
        """Take a record away, if there is one."""
        return self._apply(self._bound.check_key(parts), DELETE, ANYTHING)

    def _apply(self, key: Key, decision: Decision, condition: Condition) -> Version | Retry | None:
        write = self._route.made(self._bound, key, decision, condition)
        try:
            outcome = self._write(write)
        except Exception as error:  # noqa: BLE001  # translated
            raise self._told(error, key) from _cause(error)
        return RETRY if isinstance(outcome, Refused) else version_of(write)

    def _unpack(self, stored: Stored) -> None:
        try:
            unpack((stored,))
        except PolystoreError as error:
            error.locate(self._collection.name, stored.key)
            raise

    def _told(self, error: Exception, key: Key) -> PolystoreError:
        """The error of the tree that stands for what the driver raised, with its place."""
        told = error if isinstance(error, PolystoreError) else self._driver.translate(error)
        told.locate(self._collection.name, key)
        return told


def _cause(error: Exception) -> BaseException | None:
    return error.__cause__ if isinstance(error, PolystoreError) else error
