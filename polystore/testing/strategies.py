"""Hypothesis strategies for all that a portable record may hold, and its keys.

They lean towards what breaks drivers: the ends of each range, values that are equal in Python and
differ in type, empty things, text that looks like something else.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from string import ascii_lowercase, digits
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from polystore.capabilities import Capabilities, EmptyKey
from polystore.schema import Collection
from polystore.values import (
    CANONICAL_NAN,
    DECIMAL_DIGITS,
    DECIMAL_EXPONENT,
    INT_MAX,
    INT_MIN,
    RESERVED,
    Fields,
    GeoPoint,
    Key,
    KeyPart,
    Ref,
)

ODD_TEXTS = (
    "", " ", "0", "1", "1.0", "-0", "1e3", "0x10", "nan", "Infinity", "null", "true", "\x00",
    "a\x00b", "\x01", "\x02\x03", "\x7f", "\u0080", "ÿ", "é", "e\u0301", "\ud7ff", "\ue000",
    "\ufffd", "\uffff", "\U00010000", "\U0010ffff", '"', "'", "\\", "a.b", "a/b", "{}", "[]",
    "__a__", "$ref", "%s",
    "Robert'); DROP TABLE students;--", "\r\n", "\ufeff", "1970-01-01T00:00:00Z",
    '{"_ps_":"d","v":"1"}', "_ps_w", "s" * 300,
)  # fmt: skip
ODD_INTS = (
    0, 1, -1, 2**31 - 1, 2**31, -(2**31) - 1, 2**53, 2**53 + 1, -(2**53) - 1, INT_MAX, INT_MIN,
)  # fmt: skip
ODD_FLOATS = (
    0.0, -0.0, 1.0, -1.0, 1.5, 0.1, 5e-324, -5e-324, 2.2250738585072014e-308, math.inf, -math.inf,
    1.7976931348623157e308, 1e15, 1e16, 1e22, 2.0**53, 2.0**63, -(2.0**63), 1e125, 1e126, 1e-130,
    1e-131, CANONICAL_NAN,
)  # fmt: skip
ODD_DECIMALS = tuple(
    map(
        Decimal,
        (
            "0", "-0", "0.0", "-0.00", "0E+6144", "0E-6144", "1", "1.0", "1.00", "1E+2", "100",
            "0.1", "-1", "9" * 38, "-" + "9" * 38, "1E+125", "1E+126", "1E-130", "1E-131",
            "1E+6144", "1E-6144", "1.5E-400", "123456789012345678901234567890.12345678",
        ),
    )
)  # fmt: skip
ODD_DATETIMES = (
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2026, 2, 28, 12, 0, 0, 1, tzinfo=UTC),
)
LARGE = (
    "x" * 1501, "é" * 751, "\x00" * 3000, "\U0001f600" * 1000, b"\xff" * 1501,
    bytes(range(256)) * 10, list(range(1200)), [float(n) for n in range(300)],
    "xyz" * 25_000, bytes(range(256)) * 300, {f"f{n}": n / 7 for n in range(300)},
    [[[{"a": [{"b": [[None, 1.5, Decimal("1.50")]]}]}]]],
)  # fmt: skip
"""Values beyond what an index takes, and deep ones."""

ODD_NAMES = ("", " ", "a.b", "a/b", "#a", ":a", "$a", "__a__", "0", "ключ", "\U0001f600", "a'\"`b")


_LETTERS = ascii_lowercase + digits + "_"


def texts(max_size: int = 30) -> SearchStrategy[str]:
    """Text without surrogates."""
    plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)
    return plain | st.sampled_from([t for t in ODD_TEXTS if len(t) <= max_size])


def ints() -> SearchStrategy[int]:
    """Every int of 64 bits."""
    return st.integers(INT_MIN, INT_MAX) | st.sampled_from(ODD_INTS)


def floats() -> SearchStrategy[float]:
    """Every binary64, with the one NaN."""
    usual = st.floats().map(lambda number: CANONICAL_NAN if math.isnan(number) else number)
    return usual | st.sampled_from(ODD_FLOATS)


def decimals() -> SearchStrategy[Decimal]:
    """Every portable Decimal: any exponent, trailing zeros and negative zero included."""

    def made(sign: bool, digits: int, adjusted: int) -> Decimal:
        size = len(str(digits))
        exponent = adjusted if digits == 0 else adjusted - size + 1
        return Decimal((int(sign), tuple(map(int, str(digits))), exponent))

    digits = st.integers(0, 10**DECIMAL_DIGITS - 1) | st.integers(0, 1000)
    adjusted = st.integers(-20, 20) | st.integers(-DECIMAL_EXPONENT, DECIMAL_EXPONENT)
    return st.builds(made, st.booleans(), digits, adjusted) | st.sampled_from(ODD_DECIMALS)


def datetimes() -> SearchStrategy[datetime]:
    """Moments in UTC, in whole microseconds."""
    return st.datetimes(timezones=st.just(UTC)) | st.sampled_from(ODD_DATETIMES)


def blobs(max_size: int = 30) -> SearchStrategy[bytes]:
    """Bytes."""
    return st.binary(max_size=max_size)


def geo_points() -> SearchStrategy[GeoPoint]:
    """Points on the earth."""
    return st.builds(GeoPoint, st.floats(-90.0, 90.0), st.floats(-180.0, 180.0))


def refs() -> SearchStrategy[Ref]:
    """References to records of any collection."""
    key = st.lists(texts() | ints() | blobs(), min_size=1, max_size=3).map(tuple)
    return st.builds(Ref, st.text(ascii_lowercase, min_size=1, max_size=8), key)


def sets() -> SearchStrategy[frozenset[Any]]:
    """Sets of one scalar kind, empty ones too."""
    kinds: tuple[SearchStrategy[Any], ...] = (
        texts(), blobs(), ints(), floats(), decimals(), datetimes(),
    )  # fmt: skip
    return st.one_of(*(st.frozensets(kind, max_size=4) for kind in kinds))


def indexable() -> SearchStrategy[Any]:
    """Values that an index holds."""
    return st.one_of(
        st.none(), st.booleans(), ints(), floats(), decimals(), texts(), blobs(), datetimes(),
        geo_points(), refs(),
    )  # fmt: skip


def names() -> SearchStrategy[str]:
    """Names of fields that are not reserved."""
    usual = st.text(_LETTERS, min_size=1, max_size=10)
    return (usual | st.sampled_from(ODD_NAMES) | texts(20)).filter(
        lambda name: not name.startswith(RESERVED)
    )


def values(max_leaves: int = 8) -> SearchStrategy[Any]:
    """Every portable value, containers nested in each other."""
    leaf = indexable()
    return st.recursive(
        st.one_of(leaf, leaf, leaf, sets(), st.sampled_from(LARGE)),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names(), inner, max_size=4),
        max_leaves=max_leaves,
    )


def key_parts(kind: type, capabilities: Capabilities | None = None) -> SearchStrategy[KeyPart]:
    """Parts of a key of one type, of those that a database can hold.

    Args:
        kind: ``str``, ``int`` or ``bytes``.
        capabilities: of the database; without, everything portable.
    """
    held = (capabilities or Capabilities()).keys
    if kind is int:
        odd = [n for n in ODD_INTS if held.int_min <= n <= held.int_max]
        return st.integers(held.int_min, held.int_max) | st.sampled_from(odd)
    least = 1 if held.empty is EmptyKey.REJECTED else 0
    if kind is bytes:
        return st.binary(min_size=least, max_size=30)
    return texts().filter(lambda text: len(text) >= least)


def keys(collection: Collection, capabilities: Capabilities | None = None) -> SearchStrategy[Key]:
    """Keys of a collection, of those that a database can hold."""
    return st.tuples(*(key_parts(field.type, capabilities) for field in collection.key))


def records(
    collection: Collection, capabilities: Capabilities | None = None, *, max_fields: int = 6
) -> SearchStrategy[Fields]:
    """Whole records of a collection: its key fields, indexed fields or not, and others.

    Args:
        collection: the collection.
        capabilities: of a database, where keys shall be of those that it can hold.
        max_fields: most fields that are neither in the key nor in an index.
    """
    taken = {*collection.key_names, *(name for i in collection.indexes for name in i.fields)}
    indexed = {name: indexable() | values(4) for name in taken.difference(collection.key_names)}
    return st.builds(
        lambda key, held, rest: {
            **dict(zip(collection.key_names, key, strict=True)),
            **held,
            **rest,
        },
        keys(collection, capabilities),
        st.fixed_dictionaries({}, optional=indexed),
        st.dictionaries(names().filter(lambda n: n not in taken), values(), max_size=max_fields),
    )
