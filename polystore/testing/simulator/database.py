"""What the simulator wants of a database: a driver that counts what it has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polystore.driver import Driver


class Database(Driver):
    """A driver, and how often it has written.

    Attributes:
        changes: how many writes it has applied; a call that found itself there may have applied
            none.
    """

    changes: int = 0

    def lags(self, method: str, arguments: Sequence[Any]) -> bool:
        """Whether the simulator may have this call answered with an earlier state."""
        return False

    def parts(self, method: str) -> bool:
        """Whether a ``read`` or ``write_many`` may get to a part of what was asked alone."""
        return True
