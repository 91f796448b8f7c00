"""Whether a history of concurrent operations could have happened one after another.

The search is the one of Wing and Gong with Lowe's memo of what was tried. An operation without an
answer may have taken effect at any moment after it began, or never.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeAlias

import attrs

State: TypeAlias = Hashable
Model: TypeAlias = Callable[[State, "Operation"], tuple[Any, State]]
"""What an operation answers, and the state after it, if it takes effect in a state."""

MOST_STATES = 300_000
"""States looked at for one cell before the search is given up, which is an error, not a pass."""


class NotLinearizable(AssertionError):
    """A history that no order of its operations explains; the message shows it."""


class TooHard(AssertionError):
    """The search took too long: nothing is known."""


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
            amount = operation.argument
            return "done", ((one or 0) - amount, (other or 0) + amount)
        case "clear":
            return "done", (None, None)
    raise ValueError(operation.verb)


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

    Raises:
        TooHard: more than :data:`MOST_STATES` states were looked at.
    """
    operations = sorted(history, key=lambda operation: operation.invoked)
    closed = sum(1 << i for i, operation in enumerate(operations) if not operation.open)
    seen: set[tuple[int, State]] = set()
    stack: list[tuple[int, State]] = [(0, initial)]
    while stack:
        at = stack.pop()
        if at in seen:
            continue
        seen.add(at)
        if len(seen) > MOST_STATES:
            raise TooHard(f"{operations[0].cell!r}: {len(operations)} operations")
        done, state = at
        if done & closed == closed:
            return True
        stack += _nexts(operations, model, done, state)
    return False


def _nexts(
    operations: Sequence[Operation], model: Model, done: int, state: State
) -> list[tuple[int, State]]:
    """What may come next: the most likely last, where the search looks first."""
    first_return = math.inf
    possible: list[tuple[float, int]] = []
    i = (~done & (done + 1)).bit_length() - 1
    while i < len(operations):
        operation = operations[i]
        if operation.invoked > first_return:
            break
        if not done >> i & 1:
            first_return = min(first_return, operation.returned)
            possible.append((operation.returned, i))
        i += 1
    found = []
    for _, i in sorted(possible, reverse=True):
        operation = operations[i]
        if operation.invoked > first_return:
            continue
        outcome, after = model(state, operation)
        if operation.open or outcome == operation.outcome:
            found.append((done | 1 << i, after))
    return found
