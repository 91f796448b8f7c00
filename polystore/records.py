"""Records as applications see them, their versions, and changes to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Context, Decimal, Inexact
from enum import Enum
from typing import Any, TypeAlias

import attrs

from polystore.errors import InvalidRequest, InvalidValue
from polystore.values import (
    DECIMAL_DIGITS,
    MOST_LEVELS,
    Fields,
    Key,
    check_name,
    checked,
    copied,
    microseconds,
    moment_at,
    same,
)

_EXACT = Context(prec=DECIMAL_DIGITS, traps=[Inexact])
"""Where Decimals are added: a sum that would lose digits raises."""


@attrs.frozen
class Version:
    """Opaque mark of one state of one record: compare for equality, nothing else.

    It is the record's write id, or a digest of its fields where it has none, and stays the same
    on both sides of a migration. ``str(version)`` and ``Version(text)`` carry it elsewhere.
    """

    mark: str

    def __str__(self) -> str:
        return self.mark


class Keep(Enum):
    """The type of :data:`KEEP`."""

    KEEP = "keep"


KEEP = Keep.KEEP
"""As ``expires_at`` of an update: the expiry stays what it is."""

Expiry: TypeAlias = datetime | None | Keep
"""What ``expires_at`` of an update may be."""


def expiry_of(expires_at: datetime | None) -> int | None:
    """``expires_at`` in microseconds since 1970; ``None``, for never, stays ``None``.

    Raises:
        InvalidValue: no datetime, or one without a time zone.
    """
    if expires_at is None:
        return None
    if type(expires_at) is not datetime:
        raise InvalidValue(
            f"expires_at is a datetime with a time zone, or None, not {type(expires_at).__name__}",
            path="expires_at",
        )
    return microseconds(checked(expires_at, "expires_at"))


class Record(Mapping[str, Any]):
    """One record: a mapping of all its fields, key fields included, with ``key`` and ``version``.

    It belongs to the caller: changing a list in it changes nothing in the database.

    Args:
        key: the key.
        fields: all fields.
        version: the version, or its mark.
        expires: when it expires, in microseconds since 1970.
    """

    __slots__ = ("_expires", "_fields", "_version", "key")

    def __init__(
        self, key: Key, fields: Fields, version: Version | str, expires: int | None = None
    ) -> None:
        self.key = key
        self._fields = fields
        self._version = version
        self._expires = expires

    @property
    def version(self) -> Version:
        """The mark of this state of the record."""
        version = self._version  # a mark until it is asked for: most reads never ask
        return version if isinstance(version, Version) else Version(version)

    @property
    def expires_at(self) -> datetime | None:
        """The moment from which on it is gone, in UTC; ``None`` for never."""
        return None if self._expires is None else moment_at(self._expires)

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Record(key={self.key!r}, {len(self._fields)} fields)"


class Change:
    """One change of a record's fields, for ``update``."""

    __slots__ = ()

    def apply(self, fields: Fields) -> None:
        """Carry it out on ``fields``, in place. Raises InvalidValue where it cannot be."""
        raise NotImplementedError  # pragma: no cover  # each of the classes below says how


class Set(Change):
    """Give fields new values: ``Set(state="paid")``, or ``Set({"odd name": 1})``."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, object] | None = None, /, **named: object) -> None:
        both = {**(values or {}), **named}
        self.values = {check_name(n, "Set"): checked(v, n) for n, v in both.items()}

    def apply(self, fields: Fields) -> None:
        # Copies: the change may be applied again, to this record or to another.
        fields.update((name, copied(value)) for name, value in self.values.items())


class Remove(Change):
    """Take fields away; a field that is not there is no error."""

    __slots__ = ("names",)

    def __init__(self, *names: str) -> None:
        self.names = tuple(check_name(name, "Remove") for name in names)

    def apply(self, fields: Fields) -> None:
        for name in self.names:
            fields.pop(name, None)


class Increment(Change):
    """Add to a number, of the number's own type; a missing field counts as 0.

    Raises (when applied):
        InvalidValue: the field holds no number, or one of another type, or the sum is too large,
            or would need more digits than a Decimal has.
    """

    __slots__ = ("amount", "name")

    def __init__(self, name: str, amount: int | float | Decimal = 1) -> None:
        if type(amount) not in (int, float, Decimal):
            raise InvalidValue(f"{name}: the amount must be int, float or Decimal", path=name)
        self.name = check_name(name, "Increment")
        self.amount: Any = checked(amount, name)

    def apply(self, fields: Fields) -> None:
        old: Any = fields.get(self.name, type(self.amount)(0))
        if type(old) is not type(self.amount):
            raise InvalidValue(
                f"{self.name}: cannot add {type(self.amount).__name__} to {type(old).__name__}",
                path=self.name,
            )
        fields[self.name] = checked(self._sum(old), self.name)

    def _sum(self, old: Any) -> Any:
        if type(old) is not Decimal:
            return old + self.amount
        try:
            return _EXACT.add(old, self.amount)
        except Inexact:
            raise InvalidValue(
                f"{self.name}: the sum needs more than {DECIMAL_DIGITS} digits", path=self.name
            ) from None


class Append(Change):
    """Add items to the end of a list; a missing field counts as an empty list."""

    __slots__ = ("items", "name")

    def __init__(self, name: str, *items: object) -> None:
        self.name = check_name(name, "Append")
        self.items = [
            checked(item, f"{name}[+{i}]", MOST_LEVELS - 1) for i, item in enumerate(items)
        ]

    def apply(self, fields: Fields) -> None:
        old = fields.get(self.name, [])
        if type(old) is not list:
            raise InvalidValue(
                f"{self.name}: cannot append to {type(old).__name__}", path=self.name
            )
        fields[self.name] = [*old, *copied(self.items)]


def changed(fields: Fields, changes: tuple[Change, ...], key_names: tuple[str, ...]) -> Fields:
    """A copy of ``fields`` with the changes carried out, in their order.

    Raises:
        InvalidRequest: something that is no change, or one that would move the key.
        InvalidValue: a change that cannot be carried out on these fields.
    """
    copy = dict(fields)
    for change in changes:
        if not isinstance(change, Change):
            raise InvalidRequest(f"{type(change).__name__} is not a change; use Set, Remove, …")
        change.apply(copy)
    for name in key_names:
        if not same(copy.get(name), fields[name]):
            raise InvalidRequest(f"update cannot change the key field {name!r}")
    return copy
