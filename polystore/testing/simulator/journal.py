"""The record of what clients asked for and were answered: the history that is judged."""

from __future__ import annotations

from collections.abc import Awaitable, Hashable
from typing import Any

from polystore.errors import Conflict, DriverError, OutcomeUnknown, PolystoreError
from polystore.records import Record
from polystore.testing.history import Operation
from polystore.testing.simulator.fleet import SimulatedFleet, SimulatedMember
from polystore.testing.simulator.trace import Kind

_READS = frozenset({"get", "both"})
_VALUES = frozenset({"put", "insert", "replace"})


class Journal:
    """The operations of one run, in the order in which they began.

    Args:
        fleet: what they are asked of.

    Attributes:
        history: all operations but those that surely did nothing.
        failed: those that ended with an error that is no refusal, with the error.
        written: values that were ever asked to be written, by key.
    """

    def __init__(self, fleet: SimulatedFleet) -> None:
        self.fleet = fleet
        self.history: list[Operation] = []
        self.failed: list[tuple[Operation, PolystoreError]] = []
        self.written: dict[Hashable, set[int]] = {}
        self._moment = 0

    def before(self, cell: Hashable, value: int) -> None:
        """A value that was there before the run."""
        self._moment += 1
        put = Operation("before", cell, "put", value, self._moment, self._moment, "done")
        self.history.append(put)
        self.written.setdefault(cell, set()).add(value)

    def begin(self, member: SimulatedMember, cell: Hashable, verb: str, argument: Any) -> Operation:
        """An operation is asked for."""
        self._moment += 1
        operation = Operation(member.name, cell, verb, argument, self._moment)
        self.history.append(operation)
        if verb in _VALUES:
            new = argument[1] if verb == "replace" else argument
            self.written.setdefault(cell, set()).add(new)
        if self.fleet.scheduler.trace is not None:
            said = "" if argument is None else f" {argument}"
            self._note(operation, "asked", f"asks {verb} {cell}{said}")
        return operation

    async def ended(self, operation: Operation, procedure: Awaitable[Any]) -> Any:
        """Wait for an operation and record its end; its result."""
        result = None
        try:
            result = await procedure
        except Conflict:
            operation.outcome = "refused"
        except (OutcomeUnknown, DriverError) as error:
            self.failed.append((operation, error))
            self.fleet.watch.happened["outcome unknown to the caller"] += 1
            self._note(operation, "answered", f"does not know: {operation}")
            if operation.verb in _READS:
                self.gone([operation])
            return None
        except PolystoreError as error:
            self.failed.append((operation, error))
            self._note(operation, "answered", f"failed: {operation}: {error}")
            self.gone([operation])
            return None
        else:
            operation.outcome = "done"
        self.returned(operation, result)
        return result

    def returned(self, operation: Operation, result: Any = None) -> None:
        """An operation has come to its end."""
        self._moment += 1
        operation.returned = self._moment
        if self.fleet.scheduler.trace is not None:
            told = result["v"] if isinstance(result, Record) else result
            found = told if operation.verb in _READS else operation.outcome
            asked = f"{operation.verb} {operation.cell}"
            self._note(operation, "answered", f"is answered {asked}: {found}")

    def gone(self, operations: list[Operation]) -> None:
        """Not applied, by the word of the library: as if it had never been asked."""
        for operation in operations:
            self.history.remove(operation)

    def _note(self, operation: Operation, kind: Kind, text: str) -> None:
        cell = operation.cell
        cells = frozenset([cell])
        if isinstance(cell, tuple) and cell[0] == "pair":  # both records of an owner
            cells |= {(cell[1],), (cell[1], 0)}
        self.fleet.scheduler.note(text, kind, operation.process, keys=cells)
