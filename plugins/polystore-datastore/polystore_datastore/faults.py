"""Native exceptions to errors of the tree (database-facts 2.1).

Native messages may hold values of fields, so none is repeated: the exception is the cause.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.auth.exceptions import GoogleAuthError

from polystore.errors import (
    ConfigError,
    Conflict,
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
from polystore_datastore.limits import (
    DEPTH,
    ENTITY,
    INDEXED,
    KEY,
    NAME,
    PROPERTY,
    TEXT,
    TRANSACTION,
)

_NAME = "datastore"
_Code = grpc.StatusCode

REFUSALS = frozenset({_Code.FAILED_PRECONDITION, _Code.ALREADY_EXISTS, _Code.NOT_FOUND})
"""Codes of a commit whose condition was false."""

_OPEN = frozenset(
    {_Code.UNAVAILABLE, _Code.DEADLINE_EXCEEDED, _Code.INTERNAL, _Code.UNKNOWN, _Code.CANCELLED}
)
"""Codes after which a commit may have been applied."""

_NOT_SENT = (
    "failed to connect",
    "connections to all backends failing",
    "DNS resolution failed",
    "Name resolution",
    "Getting metadata from plugin failed",
)
"""What gRPC says where it had no connection, so that nothing was sent."""

_IDENTITY = ("invalid_grant", "RefreshError", "DefaultCredentialsError", "Reauthentication")

_LIMIT_TEXTS = (
    ("nested deeper", DEPTH),
    ("nesting", DEPTH),
    ("longer than 1500", INDEXED),
    ("longer than 6144", KEY),
    ("path element", NAME),
    ("entity is too big", ENTITY),
    ("longer than", TEXT),
    ("property name is too long", PROPERTY),
    ("payload size", TRANSACTION),
    ("too big", TRANSACTION),
    ("too large", TRANSACTION),
)


def is_refusal(error: grpc.RpcError) -> bool:
    """Whether a commit was refused because one of its conditions was false.

    A base version above the stored one is of a database that was emptied since.
    """
    code, details = code_of(error), details_of(error)
    return code in REFUSALS or (
        code is _Code.INVALID_ARGUMENT and "base version" in details and "greater" in details
    )


def code_of(error: Any) -> grpc.StatusCode | None:
    """The gRPC status of an error."""
    code = getattr(error, "code", None)
    return code() if callable(code) else None


def details_of(error: Any) -> str:
    """The words that came with it; they may hold values of fields."""
    details = getattr(error, "details", None)
    return (details() if callable(details) else None) or ""


def call_error(method: str, error: grpc.RpcError) -> PolystoreError:
    """The error that a failed call stands for; ``method`` tells a commit from a read."""
    code, details = code_of(error), details_of(error)
    name = code.name if code else "no code"
    if code is _Code.UNAVAILABLE and any(text in details for text in _NOT_SENT):
        if any(text in details for text in _IDENTITY):
            return _denied(method, name)
        return Unavailable(f"{method}: no connection to Datastore", driver=_NAME)
    if code in _OPEN:
        if method == "Commit":
            return OutcomeUnknown(f"{method}: {name}, applied once or never", driver=_NAME)
        return Unavailable(f"{method}: {name}", driver=_NAME)
    if code is _Code.RESOURCE_EXHAUSTED:
        return Throttled(f"{method}: {name}", driver=_NAME)
    if code is _Code.ABORTED:
        return Contention(f"{method}: {name}", driver=_NAME)
    if code in (_Code.PERMISSION_DENIED, _Code.UNAUTHENTICATED):
        return _denied(method, name)
    return _refused(method, code, name, details)


def _denied(method: str, name: str) -> PermissionDenied:
    return PermissionDenied(
        f"{method}: {name}; Google's credentials are missing or may not use this database",
        driver=_NAME,
    )


def _refused(method: str, code: grpc.StatusCode | None, name: str, details: str) -> PolystoreError:
    if code is _Code.INVALID_ARGUMENT:
        return _invalid(method, name, details)
    if code is _Code.FAILED_PRECONDITION and method == "RunQuery":
        return ConfigError(
            "a query needs a composite index that is not there, or is being built; see "
            "docs/drivers/datastore.md",
            driver=_NAME,
        )
    if code in REFUSALS and method == "Commit":
        return Conflict(f"{method}: a condition did not hold", driver=_NAME)
    if code in (_Code.NOT_FOUND, _Code.FAILED_PRECONDITION):
        return ConfigError(
            f"{method}: {name}; there is no such Datastore database in this project",
            driver=_NAME,
        )
    return DriverError(f"{method}: {name}", driver=_NAME)


def _invalid(method: str, name: str, details: str) -> PolystoreError:
    """Datastore names no size; all that is known is that it is over."""
    for text, limit in _LIMIT_TEXTS:
        if text in details:
            return LimitExceeded(
                f"{method}: over the limit of {limit.most} {limit.unit} ({limit.counts})",
                limit=limit.most,
                size=limit.most + 1,
                unit=limit.unit,
                driver=_NAME,
            )
    return InvalidRequest(
        f"{method}: Datastore calls the request invalid ({name}); its words are in the cause",
        driver=_NAME,
    )


def error_of(error: Exception) -> PolystoreError:
    """The error of the tree for what was raised outside a call."""
    if isinstance(error, PolystoreError):
        return error
    if isinstance(error, GoogleAuthError):
        return PermissionDenied(
            "Google's library found no usable credentials; see Application Default Credentials",
            driver=_NAME,
        )
    if isinstance(error, grpc.RpcError):
        return call_error("Commit", error)  # what it was is not known: the outcome is open
    return DriverError(f"unexpected {type(error).__name__} from the driver", driver=_NAME)
