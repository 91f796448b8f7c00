"""Write ids: unique for ever, without a call, a lock or a clock."""

from __future__ import annotations

from itertools import count
from secrets import token_hex


def new_identity() -> str:
    """An id of an incarnation: 64 random bits, as text."""
    return token_hex(8)


class WriteIds:
    """Makes write ids: a prefix of this incarnation, and a counter.

    Args:
        prefix: unique to this incarnation of this process; 64 random bits by default.
    """

    __slots__ = ("_next", "prefix")

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = prefix or new_identity()
        self._next = count(1).__next__

    def new(self) -> str:
        """An id that nobody else has or will have."""
        return f"{self.prefix}.{self._next():x}"
