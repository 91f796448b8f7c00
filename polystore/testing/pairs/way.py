"""The way of a migration, forwards and backwards, as places where tests stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from polystore.migration.stages import SPEAKS, TARGET, Setting, Stage, moved_at
from polystore.testing.pairs.pair import Pair
from polystore.testing.pairs.stand import Stand

Step = Callable[[Stand], object]


def _nothing(stand: Stand) -> None:
    return


def _start(stand: Stand) -> None:
    stand.operator.start()


def _preflight(stand: Stand) -> None:
    stand.operator.preflight()


def _advance(stand: Stand) -> None:
    stand.operator.advance()


def _back(stand: Stand) -> None:
    stand.operator.back()


def _copy(stand: Stand) -> None:
    assert all(summary.done for summary in stand.operator.copy().values())


def _verified(stand: Stand) -> None:
    found = stand.operator.verify()
    assert all(not verified.discrepancies for verified in found.values()), found


def _leave(stand: Stand) -> None:
    _verified(stand)
    stand.operator.advance()


def _dial(percent: float) -> Step:
    def turned(stand: Stand) -> None:
        _verified(stand)
        stand.operator.dial(percent)

    return turned


def _again(stand: Stand) -> None:
    """A second run, after the first was given up: the target is emptied, and all of it copied."""
    for name in stand.fleet.collections:
        stand.fleet.empty(TARGET, name)
    stand.operator.reach(Stage.DUAL_READ, 100.0)


def _setting(stage: Stage, dial: float = 0.0, *, run: int = 1) -> Setting:
    """An entry in which all that gates ask of the past has been."""
    return Setting(
        run=run, speaks=SPEAKS, epoch=5, stage=stage, moved=moved_at(dial),
        copied=5, turned=5, verified=5,
    )  # fmt: skip


@attrs.frozen
class Place:
    """A place on the way.

    Attributes:
        step: what leads there from the place before.
        entry: what the control store says there; two empty databases are there under it.
        ready: what is left to do after such an entry.
    """

    step: Step
    entry: Setting | None = None
    ready: Step = _nothing


WAY: Mapping[str, Place] = {
    "source-only": Place(_nothing),
    "armed": Place(_start, _setting(Stage.ARMED), _preflight),
    "prepare": Place(_advance, _setting(Stage.PREPARE)),
    "dual-write before the copy": Place(_advance, _setting(Stage.DUAL_WRITE)),
    "dual-write": Place(_copy, _setting(Stage.DUAL_WRITE), _copy),
    "dual-read at 0": Place(_advance, _setting(Stage.DUAL_READ)),
    "dual-read at 40": Place(_dial(40.0), _setting(Stage.DUAL_READ, 40.0)),
    "dual-read at 100": Place(_dial(100.0), _setting(Stage.DUAL_READ, 100.0)),
    "back at 60": Place(_dial(60.0), _setting(Stage.DUAL_READ, 60.0)),
    "back at 0": Place(_dial(0.0), _setting(Stage.DUAL_READ)),
    "back in dual-write": Place(_back, _setting(Stage.DUAL_WRITE), _copy),
    "back in prepare": Place(_back, _setting(Stage.PREPARE)),
    "back in source-only": Place(_back, _setting(Stage.SOURCE_ONLY)),
    "a second run at 100": Place(_again, _setting(Stage.DUAL_READ, 100.0, run=2)),
    "target-only": Place(_leave, _setting(Stage.TARGET_ONLY, 100.0)),
    "clean": Place(_advance, _setting(Stage.CLEAN, 100.0)),
    "detached": Place(_advance, _setting(Stage.DETACHED, 100.0)),
}
"""The places in their order."""

PLACES = tuple(WAY)


class Walk:
    """A stand on its way. Where it is not yet, or not any more, there is another one.

    Args:
        pair: the databases.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._stand: Stand | None = None
        self._at = 0

    def to(self, name: str) -> Stand:
        """The stand at a place: gone on from the one before, or begun there."""
        goal, place = PLACES.index(name), WAY[name]
        if self._stand is not None and self._at == goal - 1:
            place.step(self._stand)
        elif self._stand is None or self._at != goal:
            self.leave()
            self._stand = Stand(self.pair, place.entry)
            place.ready(self._stand)
        self._at = goal
        return self._stand

    def leave(self) -> None:
        """End the stand: the next place is begun anew."""
        stand, self._stand = self._stand, None
        if stand is not None:
            stand.close()
