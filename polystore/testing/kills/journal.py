"""What each client was told: one file per process, a line per event, read back as a history.

An operation is announced before it is sent and its answer is on the disk before the client goes on.
Moments are nanoseconds of the machine's monotonic clock, which all its processes share.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import attrs

from polystore.testing.history import Operation

GONE = "gone"
"""Outcome of an operation that surely had no effect, by the word of the library."""


class Journal:
    """Writes one process's file; its clients share it.

    Args:
        path: the file.
        name: of the process.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._file = path.open("ab", buffering=0)
        self._name = name
        self._lock = threading.Lock()
        self._number = 0

    def asked(self, cell: Hashable, verb: str, argument: Any) -> int:
        """An operation is about to be sent; its number."""
        with self._lock:
            self._number += 1
            number = self._number
        self._line("ask", number, self._name, cell, verb, argument)
        return number

    def read(self, number: int, found: Any) -> None:
        """What it is going to rely on; it cannot take effect in any other state."""
        self._line("read", number, found)

    def answered(self, number: int, outcome: Any, error: str | None = None) -> None:
        """Its answer, on the disk when this returns. None is written where nobody knows."""
        self._line("end", number, outcome, error)
        os.fdatasync(self._file.fileno())

    def unknown(self, number: int, error: str) -> None:
        """Nobody knows, or ever will."""
        self._line("open", number, error)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _line(self, *parts: Any) -> None:
        with self._lock:
            line = json.dumps([time.monotonic_ns(), *parts]).encode() + b"\n"
            self._file.write(line)


@attrs.define
class Told:
    """All that the clients of a run were told.

    Attributes:
        history: operations; those that surely had no effect are not in it.
        errors: how many ended with an error that is no refusal, by its code.
        slow: seconds that each answered operation took, with the moment of its end.
    """

    history: list[Operation] = attrs.field(factory=list)
    errors: Counter[str] = attrs.field(factory=Counter)

    def add(self, path: Path) -> None:
        """Read one file; a last line that was cut by a kill is passed over."""
        asked: dict[int, Operation] = {}
        for raw in path.read_bytes().splitlines(keepends=True):
            if not raw.endswith(b"\n"):
                break
            moment, event, number, *rest = json.loads(raw)
            if event == "ask":
                name, cell, verb, argument = rest
                asked[number] = Operation(name, _plain(cell), verb, _plain(argument), moment)
                continue
            operation = asked[number]
            if event == "read":
                operation.argument = (*operation.argument, _plain(rest[0]))
                continue
            if event == "open":
                self.errors[rest[0]] += 1
            else:
                outcome, error = rest
                operation.returned, operation.outcome = moment, _plain(outcome)
                if error is not None:
                    self.errors[error] += 1
            if operation.outcome == GONE or (operation.open and operation.verb in READS):
                del asked[number]
        self.history += (o for o in asked.values() if not (o.open and o.verb in READS))


READS = frozenset({"get", "both"})


def _plain(value: Any) -> Any:
    """Lists of JSON are tuples here."""
    return tuple(map(_plain, value)) if isinstance(value, list) else value
