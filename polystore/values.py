"""What a field may hold, how values are checked and copied, and their canonical digest.

A value is one of ``None, bool, int, float, Decimal, str, bytes, datetime, list, dict, frozenset,
GeoPoint, Ref``, exactly these types and no subclasses: ``1``, ``1.0``, ``Decimal("1")`` and
``True`` are four different values, and a subclass would not come back as what it was.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any, TypeAlias

import attrs

from polystore.errors import InvalidValue, LimitExceeded

KeyPart: TypeAlias = str | int | bytes
Key: TypeAlias = tuple[KeyPart, ...]

RESERVED = "_ps_"
"""Prefix of the names that polystore keeps for itself, at every depth."""

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
DECIMAL_DIGITS = 38
DECIMAL_EXPONENT = 6144
MOST_LEVELS = 100
"""Deepest nesting of containers in one value; databases may take less."""


@attrs.frozen
class GeoPoint:
    """A point on the earth in degrees: latitude -90 … 90, longitude -180 … 180."""

    latitude: float
    longitude: float

    def __attrs_post_init__(self) -> None:
        for name, value, most in (
            ("latitude", self.latitude, 90.0),
            ("longitude", self.longitude, 180.0),
        ):
            if type(value) is not float or not -most <= value <= most:
                raise InvalidValue(f"{name} must be a float from -{most:g} to {most:g}", path=name)


@attrs.frozen
class Ref:
    """A reference to a record: the name of its collection and its key."""

    collection: str
    key: Key

    def __attrs_post_init__(self) -> None:
        if type(self.collection) is not str or not self.collection:
            raise InvalidValue("a Ref needs the name of a collection", path="collection")
        _check_text(self.collection, "collection")
        if type(self.key) is not tuple or not self.key:
            raise InvalidValue("a Ref needs a key: a tuple of str, int or bytes", path="key")
        for part in self.key:
            if type(part) is str:
                _check_text(part, "key")
            elif type(part) is int:
                _check_int(part, "key")
            elif type(part) is not bytes:
                raise InvalidValue("a key part must be str, int or bytes", path="key")


Scalar: TypeAlias = None | bool | int | float | Decimal | str | bytes | datetime | GeoPoint | Ref
Value: TypeAlias = (
    "Scalar | list[Value] | dict[str, Value] | frozenset[str] | frozenset[bytes] | "
    "frozenset[int] | frozenset[float] | frozenset[Decimal] | frozenset[datetime]"
)
Fields: TypeAlias = "dict[str, Value]"

SET_MEMBERS: frozenset[type] = frozenset({str, bytes, int, float, Decimal, datetime})
"""Types that a frozenset may hold, one of them at a time."""

CANONICAL_NAN = struct.unpack(">d", b"\x7f\xf8\x00\x00\x00\x00\x00\x00")[0]
"""The one NaN that a record holds."""


def _check_text(text: str, path: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValue(f"{path}: text holds a lone surrogate", path=path) from None
    return text


def _check_int(number: int, path: str) -> int:
    if INT_MIN <= number <= INT_MAX:
        return number
    raise InvalidValue(f"{path}: an int must fit in 64 bits; use Decimal", path=path)


def _check_float(number: float, _path: str) -> float:
    return CANONICAL_NAN if math.isnan(number) else number


def _check_decimal(number: Decimal, path: str) -> Decimal:
    if not number.is_finite():
        raise InvalidValue(f"{path}: a Decimal must be finite", path=path)
    if len(number.as_tuple().digits) > DECIMAL_DIGITS:
        raise InvalidValue(f"{path}: a Decimal has at most {DECIMAL_DIGITS} digits", path=path)
    if number and abs(number.adjusted()) > DECIMAL_EXPONENT:
        raise InvalidValue(f"{path}: the exponent is over ±{DECIMAL_EXPONENT}", path=path)
    if not number and abs(int(number.as_tuple().exponent)) > DECIMAL_EXPONENT:
        raise InvalidValue(f"{path}: the exponent is over ±{DECIMAL_EXPONENT}", path=path)
    return number


def _check_datetime(moment: datetime, path: str) -> datetime:
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise InvalidValue(f"{path}: a datetime needs a time zone", path=path)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidValue(f"{path}: out of range once in UTC", path=path) from None


def _check_set(members: frozenset[Any], path: str) -> frozenset[Any]:
    kinds = {type(member) for member in members}
    if len(kinds) > 1 or kinds - SET_MEMBERS:
        raise InvalidValue(
            f"{path}: a frozenset holds one of str, bytes, int, float, Decimal, datetime",
            path=path,
        )
    return frozenset(_CHECKS[type(member)](member, path) for member in members)


def _same(value: Any, _path: str) -> Any:
    return value


_CHECKS: dict[type, Callable[[Any, str], Any]] = {
    type(None): _same,
    bool: _same,
    int: _check_int,
    float: _check_float,
    Decimal: _check_decimal,
    str: _check_text,
    bytes: _same,
    datetime: _check_datetime,
    frozenset: _check_set,
    GeoPoint: _same,
    Ref: _same,
}


def checked(value: object, path: str = "value", levels: int = MOST_LEVELS) -> Any:
    """A private copy of ``value`` in its portable form.

    Args:
        value: anything; a datetime is moved to UTC, every NaN becomes the one NaN.
        path: where the value stands, for the message.
        levels: how many more containers may be nested.

    Raises:
        InvalidValue: a type, number, text or name that no portable record can hold.
        LimitExceeded: containers are nested too deeply.
    """
    kind = type(value)
    check = _CHECKS.get(kind)
    if check is not None:
        return check(value, path)
    if kind is list or kind is dict:
        if levels <= 0:
            raise LimitExceeded(
                f"{path}: nested too deeply",
                limit=MOST_LEVELS,
                size=MOST_LEVELS + 1,
                unit="levels",
            )
        if kind is list:
            assert isinstance(value, list)
            return [checked(item, f"{path}[{i}]", levels - 1) for i, item in enumerate(value)]
        assert isinstance(value, dict)
        return {
            check_name(name, path): checked(item, f"{path}.{name}", levels - 1)
            for name, item in value.items()
        }
    raise InvalidValue(f"{path}: {kind.__name__} is not a portable type", path=path)


def check_name(name: object, path: str) -> str:
    """``name``, if a field may be called so.

    Raises:
        InvalidValue: not text, a lone surrogate, or kept for polystore.
    """
    if type(name) is not str:
        raise InvalidValue(f"{path}: a field name must be str", path=path)
    if name.startswith(RESERVED):
        raise InvalidValue(
            f"{path}: the field name {name!r} is reserved ({RESERVED}…); choose another", path=path
        )
    return _check_text(name, path)


def checked_fields(fields: Mapping[str, object]) -> Fields:
    """A private, checked copy of a whole record's fields. Raises as :func:`checked` does."""
    if type(fields) is not dict and not isinstance(fields, Mapping):
        raise InvalidValue(f"a record is a mapping of its fields, not {type(fields).__name__}")
    copy: Fields = {}
    for name, value in fields.items():
        check_name(name, "record")
        check = _CHECKS.get(type(value))
        copy[name] = checked(value, name) if check is None else check(value, name)
    return copy


