"""What a side may be asked for, and what becomes of an operation when it cannot keep up."""

from __future__ import annotations

import math

import attrs

from polystore.errors import ConfigError

WAIT, FAIL, DECLINE, QUEUE = "wait", "fail", "decline", "queue"
"""When a side cannot keep up: an operation waits for its turn up to its deadline; or for the mirror
to have the write too, and says so where that is too late; or it is declined at once, with nothing
sent; or it waits for its home alone, and the mirror follows later."""

OVERLOAD = (WAIT, FAIL, DECLINE, QUEUE)
"""Every overload policy that there is."""


@attrs.frozen(kw_only=True)
class Capacity:
    """What one database may be asked for by one process. ``None`` limits nothing.

    Args:
        rate: operations a second; each record read or written is one, and so is an empty page.
        bytes: bytes of records a second, in the database's own accounting.
        concurrency: calls at a time.

    Raises:
        ConfigError: a number is not positive.
    """

    rate: float | None = None
    bytes: float | None = None
    concurrency: int | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("rate", "bytes", "concurrency"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} must be a positive number, not {value}")

    @property
    def limited(self) -> bool:
        """Whether anything is limited."""
        return self != _UNLIMITED


_UNLIMITED = Capacity()


def check_overload(where: str, policy: str) -> None:
    """Whether ``policy`` is one. Raises ConfigError listing those that are."""
    if policy not in OVERLOAD:
        raise ConfigError(f"{where}: expected one of {', '.join(OVERLOAD)}")
