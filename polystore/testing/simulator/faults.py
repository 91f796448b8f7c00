"""What may happen to a call on its way: data that the scheduler acts on."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from polystore.driver import ANYTHING, Consistency, Write
from polystore.effects import Call
from polystore.errors import (
    Contention,
    OutcomeUnknown,
    PolystoreError,
    Throttled,
    Unavailable,
)
from polystore.migration.ledger import SLOTS
from polystore.migration.stages import Setting
from polystore.testing.simulator.choices import Choices

WRITES = frozenset({"write", "write_many", "commit"})
"""Methods of a driver that change something."""

FOR_EVER = math.inf
"""Held until it is released."""

_LATENCIES = (0.0005, 0.001, 0.001, 0.001, 0.002, 0.002, 0.003, 0.005, 0.01, 0.03)
"""Seconds of one way."""


@attrs.frozen(kw_only=True)
class Faults:
    """How often things go wrong, in % of calls, and for how long.

    Attributes:
        lost: never applied, and no answer.
        unanswered: applied, of a batch perhaps in part, and no answer.
        held: no answer, and applied later, when the caller has long gone on.
        refused: an error that says that nothing was applied.
        slow: takes up to ``slow_seconds`` each way.
        repeated: a commit with a slot that the wire sends twice; the second answer counts.
        partial: a batch of which only a part is processed, and the answer says which.
        muted: a refusal that does not say what was found.
        short: a page that is shorter than it could be, or begins with what the last one had.
        stale: an answer with an earlier state, where the database may give one.
        timeout: seconds after which a call without an answer is given up.
        slow_seconds: see ``slow``.
        hold_seconds: least and most seconds of ``held``; the quarantine before clean counts on it.
        plain_hold: most seconds of ``held`` for writes without a stamp: the quarantine counts on
            it, less the time for which processes stand still.
    """

    lost: float = 0.0
    unanswered: float = 0.0
    held: float = 0.0
    refused: float = 0.0
    slow: float = 0.0
    repeated: float = 0.0
    partial: float = 0.0
    muted: float = 0.0
    short: float = 0.0
    stale: float = 0.0
    timeout: float = 0.5
    slow_seconds: float = 0.4
    hold_seconds: tuple[float, float] = (0.5, 7.5)
    plain_hold: float = 3.0
    failing: float = attrs.field(init=False)

    @failing.default
    def _failing(self) -> float:
        return self.lost + self.unanswered + self.held + self.refused


CALM = Faults()
"""Nothing goes wrong."""

ROUGH = Faults(
    lost=0.5, unanswered=0.7, held=0.7, refused=0.7, slow=1.0, repeated=0.5, partial=2.0,
    muted=20.0, short=20.0, stale=30.0,
)  # fmt: skip
"""Everything that can go wrong does, now and then."""


@attrs.define(eq=False)
class Sent:
    """A call as it leaves its process: who sends it, in which task, and what.

    Attributes:
        method: name of the driver's method.
        at: when it was sent.
        setting: what the control store said then.
        choices: of the task.
    """

    process: str
    task: str
    call: Call[object]
    at: float
    setting: Setting
    choices: Choices
    method: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.method = self.call.method.__name__

    @property
    def fenced(self) -> bool:
        """Whether it commits a slot, which makes a repetition on the wire harmless (WR-7)."""
        return self.method == "commit" and any(
            write.collection is SLOTS for write in self.call.arguments[0]
        )

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.method in WRITES


@attrs.define
class Fate:
    """What becomes of one call.

    Attributes:
        apply: seconds from sending to its application; ``None`` for never, FOR_EVER for when it
            is released.
        answer: seconds from its application (from sending, where ``error`` is given) to the
            answer.
        error: the answer, in place of what the database says.
        twice: it is applied a second time at once, and that answer counts.
        partial, muted, short, stale: as in :class:`Faults`.
        again: a page begins with the last record of the page before.
        kind: the fault in words, where it is one.
        then: called right after the application.
    """

    apply: float | None = 0.001
    answer: float = 0.001
    error: PolystoreError | None = None
    twice: bool = False
    partial: bool = False
    muted: bool = False
    short: bool = False
    stale: bool = False
    again: bool = False
    kind: str | None = None
    then: Callable[[], object] = lambda: None


def no_answer(sent: Sent) -> PolystoreError:
    """What a driver makes of a call that had no answer in time."""
    if sent.writes:
        return OutcomeUnknown(f"{sent.method} had no answer")
    return Unavailable(f"{sent.method} had no answer")


def lost(sent: Sent, timeout: float = 0.5) -> Fate:
    """It is never applied, and has no answer."""
    return Fate(apply=None, answer=timeout, error=no_answer(sent))


def unanswered(sent: Sent, timeout: float = 0.5) -> Fate:
    """It is applied, and has no answer."""
    return Fate(answer=timeout, error=no_answer(sent))


def held(sent: Sent, seconds: float = FOR_EVER, timeout: float = 0.5) -> Fate:
    """It has no answer, and is applied so much later."""
    return Fate(apply=seconds, answer=timeout, error=no_answer(sent))


def refused(error: PolystoreError) -> Fate:
    """It is not executed, and the answer says so."""
    return Fate(apply=None, answer=0.002, error=error)


def drawn(faults: Faults, sent: Sent) -> Fate:
    """What becomes of a call, by chance."""
    choices = sent.choices
    roll = choices.below(20_000_000)  # one draw for all that every call needs
    apply = _LATENCIES[roll % 10] + 0.00001 * (roll // 1_000_000)
    answer = _LATENCIES[roll // 10 % 10]
    if faults is CALM:
        return Fate(apply, answer)
    at = 99.99 - roll // 100 % 10_000 / 100  # a choice of 0 lets nothing go wrong
    if at < faults.failing:
        return _failing(faults, sent, at)
    kind = None
    if at - faults.failing < faults.slow:
        kind = "slow"
        apply += choices.between(0, faults.slow_seconds)
        answer += choices.between(0, faults.slow_seconds)
    fate = Fate(apply, answer, kind=kind)
    method = sent.method
    chance = choices.chance
    if method == "read":
        fate.partial = len(sent.call.arguments[1]) > 1 and chance(faults.partial)
        fate.stale = sent.call.arguments[2] is not Consistency.STRONG and chance(faults.stale)
    elif method == "scan":
        fate.short = chance(faults.short)
        fate.again = chance(faults.short)
    elif method == "query":
        fate.short = chance(faults.short)
        fate.stale = sent.call.arguments[1].index is not None and chance(faults.stale)
    else:
        fate.twice = sent.fenced and chance(faults.repeated)
        fate.partial = method == "write_many" and chance(faults.partial)
        fate.muted = sent.writes and chance(faults.muted)
    return fate


def _failing(faults: Faults, sent: Sent, at: float) -> Fate:
    """A call that has no answer, or one that says that it failed."""
    timeout = sent.choices.between(0.05, faults.timeout)
    if at < faults.lost:
        fate = lost(sent, timeout)
        fate.kind = "lost"
    elif at < faults.lost + faults.unanswered:
        fate = unanswered(sent, timeout)
        fate.kind = "applied, answer lost"
    elif at < faults.lost + faults.unanswered + faults.held:
        fate = held_for(faults, sent, timeout)
    else:
        error = _refusal(sent)
        fate = refused(error)
        fate.kind = f"refused: {type(error).__name__}"
    # Of a batch whose answer does not come, as often as not a part is all that is ever applied.
    fate.partial = sent.method == "write_many" and round(100 * at) % 2 == 1
    return fate


def held_for(faults: Faults, sent: Sent, timeout: float) -> Fate:
    """It has no answer, and is applied a good while later."""
    fate = held(sent, _hold(faults, sent), timeout)
    fate.kind = "held"
    return fate


def _hold(faults: Faults, sent: Sent) -> float:
    least, most = faults.hold_seconds
    if sent.method == "write" and _plain(sent.call.arguments[0]):
        most = min(most, faults.plain_hold)
    return sent.choices.between(min(least, most), most)


def _plain(write: Write) -> bool:
    """Whether nothing but time keeps it from landing late: what the quarantine is for."""
    return write.stamp is None or write.condition is ANYTHING


def _refusal(sent: Sent) -> PolystoreError:
    errors: list[type[PolystoreError]] = [Unavailable, Throttled]
    if sent.writes and sent.method != "write_many":
        errors.append(Contention)
    return sent.choices.pick(errors)("injected")
