"""What Redis's own errors stand for (redis.io, the first word of an error reply)."""

from __future__ import annotations

import re

import redis

from polystore.driver import faults
from polystore.errors import (
    InvalidRequest,
    PermissionDenied,
    PolystoreError,
    Throttled,
    Unavailable,
)
from polystore_redis.settings import DRIVER

LOST = (redis.TimeoutError, redis.ConnectionError, OSError)
"""What redis-py raises where no answer came."""

_WORD = re.compile(r"(?:\A|: -)([A-Z]+)\b")
"""The first word of a reply, and of one that a script met."""

_MEANINGS: faults.Meanings = {
    "NOAUTH WRONGPASS NOPERM Authentication NoPermission": (
        PermissionDenied,
        "wrong user or rights",
    ),
    "OOM OutOfMemory": (Throttled, "the server has no memory left"),
    "LOADING BusyLoading BUSY MISCONF NOREPLICAS": (Unavailable, "the server is not ready"),
    "MASTERDOWN MasterDown CLUSTERDOWN ClusterDown": (Unavailable, "the server is cut off"),
    "READONLY ReadOnly": (Unavailable, "the server takes no writes"),
    "WRONGTYPE CROSSSLOT ClusterCross MOVED Moved": (InvalidRequest, "the key is in other use"),
}
"""By the first words of replies, and by the errors for which redis-py takes these away."""


class NotSent(faults.NotSent, redis.ConnectionError):
    """No connection could be made; also for who uses redis-py's client himself."""


def translated(error: Exception) -> PolystoreError:
    """The error of the tree: a script that failed before it wrote changed nothing."""
    return faults.error_of(DRIVER, error, _refused, *LOST)


def _refused(error: BaseException) -> PolystoreError | None:
    """What the server says that it did not do."""
    if "No connection available" in str(error):
        return Unavailable("all connections are in use", driver=DRIVER)
    words = [type(error).__name__, *_WORD.findall(str(error))]
    found = (faults.meaning(DRIVER, word, _MEANINGS) for word in words)
    return next((told for told in found if told is not None), None)
