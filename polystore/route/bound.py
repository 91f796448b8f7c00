"""One collection as it is open: what its keys and records are checked against, per side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import and_
from typing import Any

import attrs

from polystore.capabilities import EmptyIndexed, Scope
from polystore.driver import Sizes, Write
from polystore.driver.policies import unfit
from polystore.driver.side import Side
from polystore.errors import InvalidKey, InvalidRequest, InvalidValue, LimitExceeded, Unsupported
from polystore.records import Record
from polystore.route.checks import Checks, Violation, exceeded
from polystore.schema import Collection, Index
from polystore.values import Fields, Key, checked_fields, digest


class Bound:
    """A collection and the sides that are in play for it; checks what goes to them.

    ``capabilities`` is the meet of the sides': what an application may rely on. Transactions are
    the matter of those that may be a home.
    """

    __slots__ = (
        "_homes",
        "_limited",
        "_omitting",
        "_plain_keys",
        "_strict",
        "_types",
        "capabilities",
        "collection",
    )

    def __init__(self, collection: Collection, sides: Sequence[Side]) -> None:
        self.collection = collection
        met = reduce(and_, (side.capabilities(collection) for side in sides))
        self._homes = tuple(side for side in sides if side.may_be_home)
        if 0 < len(self._homes) < len(sides):
            homes = reduce(and_, (side.capabilities(collection) for side in self._homes))
            met = attrs.evolve(met, transactions=homes.transactions)
        self.capabilities = met
        self._types: tuple[Any, ...] = tuple(field.type for field in collection.key)
        self._omitting = frozenset(
            name for name, rule in met.indexes.empty.items() if rule is EmptyIndexed.OMITTED
        )
        checks = [Checks(collection, side) for side in sides]
        self._strict = tuple(c for c in checks if c.strict_keys)
        # A side that is strict about keys alone is asked too: a transaction writes what it read.
        self._limited = tuple(c for c in checks if c.strict_keys or c.limited)
        # Without ints, which have bounds; what else a part may be is then soon told.
        self._plain_keys = not self._strict and int not in self._types

    def check_key(self, parts: tuple[Any, ...]) -> Key:
        """``parts`` as a key that every side in play can hold.

        Raises:
            InvalidKey: wrong number, type or content of parts; the message says which side.
        """
        if self._plain_keys and len(parts) == len(self._types):
            for part, kind in zip(parts, self._types):  # noqa: B905  # equally long; quicker so
                if type(part) is not kind or (kind is str and not part.isascii()):
                    break
            else:
                return parts
        key = self.collection.check_key(parts)
        for side in self._strict:
            for violation in side.of_key(key):
                raise violation.error(self.collection.name, None)
        return key

    def check_record(self, record: Mapping[str, object]) -> tuple[Key, Fields]:
        """The key, and a private checked copy of the fields, of a record to be put.

        Raises:
            InvalidRequest: no mapping, or a key field is missing.
            InvalidKey, InvalidValue: as :meth:`check_key` and ``values.checked_fields``.
        """
        name = self.collection.name
        if not isinstance(record, Mapping):
            raise InvalidRequest(f"a record is a mapping, not {type(record).__name__}")
        try:
            parts = tuple(record[field] for field in self.collection.key_names)
        except KeyError as missing:
            raise InvalidKey(
                f"the record lacks the key field {missing.args[0]!r}", collection=name
            ) from None
        key = self.check_key(parts)
        try:
            fields = checked_fields(record)
        except (InvalidValue, LimitExceeded) as error:
            error.collection, error.key = name, key
            raise
        return key, fields

    def indexed(self, index: Index | None, records: list[Record]) -> list[Record]:
        """The records that a query of an index may show: those that it holds on every side.

        What one side leaves out (QRY-11) shall not come and go with the home of its bucket.
        """
        if index is None or index.name not in self._omitting:
            return records
        return [record for record in records if unfit(index, record) is None]

    def violations(
        self, write: Write, sizes: Mapping[str, Sizes] | None = None
    ) -> Iterator[Violation]:
        """Everything of a put that a side in play cannot hold, one side after the other.

        Args:
            sizes: what the put takes, by side, where that is known already.
        """
        for side in self._limited:
            yield from side.of_write(write, None if sizes is None else sizes.get(side.name))

    def check_write(self, write: Write) -> None:
        """Whether every side in play can hold the record of ``write``, key and sizes.

        Raises:
            InvalidKey: a part of the key that a side cannot hold.
            InvalidValue: a value that an index of a side rejects.
            LimitExceeded: naming the collection, the key, the limit, the size and the side.
        """
        if self._limited:
            for violation in self.violations(write):
                raise violation.error(write.collection.name, write.key)

    def check_atomic(
        self, items: int, writes: Sequence[Write], beside: Sequence[Write] = ()
    ) -> None:
        """Whether a commit of so many records fits every side in play.

        Args:
            items: records written and checked.
            writes: what is written, for the sides that limit the bytes of a commit.
            beside: what the protocol writes in the same commit (the slot, while migrating).

        Raises:
            Unsupported: there are no transactions of this reach.
            LimitExceeded: too many items or bytes; the limit is what ``beside`` leaves.
        """
        name, what = self.collection.name, "The transaction"
        promised = self.capabilities.transactions
        if promised.scope is not Scope.STORE:
            raise Unsupported(
                f"transactions here reach no further than: {promised.scope.value}", collection=name
            )
        if promised.items and items + len(beside) > promised.items.most:
            usable = attrs.evolve(promised.items, most=promised.items.most - len(beside))
            raise exceeded("transactions.items", usable, items, what, None).error(name, None)
        for side in self._homes:
            most = side.capabilities(self.collection).transactions.size
            if most is None:
                continue
            usable = attrs.evolve(most, most=most.most - _bytes(side, beside))
            size = _bytes(side, writes)
            if size > usable.most:
                driver = side.driver.name
                raise exceeded("transactions.size", usable, size, what, driver).error(name, None)


def _bytes(side: Side, writes: Sequence[Write]) -> int:
    return sum(side.measure(write).record for write in writes)


def shown(key: Key, fields: Fields, write_id: str | None, expires: int | None) -> Record:
    """A record as the application sees it."""
    return Record(key, fields, write_id or digest(fields), expires)
