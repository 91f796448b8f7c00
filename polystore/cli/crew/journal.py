"""The demo's own log of what each process was told, independent of polystore.

One file per process, one line per event, in JSON. A write is announced by a ``try`` line before it
is sent; its outcome is a ``done`` line that is on the disk before the process goes on. Marks, which
the application writes into its records, name states: each is written once in a lifetime.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from polystore.values import Key

Mark: TypeAlias = str
Place: TypeAlias = tuple[str, Key]


@attrs.frozen
class Touch:
    """What one operation saw or did to one record.

    Attributes:
        place: collection and key.
        saw: mark of the state that the operation found, or rested on; ``None`` for no record.
        left: mark of the state that a write left; ``None`` for no record, or for a read.
    """

    place: Place
    saw: Mark | None
    left: Mark | None = None


@attrs.define
class Entry:
    """One operation, as read back.

    ``acked`` is false for a write that was announced and has no outcome: it may have been applied.
    Moments are seconds of the machine's monotonic clock.
    """

    kind: str
    began: float
    ended: float | None
    touches: list[Touch]
    writes: bool
    acked: bool
    error: str | None = None
    wrong: str | None = None
    counted: list[Place] = attrs.field(factory=list)


class Journal:
    """Writes one process's file.

    Args:
        path: the file, new.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._number = 0

    def announce(self, kind: str, touches: list[Touch], counted: list[Place] | None = None) -> int:
        """A write is about to be sent; its number."""
        self._number += 1
        self._line("try", self._number, kind, time.monotonic(), touches, counted)
        return self._number

    def done(self, number: int, error: str | None = None) -> None:
        """The announced write has an outcome, which is on the disk when this returns."""
        self._line("done", number, error, time.monotonic())
        os.fdatasync(self._file.fileno())

    def read(
        self, kind: str, began: float, touches: list[Touch], *, error: str | None = None,
        wrong: str | None = None,
    ) -> None:  # fmt: skip
        """A read has ended; ``wrong`` says what it should not have seen."""
        self._line("read", kind, began, time.monotonic(), touches, error, wrong)

    def close(self) -> None:
        """Close the file; all that was told is in it."""
        self._file.close()

    def _line(self, *parts: Any) -> None:
        self._file.write(json.dumps(parts, default=_plain).encode() + b"\n")


def _plain(value: Touch) -> list[Any]:
    collection, key = value.place
    return [collection, list(key), value.saw, value.left]


class Reader:
    """Reads a growing file: each call of :meth:`lines` gives what has come since the last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def lines(self) -> Iterator[list[Any]]:
        """The complete lines that are new."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield json.loads(line)


def entries(path: Path) -> list[Entry]:
    """All operations of one file, in the order of their beginning."""
    found: list[Entry] = []
    open_writes: dict[int, Entry] = {}
    for line in Reader(path).lines():
        if line[0] == "try":
            _, number, kind, began, touches, counted = line
            entry = Entry(kind, began, None, _touches(touches), writes=True, acked=False)
            entry.counted = [(name, tuple(key)) for name, key in counted or []]
            open_writes[number] = entry
            found.append(entry)
        elif line[0] == "done":
            _, number, error, ended = line
            entry = open_writes[number]
            entry.ended, entry.error, entry.acked = ended, error, error is None
        else:
            _, kind, began, ended, touches, error, wrong = line
            found.append(
                Entry(
                    kind, began, ended, _touches(touches), writes=False, acked=error is None,
                    error=error, wrong=wrong,
                )
            )  # fmt: skip
    return found


def _touches(raw: list[Any]) -> list[Touch]:
    return [Touch((name, tuple(key)), saw, left) for name, key, saw, left in raw]
