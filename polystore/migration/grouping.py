"""Group commit: who of one process waits for a commit at one home, and who goes together.

A writer that finds no commit of its home on its way goes at once, alone. Who comes meanwhile waits
in line, and leaves with all others who wait by then: one commit, and one slot whose intent names
the keys of all [M: INTENT_ONE]. State only; the procedures are in
:mod:`polystore.migration.sharing`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from polystore.driver import Refused, Write, Written
from polystore.effects import Signal
from polystore.migration.slots import FREE, OWED, UNKNOWN, Pool, Slot, targets_of
from polystore.migration.stages import Setting

AT_ONCE = 1
"""Commits of one home on their way at which others begin to wait for company. More of them would
be smaller ones, and each costs a slot: at 16 writers one makes 2.25 write units of DynamoDB out
of a small put, two make 2.4."""

HELD_UP_SECONDS = 0.05
"""After so long in line a write goes, whatever is on its way: one lost answer holds nobody up."""

MOST_WRITES = 64
"""Most records of one shared commit: the slot has room for their keys, however long those are."""

Outcome: TypeAlias = Written | Refused | Exception
"""Of one write of a shared commit. ``Written(None)``: applied, and its token is not known."""


class Line:
    """The writes of one incarnation that wait for a commit at one home.

    Attributes:
        signal: guards all state of this line and of its parts and flights; no other signal is held
            when it is taken.
        waiting: in the order they came.
        going: commits on their way, or about to be.
    """

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.waiting: list[Part] = []
        self.going = 0

    def may_lead(self, part: Part) -> bool:
        """Whether a part need not wait: it may go now, or take over for a leader that is gone."""
        if part.flight is not None:
            return not part.flight.led
        return part.alone or part.held_up or self.going < AT_ONCE

    def is_ready(self, part: Part) -> bool:
        """Whether there is anything to do for the caller of a part."""
        return part.outcome is not None or self.may_lead(part)

    def company(self, part: Part, fits: Callable[[Write], bool]) -> list[Part]:
        """The parts that go with one that leaves now, itself first: of one setting, each key once.

        Args:
            fits: whether one more write has room; asked in turn, with the first one too.
        """
        chosen, targets = [part], {part.target}
        if not part.alone and self.waiting != [part]:
            fits(part.write)
        for other in () if part.alone else self.waiting:
            if (
                other.target not in targets
                and not other.alone
                and other.setting is part.setting
                and len(chosen) < MOST_WRITES
                and fits(other.write)
            ):
                chosen.append(other)
                targets.add(other.target)
        return chosen

    def depart(self, part: Part, pool: Pool, slot: Slot, fits: Callable[[Write], bool]) -> Flight:
        """Make a flight of a part and its company; a slot is theirs from now on."""
        parts = self.company(part, fits)
        self.waiting = [other for other in self.waiting if other not in parts]
        return Flight(pool, slot, parts)

    def overtaken(self, part: Part) -> None:
        """A part was applied: who waits to write the same key has lost the token it waits with."""
        for other in [w for w in self.waiting if w.target == part.target]:
            self.waiting.remove(other)
            other.outcome = Refused()

    def leave(self, part: Part) -> Flight | None:
        """The caller of a part goes on without it; the flight whose last one it was."""
        with self.signal:
            flight = part.flight
            if flight is None:
                if part in self.waiting:
                    self.waiting.remove(part)  # it gave up before anything was sent
                return None
            flight.left(part)
            self.signal.notify()
            return flight if flight.is_over() else None


class Part:
    """One write on its way to a commit, while its caller waits: a context of the caller.

    Args:
        line: where it waits.
        write: what is to be committed.
        setting: what the caller was admitted under.

    Attributes:
        outcome: of the write, once it is known.
        flight: the commit that it is part of; ``None`` in line.
        alone: it shares a commit with nobody: one that it shared failed.
        held_up: it has waited long enough.
        mirrored: set by the caller: the mirror has it, or needs nothing.
    """

    def __init__(self, line: Line, write: Write, setting: Setting) -> None:
        self.line = line
        self.write = write
        self.setting = setting
        (self.target,) = targets_of((write,))
        self.outcome: Outcome | None = None
        self.flight: Flight | None = None
        self.alone = False
        self.held_up = False
        self.mirrored = False

    def __enter__(self) -> Self:
        with self.line.signal:
            self.line.waiting.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ended = self.line.leave(self)
        if ended is not None:
            ended.end()


class Flight:
    """One slot in use for a shared commit, from its departure until the mirror has everything.

    It is in nobody's hands alone: whoever led it may be gone (cancelled, or out of time) while
    others still wait for the outcome; one of them finds out then.

    Args:
        pool, slot: the slot, which is given back at the end.

    Attributes:
        parts: those whose callers have not gone on yet.
        open: those whose outcome is not known; they are what the slot's last attempt wrote.
        led: whether somebody is finding out about them.
        release: called at the end, where the flight had to be admitted for all its buckets.
    """

    def __init__(self, pool: Pool, slot: Slot, parts: Sequence[Part]) -> None:
        self.line = parts[0].line
        self.slot = slot
        self.parts = list(parts)
        self.open = list(self.parts)
        self.led = True
        self.release: Callable[[], object] | None = None
        self._pool = pool
        self._applied = False
        self._owed = False
        self._over = False
        for part in self.parts:
            part.flight = self

    def tell(self, part: Part, outcome: Outcome) -> None:
        """The outcome of one part is known."""
        part.outcome = outcome
        self.open.remove(part)
        self._applied = self._applied or isinstance(outcome, Written)

    def tell_all(self, outcome: Callable[[], Outcome]) -> None:
        """The same outcome for all that are open."""
        for part in list(self.open):
            self.tell(part, outcome())

    def part_with(self, part: Part) -> None:
        """Nothing of a part was applied: it goes back in line, to be tried alone."""
        self.open.remove(part)
        if part in self.parts:
            self.parts.remove(part)
            part.flight = None
            part.alone = True
            part.line.waiting.append(part)

    def left(self, part: Part) -> None:
        """The caller of a part has gone on."""
        self.parts.remove(part)
        self._owed = self._owed or not (part.mirrored or _is_refused(part.outcome))

    def is_over(self) -> bool:
        """Whether nobody is left; true once, for the one who is to end it."""
        if self.parts or self._over:
            return False
        self._over = True
        return True

    def end(self) -> None:
        """All have gone on: the slot is free again, or owed, or its outcome stays unknown."""
        state = FREE
        if self.open:
            state = UNKNOWN
        elif self._applied and self._owed:
            state = OWED
        self._pool.give(self.slot, state)
        if self.release is not None:
            self.release()


def _is_refused(outcome: Outcome | None) -> bool:
    return outcome is not None and not isinstance(outcome, Written)
