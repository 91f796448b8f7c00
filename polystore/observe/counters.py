"""Counts of what happened, by name: what ``status`` shows and gates ask for."""

from __future__ import annotations

import threading
from collections import Counter

ACKNOWLEDGED = "acknowledged"
"""Writes that the application was told are done."""

DUE = "due"
"""Writes that are home and that a mirror has to have: each is mirrored, or pending, in the end."""

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

SPILLED = "spilled"
"""Keys that slots owed and that were named in the dirty set instead, to free the slots."""

OPEN, DIRTY_KEYS, DIRTY_BUCKETS = "open", "dirty-keys", "dirty-buckets"
"""What the mirror lacks just now: slots that are owed, dirty keys, and dirty buckets."""

OPEN_WRITES = "open-writes"
"""Of the pending writes, those that the mirror may lack just now, at most."""

BACKLOG_MS = "backlog-ms"
"""Milliseconds for which the oldest of that has been seen to wait."""

COMPARED = "compared"
"""Reads that were compared with the mirror."""

DIFFERENCES = "discrepancies"
"""Differences that such a read saw and a second look confirmed."""

DIFFERS = "differs"
"""The same by field: with ``:``, the collection and the field's path."""

CLEAN_READS = "compared-since"
"""Reads compared since the last of these differences."""

BREAKER = "breaker-opened"
"""How often a mirror was left to the background, as it did not answer; with ``:`` and its name."""

LATE = "late"
"""Calls of what was begun whose turn was not in time; with ``:`` and the name of the side."""

THROTTLED = "throttled"
"""Calls of which the database itself asked for fewer; with ``:`` and the name of the side."""

PRESSING = frozenset({DECLINED, WAITED, LATE, THROTTLED, QUEUED})
"""What grows where a side has no room for what applications ask: a copy gives way then."""

SHOWN = frozenset(
    {
        ACKNOWLEDGED,
        DUE,
        MIRRORED,
        PENDING,
        QUEUED,
        DECLINED,
        WAITED,
        LATE,
        THROTTLED,
        WOULD_REFUSE,
        SPILLED,
        OPEN,
        DIRTY_KEYS,
        DIRTY_BUCKETS,
        BREAKER,
        REPAIRED,
        COMPARED,
        DIFFERENCES,
        DIFFERS,
    }
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

    def add_new(self, name: str, most: int) -> None:
        """Count one more under ``name``, unless there are ``most`` names of its kind already."""
        kind = f"{name.partition(':')[0]}:"
        with self._lock:
            if name in self._counts or sum(n.startswith(kind) for n in self._counts) < most:
                self._counts[name] += 1

    def count(self, name: str) -> int:
        """How many were counted under ``name``."""
        with self._lock:
            return self._counts[name]

    def snapshot(self) -> dict[str, int]:
        """All counts at one moment, as a dict of the caller's."""
        with self._lock:
            return dict(self._counts)
