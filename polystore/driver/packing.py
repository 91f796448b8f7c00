"""The calls of a driver: records over its limit go in compressed, and come out whole.

Above this everybody sees whole records, on both sides of a migration: each side stores by its own
limit, and what is compared, stamped and copied is the same. Of a compressed record the key fields
and the fields of declared indexes stay as they are; ``_ps_z`` holds all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from polystore.capabilities import Capabilities
from polystore.driver.bookkeeping import PACKED
from polystore.driver.compression import compressed, decompressed
from polystore.driver.contract import (
    Check,
    Committed,
    Consistency,
    Driver,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Sizes,
    Stored,
    Unprocessed,
    Write,
    Written,
    readable,
)
from polystore.errors import PolystoreError
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection, Oversized
from polystore.values import Fields, Key, Ref

_EACH, _WIDE = 128, 8
"""No database takes more than so many bytes for a value, and for each character or byte in it."""

_KEPT = 512
"""The same for what is kept beside the fields."""


class Packing:
    """The data calls of one driver.

    Args:
        driver: the open database.
        promised: what it promises for a collection.
    """

    __slots__ = ("_driver", "_promised")

    def __init__(self, driver: Driver, promised: Callable[[Collection], Capabilities]) -> None:
        self._driver = driver
        self._promised = promised

    def measure(self, write: Write) -> Sizes:
        """As the driver: of the record as it would be stored."""
        return self._driver.measure(self._fitting(write))

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        """As the driver."""
        reply = self._driver.read(collection, keys, consistency)
        unpack(reply.records)
        return reply

    def write(self, write: Write) -> Written | Refused:
        """As the driver."""
        outcome = self._driver.write(self._fitting(write))
        if isinstance(outcome, Refused):
            unpack((outcome.current,))
        return outcome

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        """As the driver."""
        outcomes = self._driver.write_many([self._fitting(write) for write in writes])
        unpack(o.current for o in outcomes if isinstance(o, Refused))
        return outcomes

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        """As the driver."""
        outcome = self._driver.commit([self._fitting(write) for write in writes], checks)
        if isinstance(outcome, Rejected):
            unpack(refused.current for refused in outcome.refusals if refused is not None)
        return outcome

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        """As the driver."""
        page = self._driver.query(collection, plan, after, limit)
        unpack(page.records)
        return page

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        """As the driver."""
        page = self._driver.scan(collection, segment, cursor, limit)
        page.records, packed = readable(
            page.records, unpacked, lambda stored: stored.key, self._driver.translate
        )
        page.unreadable += packed
        return page

    def _fitting(self, write: Write) -> Write:
        """The write, its record compressed where the database would not take it as it is."""
        if write.collection.oversized is not Oversized.COMPRESS or write.fields is None:
            return write
        promised = self._promised(write.collection)
        record, text = promised.records.size, promised.values.size
        least = min((limit.most for limit in (record, text) if limit), default=None)
        if least is None or at_most_bytes(write) <= least:
            return write
        sizes = self._driver.measure(write)
        fits = (record is None or sizes.record <= record.most) and (
            text is None or sizes.text <= text.most
        )
        return write if fits else packed(write)


def packed(write: Write) -> Write:
    """The write with its record compressed; as it is where that cannot be, or would gain nothing.

    Raises:
        ConfigError: there is no zstd.
    """
    fields, collection = write.fields, write.collection
    assert fields is not None
    plain = {*collection.key_names, *(name for i in collection.indexes for name in i.fields)}
    frame = compressed({name: fields[name] for name in fields if name not in plain})
    if frame is None:
        return write
    kept: Fields = {name: fields[name] for name in fields if name in plain}
    return attrs.evolve(write, fields={**kept, PACKED: frame})


def unpack(records: Iterable[Stored | None]) -> None:
    """Make the records of a reply whole, in place.

    Raises:
        DriverError: another program's bytes are where the compressed fields should be.
        ConfigError: there is no zstd.
    """
    for stored in records:
        if stored is not None:
            unpacked(stored)


def unpacked(stored: Stored) -> Stored:
    """The same record, made whole. Raises as :func:`unpack` does."""
    if stored.fields is not None and PACKED in stored.fields:
        try:
            stored.fields.update(decompressed(stored.fields.pop(PACKED)))
        except PolystoreError as error:
            error.key = stored.key
            raise
    return stored


def at_most_bytes(write: Write) -> int:
    """At least the bytes that any database takes for a put: a look that costs little.

    Names count again for each value below them, since a driver may keep the paths of values, and
    all again for each index.
    """
    assert write.fields is not None
    times = 1 + len(write.collection.indexes)
    fields = write.fields.items()
    return times * (_KEPT + sum(_bytes(value, _WIDE * len(name)) for name, value in fields))


def _bytes(value: object, path: int) -> int:
    size = _EACH + path
    if isinstance(value, str | bytes):
        return size + _WIDE * len(value)
    if isinstance(value, dict):
        return size + sum(_bytes(item, size + _WIDE * len(name)) for name, item in value.items())
    if isinstance(value, list | frozenset):
        return size + sum(_bytes(item, size) for item in value)
    if isinstance(value, Ref):
        return size + sum(_bytes(part, 0) for part in (value.collection, *value.key))
    return size
