"""What Redis's own errors stand for (redis.io, the first word of an error reply)."""

from __future__ import annotations

import redis

from polystore.errors import (
    DriverError,
    InvalidRequest,
    OutcomeUnknown,
    PermissionDenied,
    PolystoreError,
    Throttled,
    Unavailable,
)
from polystore_redis.settings import DRIVER


class NotSent(Exception):
    """No connection could be made: nothing was sent. The cause says why."""


class Silent(Exception):
    """A read had no answer: asking again does no harm."""


def translated(error: Exception) -> PolystoreError:
    """The error of the tree: a script that failed before it wrote changed nothing."""
    if isinstance(error, PolystoreError):
        return error
    if isinstance(error, NotSent):
        return _refused(error.__cause__) or Unavailable(
            "the server cannot be reached", driver=DRIVER
        )
    if isinstance(error, Silent):
        return Unavailable("the server did not answer a read", driver=DRIVER)
    refused = _refused(error)
    if refused is not None:
        return refused
    if isinstance(error, redis.TimeoutError | redis.ConnectionError | OSError):
        return OutcomeUnknown("the connection was lost before the answer", driver=DRIVER)
    return DriverError(f"Redis failed with {type(error).__name__}", driver=DRIVER)


def _refused(error: BaseException | None) -> PolystoreError | None:
    """What the server says that it did not do; ``None`` where it says no such thing."""
    if isinstance(error, redis.AuthenticationError):
        return PermissionDenied("the server does not know this user or password", driver=DRIVER)
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return Unavailable("the server is still loading its data", driver=DRIVER)
    if not isinstance(error, redis.ResponseError):
        return None
    word = str(error).partition(" ")[0]
    if word in ("NOAUTH", "WRONGPASS", "NOPERM") or isinstance(
        error, redis.exceptions.NoPermissionError
    ):
        return PermissionDenied(f"the server does not allow it ({word})", driver=DRIVER)
    if word == "OOM" or "OOM command" in str(error):
        return Throttled("the server has no memory left", driver=DRIVER)
    if word in (
        "LOADING",
        "BUSY",
        "MISCONF",
        "MASTERDOWN",
        "NOREPLICAS",
        "READONLY",
        "CLUSTERDOWN",
    ):
        return Unavailable(f"the server does not take it now ({word})", driver=DRIVER)
    if word in ("WRONGTYPE", "CROSSSLOT", "MOVED"):
        return InvalidRequest(f"the key is used for something else ({word})", driver=DRIVER)
    return None
