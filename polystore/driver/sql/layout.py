"""How a collection lies in one table: which column holds what. Pure.

A table that polystore made has a column for each key field and the document's for all other fields.
A table that was there before keeps its columns: each is the place of the field of its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Protocol

import attrs

from polystore.driver.bookkeeping import EXPIRES, STAMP, TOMBSTONE, WRITE_ID
from polystore.driver.policies import Policed
from polystore.driver.sql.dialect import Dialect
from polystore.errors import ConfigError
from polystore.schema import Collection

DOCUMENT = "_ps_doc"
"""Name of the column with the fields that have no column of their own."""


class Column(Protocol):
    """A native column, which is the place of the field of its name."""

    @property
    def name(self) -> str: ...

    def keeps(self, value: Any) -> bool:
        """Whether a value comes back from it as it was.

        Also asked of ``ABSENT``: whether NULL, with nothing in the document, is no field.
        """
        ...

    def shows(self, value: Any) -> Any:
        """What it holds where the document holds the value, which may be ``ABSENT``."""
        ...


@attrs.frozen(kw_only=True)
class Layout:
    """One table, column by column. Positions are those of ``columns``.

    Attributes:
        name: the table, as people know it.
        table: the table, as SQL.
        columns: all columns; first those of a row that is read, in its order.
        key: positions of the key fields' columns.
        native: the columns that are fields outside the key, and their positions.
        written: positions of the columns that a put gives, in order.
        document, stamp, write_id, expires, tombstone: positions of polystore's own columns, or
            ``None``.
        indexes: the indexes that the table keeps, and the positions of their columns.
        unique: whether the table admits a key only once.
        select: what is read of a row, as SQL.
        width: how many columns that are.
        state: SQL for what tells two states of a row apart, where the database has such a thing;
            then it is the last that is read of a row.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    key: tuple[int, ...]
    native: tuple[tuple[int, Column], ...]
    written: tuple[int, ...]
    document: int | None
    stamp: int | None
    write_id: int | None
    expires: int | None
    tombstone: int | None
    indexes: tuple[tuple[int, Policed], ...]
    unique: bool
    select: str
    width: int
    state: str | None

    @cached_property
    def kept(self) -> tuple[Policed, ...]:
        """The indexes that the table keeps."""
        return tuple(policed for _, policed in self.indexes)

    @property
    def fields(self) -> frozenset[str]:
        """The fields that have a column of their own."""
        return frozenset(column.name for _, column in self.native)


def layout_of(
    dialect: Dialect,
    collection: Collection,
    *,
    name: str,
    table: str,
    columns: Sequence[str],
    native: Iterable[Column] = (),
    computed: Iterable[str] = (),
    indexes: Iterable[Policed],
    unique: bool = True,
    select: str = "*",
    width: int | None = None,
    state: str | None = None,
) -> Layout:
    """The layout of a table with these columns.

    Args:
        dialect: how the database says it.
        collection: what lies in it.
        name, table, select, width, state, unique: as in :class:`Layout`; ``width`` is that of all
            columns where it is not given.
        columns: names of all columns, in order.
        native: those that are fields outside the key.
        computed: names of those that the database computes.
        indexes: the indexes kept, as it was noted; one without a column is not there.

    Raises:
        ConfigError: a column of the key is not there.
    """
    places = {column: place for place, column in enumerate(columns)}
    lacking = [field for field in collection.key_names if field not in places]
    if lacking:
        raise ConfigError(
            f"the table {name!r} has no column {lacking[0]!r} for the key field; it has "
            f"{', '.join(columns)}",
            collection=collection.name,
            driver=dialect.driver,
        )
    prefix, _ = dialect.entries
    left_out = set(computed)
    return Layout(
        name=name,
        table=table,
        columns=tuple(columns),
        key=tuple(places[field] for field in collection.key_names),
        native=tuple((places[column.name], column) for column in native),
        written=tuple(place for column, place in places.items() if column not in left_out),
        document=places.get(DOCUMENT),
        stamp=places.get(STAMP),
        write_id=places.get(WRITE_ID),
        expires=places.get(EXPIRES),
        tombstone=places.get(TOMBSTONE),
        indexes=tuple(
            (places[prefix + policed.index.name], policed)
            for policed in indexes
            if prefix + policed.index.name in places
        ),
        unique=unique,
        select=select,
        width=len(columns) if width is None else width,
        state=state,
    )
