"""State machines whose runs are traces: Hypothesis draws a step, and it can be taken again without.

The machine's methods are the only interpreter of its steps: a run of the suite, the program that
tells of a failure, and ``polystore replay`` go through the same code.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import attrs
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from polystore.errors import ConfigError
from polystore.testing.traces import Step, Trace

STEP = "_polystore_step"


def step(**drawn: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule of a machine: a step that it may take at any time, with arguments that are drawn."""
    return lambda function: rule(**drawn)(_recorded(function))  # type: ignore[no-untyped-call]


def first_step(**drawn: Any) -> Callable[[Callable[..., None]], Any]:
    """The step with which a machine begins."""
    return lambda function: initialize(**drawn)(_recorded(function))  # type: ignore[no-untyped-call]


def _recorded(function: Callable[..., None]) -> Callable[..., None]:
    @wraps(function)
    def taken(machine: TracedMachine, **arguments: Any) -> None:
        step = Step(function.__name__, arguments)
        machine.steps.append(step)
        with machine.breaking():
            try:
                function(machine, **arguments)
            finally:
                machine.took(step)

    setattr(taken, STEP, True)
    return taken


@attrs.define
class Broken:
    """The last run that broke a promise: the shortest, once Hypothesis has done its work.

    Attributes:
        trace: its steps; ``None`` as long as there is no such run.
        program: the same for people, in the words of the public API.
    """

    trace: Trace | None = None
    program: str = ""


class TracedMachine(RuleBasedStateMachine):
    """A machine that remembers its steps, and tells them as a program.

    Args:
        drivers: names of what it runs on.
        place: where it begins, for a pair.
        head: how its programs begin, up to a block.
        broken: gets the run if it breaks a promise.
    """

    def __init__(
        self, drivers: tuple[str, ...], place: str | None, head: str, broken: Broken
    ) -> None:
        super().__init__()
        self.drivers = drivers
        self.place = place
        self.head = head
        self.steps: list[Step] = []
        self.program: list[str] = []
        self.failed = False
        self._broken = broken

    @contextmanager
    def breaking(self) -> Iterator[None]:
        """Whatever is raised in here breaks a promise: the run is kept."""
        try:
            yield
        except Exception:
            self.failed = True
            self._broken.trace = Trace(self.drivers, self.place, tuple(self.steps))
            self._broken.program = self.told()
            raise

    def teardown(self) -> None:
        """The end of a run: what must hold then is looked at, unless something was broken."""
        try:
            if not self.failed:
                with self.breaking():
                    self.rest()
        finally:
            self.leave()

    def took(self, step: Step) -> None:
        """A step has ended, well or not."""

    def rest(self) -> None:
        """Look at what must hold at the end of a run."""

    def leave(self) -> None:
        """Give back what the run has used."""

    def told(self) -> str:
        """The run as a program."""
        return self.head + "".join(f"    {line}\n" for line in self.program)


def replayed(machine: TracedMachine, trace: Trace) -> Iterator[list[str]]:
    """Take the steps of a trace, and look at the end; after each the lines of its program.

    Raises:
        ConfigError: the machine has no such step.
        Exception: what a step raised: a promise is broken.
    """
    told = 0
    for one in trace.steps:
        method = getattr(type(machine), one.name, None)
        if not hasattr(method, STEP):
            machine.leave()
            raise ConfigError(f"the trace has a step {one.name!r}, which its machine does not know")
    try:
        for one in trace.steps:
            getattr(machine, one.name)(**one.arguments)
            yield machine.program[told:]
            told = len(machine.program)
    finally:
        machine.teardown()
    yield machine.program[told:]


@contextmanager
def shown(broken: Broken, folder: str | None) -> Iterator[None]:
    """Add the shortest program, and the file of its trace, to what a failing machine raises.

    Args:
        broken: what the machines were given.
        folder: of the file; the system's for temporary files where there is none.
    """
    try:
        yield
    except Exception as error:
        if broken.trace is not None:
            path = written(broken.trace, folder)
            error.add_note(
                f"the shortest program that shows it:\n\n{broken.program}\n"
                f"again, or on other drivers: polystore replay {path}"
            )
        raise


def written(trace: Trace, folder: str | None) -> Path:
    """Write a trace to a file that was not there."""
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    prefix = "-".join(["polystore", *(name.partition("?")[0] for name in trace.drivers), ""])
    number, name = tempfile.mkstemp(".trace.json", prefix, folder)
    with os.fdopen(number, "w") as file:
        file.write(trace.text())
    return Path(name)
