"""Where every decision of a simulated run comes from: integers of one source.

A seed repeats a run; so does the list of what was chosen; and a strategy that draws integers (as
Hypothesis does) shrinks a failing run to a short one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
_PARTS = 1000


class Choices:
    """Integers, one after another.

    Args:
        draw: called with n, gives a number from 0 up to, not including, n.

    Attributes:
        made: all that was chosen so far.
    """

    __slots__ = ("_draw", "made")

    def __init__(self, draw: Callable[[int], int]) -> None:
        self._draw = draw
        self.made: list[int] = []

    @classmethod
    def seeded(cls, seed: int) -> Choices:
        """Choices that a number decides."""
        number = random.Random(seed).random
        return cls(lambda n: int(number() * n))

    @classmethod
    def replayed(cls, made: Iterable[int]) -> Choices:
        """The choices of an earlier run; where they end, the first of each kind."""
        rest = iter(made)
        return cls(lambda n: next(rest, 0) % n)

    def below(self, n: int) -> int:
        """A number from 0 up to, not including, ``n``."""
        chosen = self._draw(n)
        self.made.append(chosen)
        return chosen

    def chance(self, percent: float) -> bool:
        """True so often; never drawn where it cannot be."""
        return percent > 0 and self.below(100 * _PARTS) < percent * _PARTS

    def pick(self, options: Sequence[T]) -> T:
        """One of several."""
        return options[self.below(len(options))]

    def between(self, low: float, high: float) -> float:
        """A number of a range."""
        return low + (high - low) * self.below(_PARTS) / _PARTS
