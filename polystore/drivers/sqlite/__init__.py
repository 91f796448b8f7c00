"""One SQLite file as a driver, with nothing but the standard library."""

from polystore.drivers.sqlite.driver import SqliteDriver, open_sqlite

__all__ = ["SqliteDriver", "open_sqlite"]
