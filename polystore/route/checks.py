"""What one side cannot hold of a key or record: each thing found, with its code and its size.

The check before a write raises the first; the preflight and *observe* count them all.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from polystore.capabilities import (
    ADVICE,
    SUBJECTS,
    Capabilities,
    EmptyIndexed,
    EmptyKey,
    Limit,
)
from polystore.driver import Sizes, Write
from polystore.driver.policies import unfit
from polystore.driver.side import Side
from polystore.errors import InvalidKey, InvalidRequest, InvalidValue, LimitExceeded
from polystore.schema import Collection
from polystore.values import INT_MAX, INT_MIN, Fields, Key, KeyPart, depth

UNFIT = "indexes.empty"
"""Code of a value that an index of a side takes in no form."""


@attrs.frozen(kw_only=True)
class Violation:
    """One promise of a side that a key or record goes beyond.

    Attributes:
        code: path of the promise in the capabilities, such as ``records.size``; stable.
        says: what is wrong, for a person; never a value.
        driver: name of the side's driver; ``None`` where it is the meet's limit.
        path: the field concerned, or ``""`` where it is the whole record or key.
        limit: the limit, where the promise is one.
        size: what was measured, in the unit of the limit.
    """

    code: str
    says: str
    driver: str | None
    path: str = ""
    limit: Limit | None = None
    size: int = 0

    def error(self, collection: str, key: Key | None) -> InvalidRequest:
        """The error that a write is refused with."""
        if self.code == UNFIT:
            return InvalidValue(
                self.says, path=self.path, collection=collection, key=key, driver=self.driver
            )
        if self.limit is None:
            return InvalidKey(self.says, collection=collection, driver=self.driver)
        return LimitExceeded(
            self.says,
            limit=self.limit.most,
            size=self.size,
            unit=self.limit.unit,
            collection=collection,
            key=key,
            driver=self.driver,
        )


class Checks:
    """The keys and records of one collection against what one side promises.

    Attributes:
        strict_keys: whether a key that the collection allows can be one that the side refuses.
        limited: whether a record that the collection allows can be.
        name: of the side.
    """

    __slots__ = (
        "_depth",
        "_driver",
        "_keys",
        "_limits",
        "_measure",
        "_names",
        "_rejecting",
        "limited",
        "name",
        "strict_keys",
    )

    def __init__(self, collection: Collection, side: Side) -> None:
        promised = side.capabilities(collection)
        self.name = side.name
        self._driver = side.driver
        self._measure = side.measure
        self._names = collection.key_names
        self._keys = keys = promised.keys
        self._limits = tuple(_sized(promised))
        self._depth = promised.records.depth
        self._rejecting = tuple(
            index
            for index in collection.indexes
            if promised.indexes.empty.get(index.name) is EmptyIndexed.REJECTED
        )
        self.limited = bool(self._limits or self._rejecting) or self._depth is not None
        self.strict_keys = keys.empty is EmptyKey.REJECTED or (keys.int_min, keys.int_max) != (
            INT_MIN,
            INT_MAX,
        )

    def of_key(self, key: Key) -> Iterator[Violation]:
        """What the side cannot hold of the content of a key; sizes are looked at in a write."""
        if self.strict_keys:
            for name, part in zip(self._names, key, strict=True):
                if found := self._of_part(part):
                    code, problem = found
                    yield Violation(
                        code=code,
                        says=f"key field {name!r} {problem}. {ADVICE[code]}",
                        driver=self._driver.name,
                        path=name,
                    )

    def _of_part(self, part: KeyPart) -> tuple[str, str] | None:
        keys = self._keys
        if type(part) is int:
            if keys.int_min <= part <= keys.int_max:
                return None
            code = "keys.int_min" if part < keys.int_min else "keys.int_max"
            return code, f"must be {keys.int_min} … {keys.int_max}"
        if not part and keys.empty is EmptyKey.REJECTED:
            return "keys.empty", "must not be empty"
        return None

    def of_write(self, write: Write, sizes: Sizes | None = None) -> Iterator[Violation]:
        """What the side cannot hold of a put, key and all.

        Args:
            sizes: what the put takes there, where that is known already.
        """
        yield from self.of_key(write.key)
        if self._limits:
            sizes = sizes or self._measure(write)
            for code, limit, attribute, what in self._limits:
                size = getattr(sizes, attribute)
                if size > limit.most:
                    yield exceeded(code, limit, size, what, self._driver.name)
        if self._rejecting and write.fields:
            yield from self._of_indexed(write.fields)
        if self._depth is not None and write.fields:
            levels = max(map(depth, write.fields.values()))
            if levels > self._depth.most:
                fields = write.fields
                deepest = next(name for name in fields if depth(fields[name]) == levels)
                what = f"Field {deepest!r}"
                yield exceeded(
                    "records.depth", self._depth, levels, what, self._driver.name, deepest
                )

    def _of_indexed(self, fields: Fields) -> Iterator[Violation]:
        for index in self._rejecting:
            name = unfit(index, fields)
            if name is not None:
                kind = index.types[index.fields.index(name)]
                yield Violation(
                    code=UNFIT,
                    says=(
                        f"the index {index.name!r} takes no empty, null or other value in the "
                        f"field {name!r}{f', which is declared {kind}' if kind else ''}; leave the "
                        "field out, or give the index the policy encode or omit"
                    ),
                    driver=self._driver.name,
                    path=name,
                )


def exceeded(
    code: str, limit: Limit, size: int, what: str, driver: str | None, path: str = ""
) -> Violation:
    """The violation of a limit: ``what`` has ``size``."""
    says = (
        f"{what} has {size} {limit.unit}, the limit is {limit.most} ({limit.counts}; "
        f"{limit.source}). {ADVICE[code]}"
    )
    return Violation(code=code, says=says, driver=driver, path=path, limit=limit, size=size)


def _sized(promised: Capabilities) -> Iterator[tuple[str, Limit, str, str]]:
    """The limits on what ``Driver.measure`` tells: code, limit, attribute of ``Sizes``, subject."""
    for code, attribute, limit in (
        ("records.size", "record", promised.records.size),
        ("records.name", "name", promised.records.name),
        ("values.size", "text", promised.values.size),
        ("keys.partition", "partition", promised.keys.partition),
        ("keys.sort", "sort", promised.keys.sort),
        ("keys.part", "part", promised.keys.part),
        ("keys.whole", "whole", promised.keys.whole),
        ("indexes.value", "indexed", promised.indexes.value),
        ("indexes.first", "first", promised.indexes.first),
        ("indexes.rest", "rest", promised.indexes.rest),
    ):
        if limit is not None:
            yield code, limit, attribute, SUBJECTS[code]
