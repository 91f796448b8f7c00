"""A call is three events: it is sent, it is applied, it is answered. Faults lie between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polystore.driver import ReadReply, Refused, Rejected, Unprocessed
from polystore.effects import Call
from polystore.errors import PolystoreError, Throttled, Unavailable
from polystore.runner import perform
from polystore.testing.simulator.faults import FOR_EVER, Fate, Faults, Sent, drawn, refused
from polystore.testing.simulator.scheduler import Process, Scheduler, Task
from polystore.values import Key

Rule = Callable[[Sent], Fate | None]
"""Decides what becomes of a call; ``None`` leaves that to others."""

Applied = Callable[[Sent, Any, Any], None]
"""Told of each call that was applied: the call, its arguments as they were applied, its reply."""


class Network:
    """Carries the calls of all processes to the drivers.

    Args:
        applied: told of each application.

    Attributes:
        faults: what goes wrong by chance.
        rules: asked first, in order.
        down: names of drivers' places that cannot be reached.
        held: calls that wait to be released.
    """

    def __init__(self, faults: Faults, applied: Applied) -> None:
        self.faults = faults
        self.rules: list[Rule] = []
        self.down: set[int] = set()
        self.held: list[Callable[[], None]] = []
        self.waiting = 0
        self._applied = applied
        self.scheduler: Scheduler

    def deliver(self, task: Task, call: Call[Any]) -> None:
        """Take a call of a task; the task is resumed with its answer."""
        scheduler = self.scheduler
        sent = Sent(task.process.name, task.name, call)
        turn = task.turn
        scheduler.later(
            0.00001 * scheduler.choices.below(20), self._send, task, task.process, sent, turn
        )

    def _send(self, task: Task, process: Process, sent: Sent, turn: int) -> None:
        """It leaves the process, if that is alive and running."""
        scheduler = self.scheduler
        if not process.alive or task.turn != turn:
            return
        if process.paused_until > scheduler.now:
            scheduler.at(process.paused_until, self._send, task, process, sent, turn)
            return
        fate = self._fate(sent)
        if scheduler.trace is not None:
            scheduler.note(f"{task!r} sends {told(sent)}{_told_fate(fate)}")
        if fate.apply is None:
            assert fate.error is not None
            scheduler.resume(task, None, fate.error, fate.answer)
            return
        if fate.error is not None:
            scheduler.resume(task, None, fate.error, fate.answer)
        if fate.apply == FOR_EVER:
            self.held.append(lambda: self._apply(task, sent, fate, turn))
        else:
            self.waiting += 1
            scheduler.later(fate.apply, self._arrive, task, sent, fate, turn)

    def _fate(self, sent: Sent) -> Fate:
        for rule in self.rules:
            fate = rule(sent)
            if fate is not None:
                return fate
        if id(sent.call.driver) in self.down:
            return refused(Unavailable("down"))
        return drawn(self.scheduler.choices, self.faults, sent)

    def _arrive(self, task: Task, sent: Sent, fate: Fate, turn: int) -> None:
        self.waiting -= 1
        self._apply(task, sent, fate, turn)

    def _apply(self, task: Task, sent: Sent, fate: Fate, turn: int) -> None:
        reply, error = self._carried_out(sent, fate)
        if fate.twice and error is None:
            reply, error = self._carried_out(sent, fate)
        if self.scheduler.trace is not None:
            what = type(error).__name__ if error else _told_reply(reply)
            self.scheduler.note(f"{task!r} applied {told(sent)}: {what}")
        fate.then()
        if fate.error is None:
            self.scheduler.resume(task, reply, error, fate.answer)

    def _carried_out(self, sent: Sent, fate: Fate) -> tuple[Any, PolystoreError | None]:
        call = sent.call
        arguments = call.arguments
        left: list[int] = []
        if fate.partial:
            arguments, left = self._parted(sent)
        if fate.short:
            most = arguments[-1]
            arguments = (*arguments[:-1], 1 + self.scheduler.choices.below(most))
        try:
            reply: Any = perform(Call(call.side, call.driver, call.method, arguments))
        except PolystoreError as error:
            return None, error
        self._applied(sent, arguments, reply)
        if left:
            reply = _joined(sent, reply, left)
        return (_muted(reply) if fate.muted else reply), None

    def _parted(self, sent: Sent) -> tuple[tuple[Any, ...], list[int]]:
        """A batch cut down to a part, and the places of what was left out."""
        below = self.scheduler.choices.below
        if sent.method == "read":
            collection, keys, consistency = sent.call.arguments
            left = [i for i in range(len(keys)) if below(2)]
            return (collection, [k for i, k in enumerate(keys) if i not in left], consistency), left
        (writes,) = sent.call.arguments
        left = [i for i in range(len(writes)) if below(2)]
        return ([w for i, w in enumerate(writes) if i not in left],), left

    def release(self) -> int:
        """Let everything that is held be applied now; how much that was."""
        held, self.held = self.held, []
        for apply in held:
            apply()
        return len(held)


def _joined(sent: Sent, reply: Any, left: list[int]) -> Any:
    """The reply of a part, as that of the whole."""
    if sent.method == "read":
        for i in left:
            reply.records.insert(i, None)
        return ReadReply(reply.records, tuple(left))
    for i in left:
        reply.insert(i, Unprocessed(Throttled("injected")))
    return reply


def _muted(reply: Any) -> Any:
    """The same refusal from a database that does not say what it found."""
    if isinstance(reply, Refused):
        return Refused()
    if isinstance(reply, Rejected):
        return Rejected()
    if isinstance(reply, list):
        return [_muted(one) for one in reply]
    return reply


def told(sent: Sent) -> str:
    """A call, for the trace: keys, conditions and stamps, and values of fields too."""
    if not sent.writes:
        about = " ".join(_told_argument(a) for a in sent.call.arguments)
        return f"{sent.call.side}.{sent.method}({about})"
    first = sent.call.arguments[0]
    writes = first if isinstance(first, list | tuple) else [first]
    return f"{sent.call.side}.{sent.method}({'; '.join(map(_told_write, writes))})"


def _told_argument(argument: Any) -> str:
    name = getattr(argument, "name", None)
    return str(name) if isinstance(name, str) else str(argument)


def _told_write(write: Any) -> str:
    key: Key = write.key
    condition = write.condition
    detail = getattr(condition, "token", getattr(condition, "stamp", ""))
    body = {k: v for k, v in (write.fields or {}).items() if v not in key}
    what = body if write.fields is not None else ("tombstone" if write.stamp else "delete")
    stamp = "" if write.stamp is None else f" @{write.stamp >> 40}:{write.stamp % (1 << 40)}"
    return (
        f"{write.collection.name}{list(key)} := {what}{stamp} if {type(condition).__name__}"
        f" {detail}"
    )


def _told_fate(fate: Fate) -> str:
    if fate.error is None:
        return ""
    when = "never" if fate.apply is None else f"in {fate.apply:.3f} s"
    return f" -- {type(fate.error).__name__}, applied {when}"


def _told_reply(reply: Any) -> str:
    records = getattr(reply, "records", None)
    if records is None:
        return type(reply).__name__
    shown = [
        None if r is None else f"{list(r.key)} @{r.stamp and r.stamp % (1 << 40)} {r.fields}"
        for r in records[:5]
    ]
    return f"{len(records)} {shown}"
