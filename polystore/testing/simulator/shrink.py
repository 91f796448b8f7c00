"""A failing run made shorter: the fewest choices that still break the same promise.

A run is what was chosen in it, and a choice of 0 is the dull one: no fault, nothing asked, a long
rest. So streams of choices are set to zero, from some place on or block by block, as long as the
run goes wrong in the same way. Nothing here is random: the same failure shrinks to the same run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress

import attrs

from polystore.testing.history import NotLinearizable, TooHard
from polystore.testing.simulator.choices import Choices, Made
from polystore.testing.simulator.scheduler import TooLongError
from polystore.testing.simulator.trace import Event
from polystore.testing.simulator.trial import Trial
from polystore.testing.simulator.watch import Violation

Play = Callable[[Choices], Trial]
"""Makes the trial that some choices decide; it is run here."""

TRIES = 400
"""Runs that are tried; each takes less time than the failing one did."""


@attrs.frozen
class Failure:
    """How a run goes wrong.

    Attributes:
        rule: the promise that is broken, as it is called in PROTOCOL.md 12 or spec/rules.md.
        text: how.
        made: the choices that decide the run.
        steps: events until then.
    """

    rule: str
    text: str
    made: Made
    steps: int

    @property
    def size(self) -> int:
        """How many choices are not dull; the fewer, the shorter is the story."""
        return _size(self.made)


def failing(play: Play, choices: Choices, most: float = math.inf) -> Failure | None:
    """Run a trial, of no more events than ``most``: how it fails, or ``None``."""
    trial = play(choices)
    trial.fleet.scheduler.most = most
    try:
        trial.run()
    except (Violation, NotLinearizable) as found:
        text = str(found)
        rule = "P1" if isinstance(found, NotLinearizable) else text.partition(":")[0]
        return Failure(rule, text, choices.made, trial.fleet.scheduler.steps)
    except (AssertionError, TooHard, TooLongError):  # of no use as an example
        return None
    return None


def shrunk(play: Play, found: Failure, tries: int = TRIES) -> Failure:
    """The smallest run that was found to fail in the same way, after so many runs."""
    best = found
    left = tries
    for divisor in _BLOCKS:
        for name in sorted(best.made, key=lambda name: -len(best.made[name])):
            stream = best.made.get(name, [])
            block = max(1, -(-len(stream) // divisor))
            for start in reversed(range(0, len(stream), block)):
                stream = best.made.get(name, [])
                if not any(stream[start : start + block]):
                    continue
                if left <= 0:
                    return best
                left -= 1
                dull = [0] * len(stream[start : start + block])
                changed = [*stream[:start], *dull, *stream[start + block :]]
                choices = Choices.replayed({**best.made, name: changed})
                again = failing(play, choices, _LONGER * found.steps)
                if again is not None and again.rule == found.rule and again.size < best.size:
                    best = again
    return best


_LONGER = 1.2
"""Times as many events as the first one had are tried: most that do not fail go on for long."""

_BLOCKS = (1, 2, 4, 8, 32)
"""Into how many parts a stream is cut, from the boldest to the finest."""


@attrs.frozen
class Shown:
    """A run to be told.

    Attributes:
        text: what went wrong; empty for nothing.
        trace: its events.
        choices: how many choices decide it that are not dull.
        whole: how many they were before it was shrunk.
    """

    text: str
    trace: Sequence[Event]
    choices: int
    whole: int


def shown(play: Play, seed: Choices, tries: int = TRIES) -> Shown:
    """Run a trial; where it fails, shrink it; with the trace of the run that is left.

    Args:
        play: makes the trial of choices.
        seed: the choices of the trial.
        tries: see :func:`shrunk`.
    """
    found = failing(play, seed)
    made, whole = seed.made, _size(seed.made)
    if found is not None:
        found = shrunk(play, found, tries)
        made = found.made
    trial = play(Choices.replayed(made))
    trace = trial.fleet.scheduler.trace = []
    with suppress(AssertionError):
        trial.run()
    return Shown("" if found is None else found.text, trace, _size(made), whole)


def _size(made: Made) -> int:
    return sum(1 for stream in made.values() for choice in stream if choice)
