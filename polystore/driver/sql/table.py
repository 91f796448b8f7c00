"""A collection's table as it was read. Pure."""

from __future__ import annotations

from collections.abc import Container

import attrs

from polystore.driver.contract import ANYTHING, Stored, Write
from polystore.driver.sql.dialect import Dialect
from polystore.driver.sql.layout import Layout
from polystore.driver.sql.rows import Row, Rows
from polystore.driver.sql.statements import Bound, Statements
from polystore.errors import Unsupported
from polystore.schema import Collection


@attrs.frozen(eq=False)
class Table:
    """What columns it has, what is sent for them, and how they are read."""

    dialect: Dialect
    collection: Collection
    layout: Layout
    statements: Statements
    rows: Rows

    def change(self, write: Write) -> Bound:
        """A put, tombstone or delete, whatever is there.

        Raises:
            Unsupported: the table has no place for what is put, or would have it twice.
            ConfigError: it has no place for what polystore keeps beside the fields.
        """
        if deletes(write):
            return self.statements.delete, self.dialect.bound(write.key)
        if not self.layout.unique:
            raise Unsupported(
                f"the table {self.layout.name!r} admits a key more than once, so nothing can be "
                "put there: store.create() makes a unique index",
                collection=write.collection.name,
                driver=self.dialect.driver,
            )
        return self.statements.put, self.row(write)

    def row(self, write: Write) -> Row:
        """What a put gives, as :meth:`change` raises."""
        return self.rows.written(self.rows.row(write))

    def placed(self, record: Stored) -> Bound:
        """Puts a record into all indexes of the table, as it is."""
        places = self.rows.entries(record.fields, record.key)
        return self.statements.place, (*places, *self.dialect.bound(record.key))

    def relaid(self, record: Stored) -> Bound:
        """Puts all of a record where the table has a place for it, as it is."""
        kept = (record.write_id, record.stamp, record.expires)
        row = self.row(Write(self.collection, record.key, record.fields, ANYTHING, *kept))
        return self.statements.replace, (*row, *self.dialect.bound(record.key))

    def without(self, fields: Container[str]) -> Table:
        """The table as it is read where these fields' columns hold nothing yet."""
        native = tuple(one for one in self.layout.native if one[1].name not in fields)
        return table_of(self.dialect, self.collection, attrs.evolve(self.layout, native=native))


def table_of(dialect: Dialect, collection: Collection, layout: Layout) -> Table:
    """The table of a layout."""
    statements = Statements(dialect, collection, layout)
    return Table(dialect, collection, layout, statements, Rows(dialect, collection, layout))


def deletes(write: Write) -> bool:
    """Whether a write leaves nothing behind."""
    return write.fields is None and write.stamp is None