_SHARED = frozenset({list, dict})


def copied(value: Any) -> Any:
    """A copy of a value that was checked before; scalars are shared."""
    kind = type(value)
    if kind is dict:
        return {
            name: copied(item) if type(item) in _SHARED else item for name, item in value.items()
        }
    if kind is list:
        return [copied(item) if type(item) in _SHARED else item for item in value]
    return value


def depth(value: Any) -> int:
    """How many containers are nested in ``value``: 0 for a scalar, 1 for a list of scalars."""
    kind = type(value)
    if kind is dict:
        return 1 + max(map(depth, value.values()), default=0)
    if kind is list:
        return 1 + max(map(depth, value), default=0)
    return 0


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal *and* of the same types throughout: ``1`` is not ``1.0``."""
    if type(one) is not type(other):
        return False
    if type(one) is list:
        return len(one) == len(other) and all(map(same, one, other))
    if type(one) is dict:
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return canonical(one) == canonical(other)


def microseconds(moment: datetime) -> int:
    """Microseconds from 1970-01-01T00:00:00Z to ``moment``; negative before."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def moment_at(micros: int) -> datetime:
    """The moment so many microseconds after 1970-01-01T00:00:00Z."""
    return _EPOCH + timedelta(microseconds=micros)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def canonical(value: Any) -> bytes:  # noqa: C901  # a case for each type
    """The one byte string that stands for ``value``: equal exactly if the values are the same.

    The form is a netstring of a type letter and a body; names of a dict and members of a
    frozenset are sorted, so that order never matters where it carries no meaning.
    """
    kind = type(value)
    if kind is str:
        body, tag = value.encode(), b"s"
    elif kind is int:
        body, tag = b"%d" % value, b"i"
    elif kind is bool:
        body, tag = b"1" if value else b"0", b"t"
    elif value is None:
        body, tag = b"", b"n"
    elif kind is float:
        body, tag = struct.pack(">d", CANONICAL_NAN if math.isnan(value) else value), b"f"
    elif kind is Decimal:
        # str follows the thread's decimal context in the case of its "E", the digest must not.
        body, tag = str(value).upper().encode(), b"d"
    elif kind is bytes:
        body, tag = value, b"b"
    elif kind is datetime:
        body, tag = b"%d" % microseconds(value), b"m"
    elif kind is dict:
        names = sorted(value)
        body, tag = b"".join(canonical(name) + canonical(value[name]) for name in names), b"o"
    elif kind is list:
        body, tag = b"".join(map(canonical, value)), b"l"
    elif kind is frozenset:
        body, tag = b"".join(sorted(map(canonical, value))), b"u"
    elif kind is GeoPoint:
        body, tag = struct.pack(">dd", value.latitude, value.longitude), b"g"
    elif kind is Ref:
        body, tag = canonical(value.collection) + b"".join(map(canonical, value.key)), b"r"
    else:
        raise InvalidValue(f"{kind.__name__} is not a portable type")
    return b"%c%d:%b" % (tag, len(body), body)


def digest(fields: Mapping[str, Any]) -> str:
    """A short name for exactly these fields: 128 bits of BLAKE2b over their canonical form."""
    return blake2b(canonical(fields), digest_size=16).hexdigest()
