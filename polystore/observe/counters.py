"""Counts of what happened, by name: what ``status`` shows and gates ask for."""

from __future__ import annotations

import threading
from collections import Counter

ACKNOWLEDGED = "acknowledged"
"""Writes that the application was told are done."""

MIRRORED = "mirrored"
"""Writes of the mirror that were made, or that it had already."""

PENDING = "pending"
"""Intents that were left for later; never falls, so the open ones are counted elsewhere."""

REPAIRED = "repaired"
"""Records of the mirror that a comparison found wrong and converged."""

WOULD_REFUSE = "would-refuse"
"""Writes under *observe* that the target could not have held."""

DECLINED = "declined"
"""Operations that were not begun because a side was at its capacity; with ``:`` and its name."""

WAITED = "waited"
"""Operations and calls that waited for their turn at a side; with ``:`` and its name."""

QUEUED = "queued"
"""Writes that were left for later because the mirror was at its capacity: of those pending."""

LATE = "late"
"""Calls of what was begun whose turn was not in time; with ``:`` and the name of the side."""

THROTTLED = "throttled"
"""Calls of which the database itself asked for fewer; with ``:`` and the name of the side."""

SHOWN = frozenset(
    {ACKNOWLEDGED, MIRRORED, PENDING, QUEUED, DECLINED, WAITED, LATE, THROTTLED, WOULD_REFUSE}
)
"""What the status of a group adds up over its members."""


class Counters:
    """Named ints of one process that only grow; any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, amount: int = 1) -> None:
        """Count ``amount`` more under ``name``."""
        with self._lock:
            self._counts[name] += amount

    def snapshot(self) -> dict[str, int]:
        """All counts at one moment, as a dict of the caller's."""
        with self._lock:
            return dict(self._counts)
