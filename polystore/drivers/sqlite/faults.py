"""What SQLite's own errors stand for (https://sqlite.org/rescode.html)."""

from __future__ import annotations

import sqlite3

from polystore.driver import faults
from polystore.drivers.sqlite.connections import DRIVER
from polystore.errors import (
    ConfigError,
    InvalidRequest,
    LimitExceeded,
    OutcomeUnknown,
    PermissionDenied,
    PolystoreError,
    Throttled,
    Unavailable,
)

LENGTH = 1_000_000_000
"""Bytes of one value or row (SQLITE_MAX_LENGTH, https://sqlite.org/limits.html)."""

_MEANINGS: faults.Meanings = {
    "SQLITE_BUSY SQLITE_LOCKED": (Throttled, "another writer had the file for too long"),
    "SQLITE_IOERR": (OutcomeUnknown, "the disk failed"),
    "SQLITE_CANTOPEN SQLITE_FULL SQLITE_NOMEM SQLITE_INTERRUPT": (
        Unavailable,
        "the file cannot be used",
    ),
    "SQLITE_READONLY SQLITE_PERM SQLITE_AUTH": (PermissionDenied, "the file may not be written"),
    "SQLITE_NOTADB SQLITE_CORRUPT": (ConfigError, "the file is no whole SQLite database"),
    "SQLITE_CONSTRAINT SQLITE_MISMATCH": (InvalidRequest, "the table's own rules refuse it"),
}


def may_be_stale(error: Exception) -> bool:
    """Whether a statement did not fit the table, which may have changed meanwhile."""
    told = isinstance(error, sqlite3.OperationalError) and error.sqlite_errorname
    return told in ("SQLITE_ERROR", "SQLITE_SCHEMA")


def translated(error: Exception) -> PolystoreError:
    """The error of the tree: what failed was rolled back, unless the disk itself failed."""
    return faults.error_of(DRIVER, error, _refused)


def _refused(error: BaseException) -> PolystoreError | None:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name == "SQLITE_TOOBIG" or isinstance(error, sqlite3.DataError | OverflowError):
        return LimitExceeded(
            f"a value is over SQLite's limit of {LENGTH} bytes",
            limit=LENGTH,
            size=LENGTH + 1,
            unit="bytes",
            driver=DRIVER,
        )
    if isinstance(error, sqlite3.OperationalError) and "no such table" in str(error):
        return ConfigError("the table is gone; make it with store.create()", driver=DRIVER)
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return Unavailable("this store is closed; open it again", driver=DRIVER)
    return faults.meaning(DRIVER, name, _MEANINGS)
