"""Index policies: what one database does with an index, and with values unfit for it.

``encode``, ``omit`` and ``reject`` are of an index that polystore makes, over a copy of its own:
``encode`` has every scalar in it, ``omit`` leaves a record with an unfit value out, ``reject``
refuses its write. ``native`` is an index of the database itself over the plain fields, used as it
is: it also holds what polystore never wrote, and what becomes of an unfit value is the database's.

Unfit means the same everywhere: a null, an empty text or bytes, a list, map or set, a value that
is not of the type that the index declares, and of numbers those that no native index can order:
NaN, infinities, −0.0, and what is beyond the reach of DynamoDB's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any

import attrs

from polystore.capabilities import EmptyIndexed
from polystore.driver.ordering import SCALARS
from polystore.driver.spans import index_entry
from polystore.errors import ConfigError
from polystore.schema import INDEX_TYPES, Collection, Index
from polystore.values import Key

OPTION = "policy"
"""The option of a placement that gives policies, by the names of indexes."""

LEAST, MOST = Decimal("1e-130"), Decimal("1e126")
"""A number that every native index holds is at least ``LEAST`` and below ``MOST``, or zero."""


class Policy(Enum):
    """What one database does with one index."""

    ENCODE = "encode"
    NATIVE = "native"
    OMIT = "omit"
    REJECT = "reject"


_EMPTY: Mapping[Policy, EmptyIndexed] = {
    Policy.ENCODE: EmptyIndexed.ENCODED,
    Policy.OMIT: EmptyIndexed.OMITTED,
    Policy.REJECT: EmptyIndexed.REJECTED,
}


@attrs.frozen
class Policed:
    """A declared index as one database keeps it."""

    index: Index
    policy: Policy

    @classmethod
    def of(cls, told: Iterable[Any]) -> Policed:
        """What :attr:`told` says.

        Raises:
            ValueError, TypeError: it is nothing that was told so.
        """
        name, fields, word = told
        return cls(Index(name, tuple(fields)), Policy(word))

    @property
    def told(self) -> list[Any]:
        """Name, declared fields and policy: for where it is written down, as JSON."""
        return [self.index.name, list(self.index.declared), self.policy.value]

    @property
    def native(self) -> bool:
        """Whether it is the database's own."""
        return self.policy is Policy.NATIVE

    @property
    def sparse(self) -> bool:
        """Whether records with unfit values are not in it."""
        return self.policy in (Policy.OMIT, Policy.REJECT)

    def entry(self, fields: Mapping[str, Any] | None, key: Key) -> str | None:
        """The text of a record in an index of polystore's; ``None`` where it is not in it."""
        if self.sparse and fields is not None and unfit(self.index, fields) is not None:
            return None
        return index_entry(self.index, fields, key)


@lru_cache(maxsize=1024)
def policed(
    collection: Collection, driver: str, default: Policy = Policy.ENCODE, *, native: bool = True
) -> tuple[Policed, ...]:
    """The indexes of a collection with what the placement for a driver says of each.

    A collection never changes, and queries ask each time: what was found is kept.

    Args:
        collection: what is declared.
        driver: name of the driver.
        default: the policy of an index that the placement does not name.
        native: whether the database has indexes of its own.

    Raises:
        ConfigError: it names an index that is not declared, or something else than a policy that
            this database can have.
    """
    given = collection.placement(driver).get(OPTION, {})
    names = {index.name for index in collection.indexes}
    if not isinstance(given, Mapping) or not given.keys() <= names:
        raise _wrong(
            collection, driver, f"takes names of indexes (there are: {_listed(sorted(names))})"
        )
    known = {policy.value: policy for policy in Policy if native or policy is not Policy.NATIVE}
    if not all(type(word) is str and word in known for word in given.values()):
        if not native and Policy.NATIVE.value in given.values():
            raise _wrong(
                collection,
                driver,
                "of an index cannot be native: no index of this database has a place for every "
                "type of value; use encode, which also holds the records that were there before "
                f"(one of {_listed(known)})",
            )
        raise _wrong(collection, driver, f"of an index is one of {_listed(known)}")
    return tuple(
        Policed(index, known[given[index.name]] if index.name in given else default)
        for index in collection.indexes
    )


def joined(declared: Iterable[Policed], there: Iterable[Policed]) -> tuple[Policed, ...]:
    """What a collection keeps once the declared indexes are made: others stay as they are."""
    made = tuple(declared)
    names = {kept.index.name for kept in made}
    return (*made, *(kept for kept in there if kept.index.name not in names))


def empties(
    indexes: Iterable[Policed], native: EmptyIndexed = EmptyIndexed.INDEXED
) -> dict[str, EmptyIndexed]:
    """What becomes of unfit values, by index, for a descriptor.

    Args:
        indexes: the indexes of a collection.
        native: what this database's own indexes do with them.
    """
    return {kept.index.name: _EMPTY.get(kept.policy, native) for kept in indexes}


def unfit(index: Index, fields: Mapping[str, Any]) -> str | None:
    """The first field of an index with an unfit value; one that is absent is not unfit."""
    for name, kind in zip(index.fields, index.types, strict=True):
        if name in fields and not fits(fields[name], kind):
            return name
    return None


def fits(value: Any, kind: str | None) -> bool:
    """Whether every policy takes a value; ``kind`` is a name of ``INDEX_TYPES``, or ``None``."""
    real = type(value)
    if value is None or real not in SCALARS or (real in (str, bytes) and not value):
        return False
    if kind is None:
        return True
    return real in INDEX_TYPES[kind] and (kind != "number" or _is_plain(value))


def _is_plain(number: float | Decimal) -> bool:
    written = Decimal(repr(number) if type(number) is float else number)
    if not written:
        return not written.is_signed()
    return written.is_finite() and LEAST <= abs(written) < MOST


def misplaced(driver: str, collection: Collection, problem: str) -> ConfigError:
    """What is said of a placement that is wrong."""
    return ConfigError(
        f"placement in {driver}: {problem}", collection=collection.name, driver=driver
    )


def _wrong(collection: Collection, driver: str, problem: str) -> ConfigError:
    return misplaced(driver, collection, f"{OPTION} {problem}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
