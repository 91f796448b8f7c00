"""A kit for drivers of SQL databases: what SQLite's and PostgreSQL's do alike.

A driver gives a :class:`Dialect`, how to connect, :meth:`SqlDriver.read_layout` and what its errors
mean; all else is here. Connections are those of DB-API 2.0, in autocommit, that also have
``execute``, as those of ``sqlite3`` and ``psycopg`` do.
"""

from polystore.driver.sql.columns import PlacedColumn, Shows, placed_columns
from polystore.driver.sql.deciding import DecidingDriver
from polystore.driver.sql.dialect import Dialect
from polystore.driver.sql.driver import Connections, NoDatabase, SqlDriver
from polystore.driver.sql.layout import DOCUMENT, Column, Layout, layout_of
from polystore.driver.sql.pool import Pool
from polystore.driver.sql.statements import Bound, Statements
from polystore.driver.sql.table import Table, table_of
from polystore.driver.sql.threads import OnePerThread

__all__ = [
    "DOCUMENT",
    "Bound",
    "Column",
    "Connections",
    "DecidingDriver",
    "Dialect",
    "Layout",
    "NoDatabase",
    "OnePerThread",
    "PlacedColumn",
    "Pool",
    "Shows",
    "SqlDriver",
    "Statements",
    "Table",
    "layout_of",
    "placed_columns",
    "table_of",
]
