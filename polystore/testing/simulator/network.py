"""A call is three events: it is sent, it is applied, it is answered. Faults lie between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from polystore.driver import ReadReply, Refused, Rejected, ScanPage, Stored, Unprocessed
from polystore.effects import Call
from polystore.errors import PolystoreError, Throttled, Unavailable
from polystore.migration.stages import Setting
from polystore.runner import perform
from polystore.testing.simulator.database import Database
from polystore.testing.simulator.faults import (
    FOR_EVER,
    Fate,
    Faults,
    Sent,
    drawn,
    held_for,
    refused,
)
from polystore.testing.simulator.happenings import GONE_ON, LATE, LEFT, PART
from polystore.testing.simulator.scheduler import Scheduler, Task
from polystore.testing.simulator.trace import Kind, concerned, told, told_fate, told_reply

Rule = Callable[[Sent], Fate | None]
"""Decides what becomes of a call; ``None`` leaves that to others."""

Applied = Callable[[Sent, Any, Any], None]
"""Told of each call that was applied: the call, its arguments as they were applied, its reply."""


class Network:
    """Carries the calls of all processes to the drivers.

    Args:
        applied: told of each application.
        lease: seconds of the group's lease.
        setting: what the control store says.
        databases: all there are, by identity.

    Attributes:
        faults: what goes wrong by chance.
        rules: asked first, in order.
        down: names of drivers' places that cannot be reached.
        held: calls that wait to be released.
        fired: how often each kind of fault has happened.
        hold_next: so many writes of data from now on are held.
    """

    def __init__(
        self,
        faults: Faults,
        applied: Applied,
        lease: float,
        setting: Callable[[], Setting],
        databases: Mapping[int, Database],
    ) -> None:
        self.faults = faults
        self.rules: list[Rule] = []
        self.down: set[int] = set()
        self.held: list[Callable[[], None]] = []
        self.waiting = 0
        self.fired: Counter[str] = Counter()
        self.lease = lease
        self._applied = applied
        self._ends: dict[tuple[Any, ...], Stored] = {}
        self.hold_next = 0
        self.scheduler: Scheduler
        self.setting = setting
        self.databases = databases

    def deliver(self, task: Task, call: Call[Any]) -> None:
        """Take a call of a task; the task is resumed with its answer."""
        scheduler = self.scheduler
        sent = Sent(task.process.name, task.name, call, scheduler.now, self.setting(), task.choices)
        fate = self._fate(sent)
        if scheduler.trace is not None:
            self._note(sent, "sent", f"{told(sent)}{told_fate(fate)}")
        turn = task.turn
        if fate.error is not None:
            scheduler.resume(task, None, fate.error, fate.answer)
        if fate.apply == FOR_EVER:
            self.held.append(lambda: self._apply(task, sent, fate, turn))
        elif fate.apply is not None:
            self.waiting += 1
            scheduler.later(fate.apply, self._arrive, task, sent, fate, turn)

    def _fate(self, sent: Sent) -> Fate:
        for rule in self.rules:
            fate = rule(sent)
            if fate is not None:
                return fate
        if id(sent.call.driver) in self.down:
            return refused(Unavailable("down"))
        if self.hold_next and sent.writes and sent.call.side != "control":
            self.hold_next -= 1
            fate = held_for(self.faults, sent, self.faults.timeout)
        else:
            fate = drawn(self.faults, sent)
        if fate.kind is not None:
            self.fired[fate.kind] += 1
        return fate

    def _arrive(self, task: Task, sent: Sent, fate: Fate, turn: int) -> None:
        self.waiting -= 1
        self._apply(task, sent, fate, turn)

    def _apply(self, task: Task, sent: Sent, fate: Fate, turn: int) -> None:
        if sent.writes and (task.turn != turn or not task.process.alive):
            self._landed_late(sent, task.process.alive)
        reply, error = self._carried_out(sent, fate)
        if fate.twice and error is None:
            self.fired["sent twice by the wire"] += 1
            reply, error = self._carried_out(sent, fate)
        if self.scheduler.trace is not None:
            what = type(error).__name__ if error else told_reply(reply)
            unheard = fate.error is not None or task.turn != turn or not task.process.alive
            self._note(sent, "unheard" if unheard else "applied", f"{sent.method}: {what}")
        fate.then()
        if fate.error is None:
            self.scheduler.resume(task, reply, error, fate.answer)

    def _note(self, sent: Sent, kind: Kind, text: str) -> None:
        text = f"{sent.task}: {text}"
        self.scheduler.note(text, kind, sent.process, sent.call.side, concerned(sent))

    def _landed_late(self, sent: Sent, alive: bool) -> None:
        """Note a write that is applied when its caller has gone on, and past what it comes."""
        was, now = sent.setting, self.setting()
        for happened, what in (
            (True, GONE_ON),
            (not alive, "applied after its process died"),
            (self.scheduler.now - sent.at > self.lease, "applied after a lease"),
            (was.epoch != now.epoch, "applied after an epoch"),
            (was.moved != now.moved, "applied after a home moved"),
        ):
            if happened:
                self.fired[what] += 1

    def _carried_out(self, sent: Sent, fate: Fate) -> tuple[Any, PolystoreError | None]:
        call = sent.call
        method, arguments = call.method, call.arguments
        left: list[int] = []
        if fate.partial and self.databases[id(call.driver)].parts(sent.method):
            arguments, left = self._parted(sent)
        if fate.short:
            self.fired["short page"] += 1
            most = arguments[-1]
            arguments = (*arguments[:-1], most - sent.choices.below(most))
        if fate.stale and self.databases[id(call.driver)].lags(sent.method, arguments):
            self.fired[LATE] += 1
            method = getattr(call.driver, f"{sent.method}_late")
        database = self.databases[id(call.driver)]
        before = database.changes
        try:
            reply: Any = perform(Call(call.side, call.driver, method, arguments))
        except PolystoreError as error:
            return None, error
        if database.changes != before:  # DynamoDB calls a commit applied whose parts were, apart
            self._applied(sent, arguments, reply)
        if left:
            self.fired[LEFT if fate.error is None else PART] += 1
            reply = _joined(sent, reply, left)
        if sent.method == "scan":
            self._scanned(sent, fate, reply)
        return (_muted(reply) if fate.muted else reply), None

    def _scanned(self, sent: Sent, fate: Fate, page: ScanPage) -> None:
        """A scan may bring the last record of the page before once more, as it was then."""
        collection, segment, cursor, _ = sent.call.arguments
        place = (id(sent.call.driver), collection.name, segment, cursor)
        before = self._ends.get(place)
        if fate.again and before is not None and all(s.key != before.key for s in page.records):
            self.fired["page repeated"] += 1
            page.records.insert(0, before)
        if page.records and page.cursor is not None:
            last = page.records[-1]
            fields = None if last.fields is None else dict(last.fields)
            self._ends[*place[:3], page.cursor] = attrs.evolve(last, fields=fields)

    def _parted(self, sent: Sent) -> tuple[tuple[Any, ...], list[int]]:
        """A batch cut down to a part, and the places of what was left out."""
        below = sent.choices.below
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
