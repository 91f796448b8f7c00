"""What PostgreSQL's own errors stand for (PostgreSQL manual, appendix A: error codes)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from polystore.errors import (
    ConfigError,
    Contention,
    DriverError,
    InvalidRequest,
    LimitExceeded,
    OutcomeUnknown,
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


class NotSent(Exception):
    """No connection could be made: nothing was sent. The cause says why."""


class Silent(Exception):
    """A read had no answer: asking again does no harm."""


@contextmanager
def reading() -> Iterator[None]:
    """Calls that change nothing. Raises Silent where no answer came."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if error.sqlstate and error.sqlstate not in ENDED:
            raise
        raise Silent from error


def translated(error: Exception) -> PolystoreError:
    """The error of the tree: what the server refused it rolled back; silence leaves it open."""
    if isinstance(error, PolystoreError):
        return error
    if isinstance(error, NotSent):
        return _unreachable(error.__cause__)
    if isinstance(error, Silent):
        return Unavailable("the server did not answer a read", driver=DRIVER)
    state = getattr(error, "sqlstate", None) or ""
    if state in ("40001", "40P01", "55P03"):
        return Contention("another transaction came between", driver=DRIVER)
    if state == "57014":
        return Unavailable("the call took too long and was rolled back", driver=DRIVER)
    if state.startswith(("53", "57P")) and state not in ENDED:
        return Throttled(f"the server has no room ({state})", driver=DRIVER)
    if state.startswith("28") or state in ("42501", "25006"):
        return PermissionDenied(f"the server does not allow it ({state})", driver=DRIVER)
    if state in ("42P01", "3F000", "3D000"):
        return ConfigError("the table is gone; make it with store.create()", driver=DRIVER)
    if state.startswith("54"):
        return LimitExceeded(
            f"a value is over a limit of PostgreSQL ({state})",
            limit=BYTES,
            size=BYTES + 1,
            unit="bytes",
            driver=DRIVER,
        )
    if state.startswith(("22", "23")):
        return InvalidRequest(f"the table's own rules refuse it ({state})", driver=DRIVER)
    lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if lost and (not state or state in ENDED):
        return OutcomeUnknown("the connection was lost before the answer", driver=DRIVER)
    return DriverError(f"PostgreSQL failed with {state or type(error).__name__}", driver=DRIVER)


def _unreachable(cause: BaseException | None) -> PolystoreError:
    state = getattr(cause, "sqlstate", None) or ""
    text = str(cause)
    if state.startswith("28") or "password authentication failed" in text or "no password" in text:
        return PermissionDenied("the server does not know this user or password", driver=DRIVER)
    if state == "3D000" or ("database" in text and "does not exist" in text):
        return ConfigError("there is no such database on the server: make it first", driver=DRIVER)
    return Unavailable("the server cannot be reached", driver=DRIVER)
