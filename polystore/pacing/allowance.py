"""What may still be done at a rate: a token bucket as a value. Pure: moments come from outside."""

from __future__ import annotations

from typing import Self

import attrs

BURST_SECONDS = 0.08
"""What may be done at once, in seconds of the rate: 1.6 % of any five seconds."""

_NOTHING = 1e-6
"""What floats lose on the way: less than this is not waited for."""


@attrs.frozen
class Allowance:
    """What is left of a rate. It fills up with time, to what may be done at once and no further.

    Within any ``w`` seconds no more is taken than ``rate · w + burst``, and what a single amount
    is over ``burst`` (such an amount is taken as a debt, once the allowance is full).

    Attributes:
        rate: amounts a second.
        left: what was left at the moment ``at``; below 0 while a debt is being paid off.
        at: that moment, in seconds.
    """

    rate: float
    left: float
    at: float

    @classmethod
    def full(cls, rate: float, at: float) -> Self:
        """An allowance of which nothing was taken yet."""
        return cls(rate, max(rate * BURST_SECONDS, 1.0), at)

    @property
    def burst(self) -> float:
        """Most that may be done at once."""
        return max(self.rate * BURST_SECONDS, 1.0)

    def filled(self, now: float) -> Allowance:
        """The allowance at a later moment; an earlier one changes nothing."""
        if now <= self.at:
            return self
        left = min(self.burst, self.left + self.rate * (now - self.at))
        return Allowance(self.rate, left, now)

    def wait(self, amount: float, ahead: float = 0.0) -> float:
        """Seconds from ``at`` until an amount may be taken; 0 where that is now.

        Args:
            amount: what is to be taken.
            ahead: what others take before.
        """
        missing = ahead + min(amount, self.burst) - self.left
        return missing / self.rate if missing > _NOTHING else 0.0

    def less(self, amount: float) -> Allowance:
        """What is left once an amount was taken; a negative one is given back."""
        return Allowance(self.rate, min(self.left - amount, self.burst), self.at)

    def at_rate(self, rate: float) -> Allowance:
        """The same at another rate from now on: what is left stays, up to the new burst."""
        if rate == self.rate:
            return self
        return Allowance(rate, min(self.left, max(rate * BURST_SECONDS, 1.0)), self.at)
