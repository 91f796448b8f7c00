"""Backing off: the rate after a database asked for less: halved at once, regained slowly. Pure."""

from __future__ import annotations

import math

import attrs

LEAST = 1.0
"""Operations a second that are always let through: without any nobody would see that it is over."""

REGAINED = 0.05
"""Share of the full rate that is regained in a second."""


@attrs.frozen
class BackOff:
    """The rate that a side may have just now.

    Attributes:
        ceiling: the configured rate; infinite where there is none.
        top: what is regained: the ceiling, or without one what was going on before the last cut.
        rate: the rate right after the last cut; infinite before the first.
        at: moment of the last cut.
    """

    ceiling: float = math.inf
    top: float = math.inf
    rate: float = math.inf
    at: float = -math.inf

    def rate_at(self, now: float) -> float:
        """The rate at a moment: all of it again once it has been regained."""
        if self.rate == math.inf:
            return self.ceiling
        rate = self.rate + REGAINED * self.top * max(now - self.at, 0.0)
        return self.ceiling if rate >= self.top else rate

    def throttled(self, sent: float, now: float, going: float) -> BackOff:
        """After the database asked for less: half of what was going on.

        Args:
            sent: when the call was sent. What was on its way at the last cut says nothing new.
            now: when its answer came.
            going: operations a second that were let through lately.
        """
        if sent < self.at:
            return self
        before = max(min(self.rate_at(now), going), LEAST)
        top = max(before, 2 * LEAST) if self.ceiling == math.inf else self.ceiling
        return BackOff(self.ceiling, top, max(before / 2, LEAST), now)
