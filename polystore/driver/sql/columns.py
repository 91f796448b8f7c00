"""Columns by placement: ``columns = {total = "numeric"}`` gives a field a column of its own.

For programs that speak SQL. A value that its column cannot keep exactly is in the document, and the
column shows the nearest, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from polystore.driver.document import ABSENT
from polystore.driver.policies import OPTION, misplaced
from polystore.schema import Collection
from polystore.values import RESERVED, same

COLUMNS = "columns"
"""The option of a placement that gives types of columns, by the names of fields."""

Shows = Callable[[Any], Any]
"""What a column of some type shows of a value, or of ``ABSENT``; ``None`` for nothing."""


@attrs.frozen
class PlacedColumn:
    """A column of a type that a placement names.

    Attributes:
        name: of the field, and of the column.
        kind: its type, as the placement names it.
        shows: what it holds of a value, or of no field.
    """

    name: str
    kind: str
    shows: Shows

    def keeps(self, value: Any) -> bool:
        """Whether a value comes back as it was. NULL is no field."""
        if value is ABSENT:
            return True
        shown = self.shows(value)
        return shown is not None and same(shown, value)


def placed_columns(
    collection: Collection,
    driver: str,
    kinds: Mapping[str, Shows],
    fits: Callable[[str], bool],
) -> Mapping[str, str]:
    """Types of columns by the names of fields, as the placement declares them.

    Args:
        collection: what is declared. Its placement has no other options than this and the policies
            of indexes.
        driver: name of the driver.
        kinds: the types that a column can have, and what each shows.
        fits: whether the database can have a column of this name.

    Raises:
        ConfigError: an unknown option or type, or a field that can have no such column.
    """
    placement = collection.placement(driver)
    unknown = sorted(set(placement) - {OPTION, COLUMNS})
    if unknown:
        problem = f"unknown option {unknown}; there are: {COLUMNS}, {OPTION}"
        raise misplaced(driver, collection, problem)
    columns = placement.get(COLUMNS, {})
    if not isinstance(columns, Mapping) or not set(map(str, columns.values())) <= set(kinds):
        raise misplaced(driver, collection, f"{COLUMNS}: a field has one of {', '.join(kinds)}")
    for name in columns:
        if name in collection.key_names or name.startswith(RESERVED) or not fits(name):
            problem = f"{COLUMNS}: the field {name!r} can have no column of its own"
            raise misplaced(driver, collection, problem)
    return dict(columns)
