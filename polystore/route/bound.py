"""One collection as it is open: what its keys and records are checked against, per side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from polystore.capabilities import Capabilities, EmptyKey, Limit, Scope
from polystore.driver import Write
from polystore.driver.side import Side
from polystore.errors import InvalidKey, InvalidRequest, InvalidValue, LimitExceeded, Unsupported
from polystore.records import Record
from polystore.schema import Collection
from polystore.values import Fields, Key, KeyPart, checked_fields, depth, digest


class Bound:
    """A collection and the sides that are in play for it; checks what goes to them.

    ``capabilities`` is the meet of the sides': what an application may rely on.
    """

    __slots__ = (
        "_limited",
        "_plain_keys",
        "_reserved",
        "_strict_keys",
        "_types",
        "capabilities",
        "collection",
    )

    def __init__(self, collection: Collection, sides: Sequence[Side]) -> None:
        self.collection = collection
        met = sides[0].capabilities(collection)
        for other in sides[1:]:
            met = met & other.capabilities(collection)
        self.capabilities = met
        self._types: tuple[Any, ...] = tuple(field.type for field in collection.key)
        keys = met.keys
        self._reserved = re.compile(keys.reserved) if keys.reserved else None
        self._strict_keys = (
            keys.empty is EmptyKey.REJECTED
            or keys.reserved is not None
            or (keys.int_min, keys.int_max) != (-(2**63), 2**63 - 1)
        )
        # Without ints, which have bounds; what else a part may be is then soon told.
        self._plain_keys = not self._strict_keys and int not in self._types
        self._limited = tuple(s for s in sides if _has_limits(s.capabilities(collection)))

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
        if self._strict_keys:
            for name, checked_part in zip(self.collection.key_names, key, strict=True):
                self._check_part(name, checked_part)
        return key

    def _check_part(self, name: str, part: KeyPart) -> None:
        keys = self.capabilities.keys
        problem = None
        if type(part) is int:
            if not keys.int_min <= part <= keys.int_max:
                problem = f"must be {keys.int_min} … {keys.int_max}"
        elif not part and keys.empty is EmptyKey.REJECTED:
            problem = "must not be empty"
        elif type(part) is str and self._reserved and self._reserved.fullmatch(part):
            problem = f"is text that the database keeps for itself ({self._reserved.pattern})"
        if problem:
            raise InvalidKey(f"key field {name!r} {problem}", collection=self.collection.name)

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

    def check_write(self, write: Write) -> None:
        """Whether every side in play can hold the record of ``write``, key and sizes.

        Raises:
            InvalidKey: a part of the key that a side cannot hold.
            LimitExceeded: naming the collection, the key, the limit, the size and the side.
        """
        if self._strict_keys:
            for name, part in zip(self.collection.key_names, write.key, strict=True):
                self._check_part(name, part)
        for side in self._limited:
            _check_sizes(side, write)
            _check_depth(side, write)

    def check_atomic(self, items: int, spare: int, writes: Sequence[Write]) -> None:
        """Whether a commit of so many records fits every side in play.

        Args:
            items: records written and checked.
            spare: further records that the protocol adds (the slot, while migrating).
            writes: what is written, for the sides that limit the bytes of a commit.

        Raises:
            Unsupported: there are no transactions of this reach.
            LimitExceeded: too many items or bytes; the limit is what is left without ``spare``.
        """
        name = self.collection.name
        promised = self.capabilities.transactions
        if promised.scope is not Scope.STORE:
            raise Unsupported(
                f"transactions here reach no further than: {promised.scope.value}", collection=name
            )
        if promised.items and items + spare > promised.items.most:
            usable = attrs.evolve(promised.items, most=promised.items.most - spare)
            raise _exceeded(usable, items, "the transaction", name, None, None)
        for side in self._limited:
            most = side.capabilities(self.collection).transactions.size
            size = sum(side.driver.measure(write).record for write in writes) if most else 0
            if most and size > most.most:
                raise _exceeded(most, size, "the transaction", name, None, side.driver.name)


def shown(key: Key, fields: Fields, write_id: str | None) -> Record:
    """A record as the application sees it."""
    return Record(key, fields, write_id or digest(fields))


def _has_limits(capabilities: Capabilities) -> bool:
    keys = capabilities.keys
    return any((capabilities.records.size, keys.partition, keys.sort, capabilities.indexes.value))


def _check_sizes(side: Side, write: Write) -> None:
    sizes = side.driver.measure(write)
    promised = side.capabilities(write.collection)
    for limit, size, what in (
        (promised.records.size, sizes.record, "the record"),
        (promised.keys.partition, sizes.partition, "the partition part of the key"),
        (promised.keys.sort, sizes.sort, "the sort part of the key"),
        (promised.indexes.value, sizes.indexed, "an indexed value"),
    ):
        if limit is not None and size > limit.most:
            raise _exceeded(limit, size, what, write.collection.name, write.key, side.driver.name)


def _check_depth(side: Side, write: Write) -> None:
    most = side.capabilities(write.collection).records.depth
    deepest = depth(write.fields) - 1 if most else 0
    if most and deepest > most.most:
        name, driver = write.collection.name, side.driver.name
        raise _exceeded(most, deepest, "the record", name, write.key, driver)


def _exceeded(
    limit: Limit, size: int, what: str, collection: str, key: Key | None, driver: str | None
) -> LimitExceeded:
    return LimitExceeded(
        f"{what} has {size} {limit.unit}, the limit is {limit.most} ({limit.counts}; "
        f"{limit.source})",
        limit=limit.most,
        size=size,
        unit=limit.unit,
        collection=collection,
        key=key,
        driver=driver,
    )
