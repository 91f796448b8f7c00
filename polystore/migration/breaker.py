"""Whether a mirror is worth trying while a caller waits. Pure.

It opens on consecutive failures and late answers, so that no caller waits for a mirror that is
down. What is drained in the background tries it all the same; an answer closes it.
"""

from __future__ import annotations

import attrs

FAILURES = 5
"""Consecutive failures, or late answers, after which callers do not try any more."""

SOFT_WAIT_SECONDS = 0.05
"""An answer that took a caller longer than this is late (PROTOCOL.md 6)."""

PAUSE_SECONDS = 5.0
"""After so long without any try, one caller tries: where nothing is left to drain, nobody else."""


@attrs.define
class Breaker:
    """The breaker of one side, as the mirror of this process.

    Attributes:
        failures: consecutive ones.
        tried: when it was last tried, on the monotonic clock.
        opened: how often it opened.
    """

    failures: int = 0
    tried: float = float("-inf")
    opened: int = 0

    def shut_off(self, now: float) -> bool:
        """Whether callers leave the mirror to the background just now."""
        return self.failures >= FAILURES and now - self.tried < PAUSE_SECONDS

    def allows(self, now: float) -> bool:
        """Whether a caller may try now; one, where it is half open."""
        if self.shut_off(now):
            return False
        self.tried = now
        return True

    def answered(self, now: float, seconds: float = 0.0) -> None:
        """It has answered, after ``seconds`` of a caller's time."""
        if seconds > SOFT_WAIT_SECONDS:
            self.failed(now)
        else:
            self.failures, self.tried = 0, now

    def failed(self, now: float) -> None:
        """It gave no answer, or refused."""
        self.failures += 1
        self.tried = now
        self.opened += self.failures == FAILURES
