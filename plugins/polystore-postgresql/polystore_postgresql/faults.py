"""What PostgreSQL's own errors stand for (PostgreSQL manual, appendix A: error codes)."""

from __future__ import annotations

import psycopg

from polystore.driver import faults
from polystore.errors import (
    ConfigError,
    Contention,
    DriverError,
    InvalidRequest,
    LimitExceeded,
    PermissionDenied,
    PolystoreError,
    Throttled,
    Unavailable,
)
from polystore_postgresql.settings import DRIVER

BYTES = 1_073_741_823
"""Bytes of one value (PostgreSQL manual, appendix K: field size)."""

ENDED = ("57P01", "57P02", "57P05")
"""What a server says that ends a session, perhaps after a COMMIT whose answer was not sent yet."""

LOST = (psycopg.OperationalError, psycopg.InterfaceError)
"""What psycopg raises where no answer came; some also where one came."""

_MEANINGS: faults.Meanings = {
    "40001 40P01 55P03": (Contention, "another transaction came between"),
    "57014": (Unavailable, "the call took too long and was rolled back"),
    "53 57P": (Throttled, "the server has no room"),
    "28 42501 25006": (PermissionDenied, "the server does not allow it"),
    "42P01 3F000 3D000": (ConfigError, "the table is gone; make it with store.create()"),
    "22 23": (InvalidRequest, "the table's own rules refuse it"),
}


def unanswered(error: BaseException) -> bool:
    """Whether a call was sent, and no answer came that says what became of it."""
    return isinstance(error, LOST) and (not error.sqlstate or error.sqlstate in ENDED)


def translated(error: Exception) -> PolystoreError:
    """The error of the tree: what the server refused it rolled back; silence leaves it open."""
    return faults.error_of(DRIVER, error, _refused, *LOST)


def _refused(error: BaseException) -> PolystoreError | None:
    """What the server says that it did not do; psycopg has no code for a connection refused."""
    state, text = getattr(error, "sqlstate", None) or "", str(error)
    if state in ENDED:
        return None
    if not state and ("password authentication failed" in text or "no password" in text):
        return PermissionDenied("the server does not know this user or password", driver=DRIVER)
    if state == "3D000" or (not state and "database" in text and "does not exist" in text):
        return ConfigError("there is no such database on the server: make it first", driver=DRIVER)
    if state.startswith("54"):
        return LimitExceeded(
            f"a value is over a limit of PostgreSQL ({state})",
            limit=BYTES,
            size=BYTES + 1,
            unit="bytes",
            driver=DRIVER,
        )
    if state:
        return faults.meaning(DRIVER, state, _MEANINGS) or DriverError(
            f"PostgreSQL failed with {state}", driver=DRIVER
        )
    return None
