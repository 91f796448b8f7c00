"""Whether a history of concurrent operations could have happened one after another.

The search is the one of Wing and Gong with Lowe's memo of what was tried. An operation without an
answer may have taken effect at any moment after it began, or never.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import attrs

State: TypeAlias = Hashable
Model: TypeAlias = Callable[[State, "Operation"], tuple[Any, State]]
"""What an operation answers, and the state after it, if it takes effect in a state."""

DONE = "done"
"""The answer of an operation that may have changed something; any other tells of none."""

MOST_STATES = 300_000
"""States looked at for one cell before the search is given up, which is an error, not a pass."""


class NotLinearizable(AssertionError):
    """A history that no order of its operations explains; the message shows it."""


class TooHard(Exception):
    """The search took too long: nothing is known. Not an answer, so no failed assertion."""


@attrs.define(eq=False)
class Operation:
    """One operation on one cell: a key, or keys that are written together.

    Attributes:
        process: who asked.
        cell: what it is about.
        verb, argument: what was asked.
        invoked, returned: numbers of moments; ``returned`` is infinite without an answer.
        outcome: the answer, where there was one.
    """

    process: str
    cell: Hashable
    verb: str
    argument: Any
    invoked: int
    returned: float = math.inf
    outcome: Any = None

    @property
    def open(self) -> bool:
        """Whether it has no answer."""
        return self.returned == math.inf

    def __str__(self) -> str:
        answer = "…" if self.open else f"{self.returned:.0f} {self.outcome!r}"
        return f"{self.process}: {self.verb} {self.argument!r} [{self.invoked} – {answer}]"


def register(state: State, operation: Operation) -> tuple[Any, State]:
    """A register: one value, or ``None`` where there is no record."""
    value: Any = state
    verb, argument = operation.verb, operation.argument
    match verb:
        case "get":
            return value, value
        case "put":
            return "done", argument
        case "delete":
            return "done", None
        case "insert":
            return ("refused", value) if value is not None else ("done", argument)
        case "replace":  # argument: what it must hold, and what it shall hold
            return ("done", argument[1]) if value == argument[0] else ("refused", value)
        case "add":
            return ("refused", value) if value is None else ("done", value + argument)
        case "remove":
            return ("done", None) if value == argument else ("refused", value)
    raise ValueError(verb)


def pair(state: State, operation: Operation) -> tuple[Any, State]:
    """Two registers that are changed together; their sum stays what it is."""
    held: Any = (None, None) if state is None else state
    one, other = held
    match operation.verb:
        case "both":
            return (one, other), (one, other)
        case "first":
            return one, (one, other)
        case "second":
            return other, (one, other)
        case "move":
            return DONE, _moved(one, other, operation.argument)
        case "transfer":  # argument: the amount, and what its attempts read before they committed
            amount, *read = operation.argument
            return (DONE, _moved(one, other, amount)) if (one, other) in read else ("stale", state)
        case "clear":
            return "done", (None, None)
    raise ValueError(operation.verb)


def _moved(one: Any, other: Any, amount: int) -> State:
    return (one or 0) - amount, (other or 0) + amount


def check(
    operations: Iterable[Operation], model: Callable[[Hashable], Model] = lambda _: register
) -> int:
    """Check a history, cell by cell; the number of operations that it had.

    Args:
        operations: of any number of cells.
        model: the model of a cell.

    Raises:
        NotLinearizable: of a cell; the message lists its operations.
        TooHard: a search took too long.
    """
    cells: defaultdict[Hashable, list[Operation]] = defaultdict(list)
    for operation in operations:
        cells[operation.cell].append(operation)
    for cell, history in cells.items():
        if not linearizable(history, model(cell)):
            lines = "\n  ".join(map(str, sorted(history, key=lambda o: o.invoked)))
            raise NotLinearizable(f"no order explains {cell!r}:\n  {lines}")
    return sum(map(len, cells.values()))


def linearizable(history: Sequence[Operation], model: Model, initial: State = None) -> bool:
    """Whether some order of these operations of one cell explains their answers.

    What is tried is told by a window: the first operation that has no place yet, and those after
    it that have one. So a history may have many thousands of operations, as long as few overlap.

    Raises:
        TooHard: more than :data:`MOST_STATES` states were looked at.
    """
    search = _Search(history, model)
    seen: set[_Point] = set()
    stack = [_Point(0, 0, 0, initial)]
    while stack:
        at = stack.pop()
        if at in seen:
            continue
        seen.add(at)
        if len(seen) > MOST_STATES:
            raise TooHard(f"{history[0].cell!r}: {len(history)} operations")
        if at.first == len(search.closed):
            return True
        stack += search.nexts(at)
    return False


class _Point(NamedTuple):
    """How far an order has come.

    ``first`` is the first answered operation without a place, ``ahead`` are those after it that
    have one, as bits from it on, and ``open`` those without an answer that took effect.
    """

    first: int
    ahead: int
    open: int
    state: State


class _Search:
    """The operations of one cell, and what may come next in an order of them."""

    def __init__(self, history: Sequence[Operation], model: Model) -> None:
        ordered = sorted(history, key=lambda operation: operation.invoked)
        self.closed = [operation for operation in ordered if not operation.open]
        self._open = [operation for operation in ordered if operation.open]
        self._model = model

    def nexts(self, at: _Point) -> list[_Point]:
        """What may come next: the most likely last, where the search looks first."""
        possible, until = self._possible(at)
        found = []
        for i in sorted(possible, key=lambda i: self.closed[i].returned, reverse=True):
            outcome, after = self._model(at.state, self.closed[i])
            if outcome != self.closed[i].outcome:
                continue
            point = self._placed(at, i, after)
            if outcome != DONE:  # a read or a refusal, which changes nothing in any state
                return [point]
            found.append(point)
        return [*self._late(at, possible, until), *found]

    def _possible(self, at: _Point) -> tuple[list[int], float]:
        """Answered operations that may come next, and when the first of them was answered."""
        until = math.inf
        possible: list[int] = []
        for i in range(at.first, len(self.closed)):
            if self.closed[i].invoked > until:
                break
            if not at.ahead >> (i - at.first) & 1:
                until = min(until, self.closed[i].returned)
                possible.append(i)
        return [i for i in possible if self.closed[i].invoked <= until], until

    def _placed(self, at: _Point, i: int, state: State) -> _Point:
        first, ahead = at.first, at.ahead | 1 << (i - at.first)
        while ahead & 1:
            first, ahead = first + 1, ahead >> 1
        return _Point(first, ahead, at.open, state)

    def _late(self, at: _Point, possible: list[int], until: float) -> list[_Point]:
        """Operations without an answer, taking effect now: first (last) those that explain one."""
        likely: list[_Point] = []
        others: list[_Point] = []
        for i, operation in enumerate(self._open):
            if operation.invoked > until:
                break
            if at.open >> i & 1:
                continue
            _, after = self._model(at.state, operation)
            if after == at.state:
                continue
            point = at._replace(open=at.open | 1 << i, state=after)
            explains = any(
                self._model(after, self.closed[k])[0] == self.closed[k].outcome for k in possible
            )
            (likely if explains else others).append(point)
        return others + likely
