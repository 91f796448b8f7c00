"""One thing at a time: virtual time, processes that stop and die, tasks that await effects."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from contextlib import suppress
from heapq import heappop, heappush
from typing import Any, TypeVar

from polystore.effects import (
    Both,
    Call,
    Changed,
    Effect,
    Now,
    Procedure,
    Sleep,
    Uniform,
    WallClock,
)
from polystore.testing.simulator.choices import Choices
from polystore.testing.simulator.trace import Event, Kind

T = TypeVar("T")
Deliver = Callable[["Task", Call[Any]], None]


_DAWN = 1_800_000_000_000_000
"""The time of day at which every run begins."""


class SimulatedSignal:
    """The lock and bell of one simulated process: nothing is locked where one thing runs."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def __enter__(self) -> object:
        return self

    def __exit__(self, *details: object) -> None:
        return None

    def notify(self) -> None:
        """Let those that wait look again."""
        self._process.rung = True

    def another(self) -> SimulatedSignal:
        """A second one of the same process."""
        return SimulatedSignal(self._process)

    def wait(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Nothing in a simulation blocks."""
        raise AssertionError("a procedure waits by awaiting Changed")


class Process:
    """A process: it runs, stands still, or is dead. Its clock may be fast or slow.

    Args:
        name: for traces.
        rate: seconds of its clock in one second.
    """

    def __init__(self, name: str, rate: float) -> None:
        self.name = name
        self.rate = rate
        self.alive = True
        self.paused_until = -math.inf
        self.rung = False
        self.waiting: list[tuple[Task, Changed, int]] = []
        self.signal = SimulatedSignal(self)


class Task:
    """One procedure that a process runs.

    Attributes:
        done: whether it has ended.
        result, error: how, where it has.
        vital: whether the run is over when it raises.
        choices: of its own.
    """

    def __init__(
        self, process: Process, procedure: Procedure[Any], name: str, choices: Choices
    ) -> None:
        self.process = process
        self.procedure = procedure
        self.name = name
        self.done = False
        self.result: Any = None
        self.error: Exception | None = None
        self.ended: Callable[[Task], None] | None = None
        self.turn = 0
        self.vital = False
        self.choices = choices

    def __repr__(self) -> str:
        return f"{self.process.name}/{self.name}"


class TooLongError(Exception):
    """A run was given up; nothing is known of it."""


class Scheduler:
    """Runs the tasks of all processes, one event after another.

    Args:
        choices: decide everything that could be otherwise.
        deliver: sends a call; it answers by :meth:`resume`.

    Attributes:
        now: seconds of virtual time.
        steps: events so far.
        most: events after which a run is given up.
    """

    def __init__(self, choices: Choices, deliver: Deliver, *, tracing: bool = False) -> None:
        self.choices = choices
        self.now = 0.0
        self.steps = 0
        self.most = math.inf
        self.trace: list[Event] | None = [] if tracing else None
        self._deliver = deliver
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._tasks: list[Task] = []
        self._order = 0
        self._failure: Exception | None = None

    def wall(self) -> int:
        """The time of day, the same for all processes: microseconds since 1970."""
        return _DAWN + round(self.now * 1_000_000)

    # -- events -------------------------------------------------------------------------------

    def at(self, time: float, action: Callable[..., None], *arguments: Any) -> None:
        """Do something at a moment."""
        self._order += 1
        heappush(self._events, (time, self._order, action, arguments))

    def later(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        """Do something in a while."""
        self.at(self.now + seconds, action, *arguments)

    def note(
        self,
        text: str,
        kind: Kind = "note",
        process: str = "",
        side: str = "",
        keys: frozenset[Hashable] = frozenset(),
    ) -> None:
        """A line of the trace."""
        if self.trace is not None:
            self.trace.append(Event(self.now, text, kind, process, side, keys))

    def run(self, until: Callable[[], bool], limit: float) -> bool:
        """Carry on until something is so, for at most ``limit`` seconds; whether it is.

        Raises what a vital task raised.
        """
        end = self.now + limit
        while not until():
            if not self._events or self._events[0][0] > end:
                self.now = end
                return until()
            self.now, _, action, arguments = heappop(self._events)
            self.steps += 1
            if self.steps > self.most:
                raise TooLongError(f"{self.steps} events")
            action(*arguments)
            if self._failure is not None:
                raise self._failure
        return True

    # -- processes ----------------------------------------------------------------------------

    def crash(self, process: Process) -> None:
        """From now on nothing of this process runs; what it has sent may still be applied."""
        self.note("crashes", process=process.name)
        process.alive = False

    def pause(self, process: Process, seconds: float) -> None:
        """The process stands still, as one that is suspended."""
        self.note(f"stands still for {seconds:.2f} s", process=process.name)
        process.paused_until = max(process.paused_until, self.now + seconds)

    def close(self) -> None:
        """End what is left, so that no procedure is thrown away half done."""
        for task in self._tasks:
            if not task.done:
                # A procedure that awaits while it is being closed is of a process that is gone.
                with suppress(RuntimeError):
                    task.procedure.close()

    # -- tasks --------------------------------------------------------------------------------

    def spawn(
        self,
        process: Process,
        procedure: Procedure[Any],
        name: str,
        ended: Callable[[Task], None] | None = None,
        *,
        vital: bool = False,
    ) -> Task:
        """Let a process run a procedure."""
        task = Task(process, procedure, name, self.choices.of(f"{process.name}/{name}"))
        task.ended = ended
        task.vital = vital
        self._tasks.append(task)
        self.later(0, self._resumed, task, 0, None, None)
        return task

    def resume(self, task: Task, reply: Any, error: Exception | None, seconds: float) -> None:
        """Give a task the reply that it waits for, in a while."""
        self.later(seconds, self._resumed, task, task.turn, reply, error)

    def _resumed(self, task: Task, turn: int, reply: Any, error: Exception | None) -> None:
        process = task.process
        if not process.alive or task.done or task.turn != turn:
            return
        if process.paused_until > self.now:
            self.at(process.paused_until, self._resumed, task, turn, reply, error)
            return
        task.turn += 1
        self._go_on(task, reply, error)
        if process.rung:
            self._look_again(process)

    def _go_on(self, task: Task, reply: Any, error: BaseException | None) -> None:
        procedure = task.procedure
        while True:
            try:
                effect = procedure.throw(error) if error is not None else procedure.send(reply)
            except StopIteration as stop:
                self._end(task, stop.value, None)
                return
            except Exception as raised:  # noqa: BLE001  # whoever waits for the task gets it
                self._end(task, None, raised)
                return
            error = None
            if type(effect) is Now:
                reply = self.now * task.process.rate
            elif type(effect) is WallClock:
                reply = self.wall()
            elif type(effect) is Uniform:
                reply = task.choices.below(1 << 16) / (1 << 16)
            elif type(effect) is Changed and (effect.ready() or effect.seconds <= 0):
                reply = effect.ready()
            else:
                self._wait_for(task, effect)
                return

    def _wait_for(self, task: Task, effect: Effect[Any]) -> None:
        if type(effect) is Call:
            self._deliver(task, effect)
        elif type(effect) is Sleep:
            self.resume(task, None, None, max(effect.seconds, 0.0) / task.process.rate)
        elif type(effect) is Changed:
            task.process.waiting.append((task, effect, task.turn))
            self.later(effect.seconds / task.process.rate, self._waited, task, effect, task.turn)
        elif type(effect) is Both:
            self._both(task, effect)
        else:
            raise TypeError(f"unknown effect {type(effect).__name__}")

    def _end(self, task: Task, result: Any, error: Exception | None) -> None:
        task.done, task.result, task.error = True, result, error
        if task.vital:
            self._failure = error
        if task.ended is not None:
            task.ended(task)

    # -- waiting ------------------------------------------------------------------------------

    def _look_again(self, process: Process) -> None:
        process.rung = False
        still = []
        for waiting in process.waiting:
            task, effect, turn = waiting
            if task.turn != turn:
                continue
            if effect.ready():
                self.resume(task, True, None, 0.0001 * task.choices.below(3))
            else:
                still.append(waiting)
        process.waiting = still

    def _waited(self, task: Task, effect: Changed, turn: int) -> None:
        if task.turn == turn:
            self._resumed(task, turn, effect.ready(), None)

    def _both(self, task: Task, effect: Both) -> None:
        children: list[Task] = []

        def ended(_: Task) -> None:
            if all(child.done for child in children):
                error = next((child.error for child in children if child.error), None)
                self.resume(task, [child.result for child in children], error, 0.0)

        if not effect.procedures:
            self.resume(task, [], None, 0.0)
        for i, procedure in enumerate(effect.procedures):
            children.append(self.spawn(task.process, procedure, f"{task.name}.{i}", ended))
