"""A kit for drivers of SQL databases: what SQLite's and PostgreSQL's do alike.

A driver gives a :class:`Dialect`, how to connect, :meth:`SqlDriver.read_layout` and what its errors
mean; all else is here. Connections are those of DB-API 2.0, in autocommit, that also have
``execute``, as those of ``sqlite3`` and ``psycopg`` do.
"""

from polystore.driver.sql.dialect import Dialect
from polystore.driver.sql.driver import Connections, NoDatabase, SqlDriver
from polystore.driver.sql.layout import DOCUMENT, Column, KeptIndex, Layout, layout_of
from polystore.driver.sql.pool import Pool
from polystore.driver.sql.provision import add_index, fill, make_table
from polystore.driver.sql.statements import Bound, Statements
from polystore.driver.sql.table import Table, deletes, table_of
from polystore.driver.sql.threads import OnePerThread

__all__ = [
    "DOCUMENT",
    "Bound",
    "Column",
    "Connections",
    "Dialect",
    "KeptIndex",
    "Layout",
    "NoDatabase",
    "OnePerThread",
    "Pool",
    "SqlDriver",
    "Statements",
    "Table",
    "add_index",
    "deletes",
    "fill",
    "layout_of",
    "make_table",
    "table_of",
]
