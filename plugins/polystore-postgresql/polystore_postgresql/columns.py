"""The types that a column by placement can have, and what each shows of a value.

NULL, with nothing in the document, is no field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from polystore.driver.sql import PlacedColumn, Shows, placed_columns
from polystore.errors import ConfigError
from polystore.schema import Collection
from polystore_postgresql.settings import DRIVER

ENTRY = "_ps_i:"
"""Prefix of the name of a column with a record's place in an index."""

NAME_BYTES = 63
"""Bytes of a name (PostgreSQL manual, 4.1.1): what is longer is cut off, and may be another's."""

_SYSTEM = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
"""Names that no column can have (PostgreSQL manual, 5.6)."""


def _numeric(value: Any) -> Decimal | None:
    """A number with as many digits as it has; without an exponent, and zero without a sign."""
    if type(value) not in (int, float, Decimal):
        return None
    number = Decimal(repr(value) if type(value) is float else value)
    if not number.is_finite():
        return None
    return Decimal(format(number or number.copy_abs(), "f"))


_SHOWN: Mapping[str, Shows] = {
    "text": lambda value: value if type(value) is str and "\x00" not in value else None,
    "bigint": lambda value: value if type(value) is int else None,
    "boolean": lambda value: value if type(value) is bool else None,
    "bytea": lambda value: value if type(value) is bytes else None,
    "double precision": lambda v: float(v) if type(v) in (int, float, Decimal) else None,
    "numeric": _numeric,
}


def check_names(collection: Collection) -> None:
    """Refuse names that PostgreSQL would take for others (PLC-7). Raises ConfigError."""
    indexes = (f"{ENTRY}{index.name}" for index in collection.indexes)
    for name in (collection.name, *collection.key_names, *indexes):
        if not _names(name):
            raise ConfigError(
                f"PostgreSQL has names of at most {NAME_BYTES} bytes, without U+0000, and {name!r} "
                "is none: give it another",
                collection=collection.name,
                driver=DRIVER,
            )


def columns_of(collection: Collection) -> Mapping[str, str]:
    """Types of columns by the names of fields, as the placement declares them.

    Raises:
        ConfigError: an unknown option or type, a field that can have no such column, or a name
            that would be cut off.
    """
    check_names(collection)
    return placed_columns(collection, DRIVER, _SHOWN, _fits)


def native(columns: Mapping[str, str]) -> Iterator[PlacedColumn]:
    """Columns of these types, by the names of fields."""
    return (PlacedColumn(name, kind, _SHOWN[kind]) for name, kind in columns.items())


def _fits(name: str) -> bool:
    return name not in _SYSTEM and _names(name)


def _names(name: str) -> bool:
    return 0 < len(name.encode()) <= NAME_BYTES and "\x00" not in name
