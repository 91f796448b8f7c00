"""Where every decision of a simulated run comes from: integers, a stream for each who decides.

A seed repeats a run, and so does what was chosen. Each stream is drawn for itself, so that one
decision more or less of one process leaves those of all others as they were.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Draw: TypeAlias = Callable[[int], int]
"""Called with n, gives a number from 0 up to, not including, n."""

Made: TypeAlias = dict[str, list[int]]
"""What was chosen, by the names of the streams."""

_PARTS = 1000


class Choices:
    """Integers, one after another. 0 is the dull choice everywhere: no fault, nothing to do.

    Args:
        opened: called with the name of a stream, gives what draws for it.

    Attributes:
        made: all that was chosen so far, in all streams.
    """

    __slots__ = ("_draw", "_mine", "_opened", "_streams", "made")

    def __init__(self, opened: Callable[[str], Draw], name: str = "") -> None:
        self._opened = opened
        self._draw = opened(name)
        self._mine: list[int] = []
        self._streams = {name: self}
        self.made: Made = {name: self._mine}

    @classmethod
    def seeded(cls, seed: int, *about: str) -> Choices:
        """Choices that a number decides; and words, so that different things differ."""

        def opened(name: str) -> Draw:
            number = random.Random(" ".join([str(seed), *about, name])).random
            return lambda n: int(number() * n)

        return cls(opened)

    @classmethod
    def replayed(cls, made: Mapping[str, Sequence[int]]) -> Choices:
        """The choices of an earlier run; where a stream ends, 0."""

        def opened(name: str) -> Draw:
            rest = iter(made.get(name, ()))
            return lambda n: next(rest, 0) % n

        return cls(opened)

    def of(self, name: str) -> Choices:
        """The stream of this name."""
        found = self._streams.get(name)
        if found is None:
            found = Choices(self._opened, name)
            self.made[name] = found._mine
            found.made, found._streams = self.made, self._streams
            self._streams[name] = found
        return found

    def below(self, n: int) -> int:
        """A number from 0 up to, not including, ``n``."""
        chosen = self._draw(n)
        self._mine.append(chosen)
        return chosen

    def chance(self, percent: float) -> bool:
        """True so often, and not for 0; never drawn where it cannot be."""
        return percent > 0 and self.below(100 * _PARTS) >= (100 - percent) * _PARTS

    def pick(self, options: Sequence[T]) -> T:
        """One of several."""
        return options[self.below(len(options))]

    def between(self, low: float, high: float) -> float:
        """A number of a range."""
        return low + (high - low) * self.below(_PARTS) / _PARTS
