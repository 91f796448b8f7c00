"""What SQLite's own errors stand for (https://sqlite.org/rescode.html)."""

from __future__ import annotations

import sqlite3

from polystore.errors import (
    ConfigError,
    DriverError,
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


def may_be_stale(error: Exception) -> bool:
    """Whether a statement or a row did not fit the table, which may have changed meanwhile."""
    name = getattr(error, "sqlite_errorname", "SQLITE_SCHEMA")
    return name in {"SQLITE_ERROR", "SQLITE_SCHEMA"}


def translated(error: Exception) -> PolystoreError:
    """The error of the tree: what failed was rolled back, unless the disk itself failed."""
    if isinstance(error, PolystoreError):
        return error
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Throttled("another writer had the file for too long", driver="sqlite")
    if name.startswith("SQLITE_IOERR"):
        return OutcomeUnknown(f"the disk failed ({name})", driver="sqlite")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_NOMEM", "SQLITE_INTERRUPT")):
        return Unavailable(f"the file cannot be used ({name})", driver="sqlite")
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return PermissionDenied(f"the file may not be written ({name})", driver="sqlite")
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return ConfigError(f"the file is no whole SQLite database ({name})", driver="sqlite")
    if name == "SQLITE_TOOBIG" or isinstance(error, sqlite3.DataError | OverflowError):
        return LimitExceeded(
            f"a value is over SQLite's limit of {LENGTH} bytes",
            limit=LENGTH,
            size=LENGTH + 1,
            unit="bytes",
            driver="sqlite",
        )
    if name.startswith(("SQLITE_CONSTRAINT", "SQLITE_MISMATCH")):
        return InvalidRequest(f"the table's own rules refuse it ({name})", driver="sqlite")
    if isinstance(error, sqlite3.OperationalError) and "no such table" in str(error):
        return ConfigError("the table is gone; make it with store.create()", driver="sqlite")
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return Unavailable("this store is closed; open it again", driver="sqlite")
    return DriverError(f"SQLite failed with {name or type(error).__name__}", driver="sqlite")
