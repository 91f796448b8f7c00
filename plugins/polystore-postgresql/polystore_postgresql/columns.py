"""Native columns: which fields have one by the placement, and what it shows of a value.

A value that its column cannot keep exactly is in the document, and the column shows the nearest, or
nothing. Whoever changes the column afterwards is believed: the document counts only while the
column shows what polystore put there. NULL, with nothing in the document, is no field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import attrs

from polystore.driver.document import ABSENT
from polystore.driver.policies import OPTION
from polystore.errors import ConfigError
from polystore.schema import Collection
from polystore.values import RESERVED, same
from polystore_postgresql.settings import DRIVER

COLUMNS = "columns"
"""The option of a placement that gives types of columns, by the names of fields."""

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


_SHOWN: Mapping[str, Callable[[Any], Any]] = {
    "text": lambda value: value if type(value) is str and "\x00" not in value else None,
    "bigint": lambda value: value if type(value) is int else None,
    "boolean": lambda value: value if type(value) is bool else None,
    "bytea": lambda value: value if type(value) is bytes else None,
    "double precision": lambda v: float(v) if type(v) in (int, float, Decimal) else None,
    "numeric": _numeric,
}
"""By type of column, what it shows of a value."""


def columns_of(collection: Collection) -> Mapping[str, str]:
    """Types of native columns by the names of fields, as the placement declares them.

    Raises:
        ConfigError: an unknown option or type, or a field that can have no such column.
    """
    placement = collection.placement(DRIVER)
    unknown = sorted(set(placement) - {OPTION, COLUMNS})
    if unknown:
        raise _wrong(collection, f"unknown option {unknown}; there are: {COLUMNS}, {OPTION}")
    columns = placement.get(COLUMNS, {})
    if not isinstance(columns, Mapping) or not set(map(str, columns.values())) <= set(_SHOWN):
        raise _wrong(collection, f"{COLUMNS}: a field has one of {', '.join(_SHOWN)}")
    for name in columns:
        own = name in collection.key_names or name in _SYSTEM or name.startswith(RESERVED)
        if own or not 0 < len(name.encode()) <= NAME_BYTES or "\x00" in name:
            raise _wrong(collection, f"{COLUMNS}: the field {name!r} can have no column of its own")
    return dict(columns)


@attrs.frozen
class Column:
    """The native column of a field.

    Attributes:
        name: of the field.
        kind: its type, a name of those above.
    """

    name: str
    kind: str

    def shows(self, value: Any) -> Any:
        """What it holds of a value, or of no field."""
        return _SHOWN[self.kind](value)

    def keeps(self, value: Any) -> bool:
        """Whether a value comes back as it was. NULL is no field."""
        if value is ABSENT:
            return True
        shown = self.shows(value)
        return shown is not None and same(shown, value)


def _wrong(collection: Collection, problem: str) -> ConfigError:
    return ConfigError(
        f"placement in {DRIVER}: {problem}", collection=collection.name, driver=DRIVER
    )
