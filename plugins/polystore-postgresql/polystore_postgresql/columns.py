"""The types that a column by placement can have, and what each shows of a value.

NULL, with nothing in the document, is no field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from polystore.driver.sql import PlacedColumn, Shows, placed_columns
from polystore.schema import Collection
from polystore_postgresql.settings import DRIVER

NAME_BYTES = 63
"""Bytes of a column's name (PostgreSQL manual, 4.1.1)."""

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


def columns_of(collection: Collection) -> Mapping[str, str]:
    """Types of columns by the names of fields, as the placement declares them.

    Raises:
        ConfigError: an unknown option or type, or a field that can have no such column.
    """
    return placed_columns(collection, DRIVER, _SHOWN, _fits)


def native(columns: Mapping[str, str]) -> Iterator[PlacedColumn]:
    """Columns of these types, by the names of fields."""
    return (PlacedColumn(name, kind, _SHOWN[kind]) for name, kind in columns.items())


def _fits(name: str) -> bool:
    return name not in _SYSTEM and 0 < len(name.encode()) <= NAME_BYTES and "\x00" not in name
