"""What polystore keeps beside a record's fields, and how a condition is decided on a record.

For authors of drivers whose database decides nothing by itself, but lets a record be read and
written with nobody in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from polystore.driver.contract import (
    Anything,
    Check,
    Condition,
    Nothing,
    Refused,
    Rejected,
    Stored,
    Token,
    Unchanged,
    Write,
)

WRITE_ID = "_ps_w"
"""Name of the write id: text, different in every write."""

STAMP = "_ps_v"
"""Name of the stamp: an int, strictly increasing per key at the home."""

EXPIRES = "_ps_exp"
"""Name of the expiry: an int, microseconds since 1970."""

TOMBSTONE = "_ps_del"
"""Name of the mark of a tombstone; what it holds says nothing."""

PACKED = "_ps_z"
"""Name of the field of a compressed record that holds its other fields. It reaches a driver among
the fields, as bytes, and is stored and returned like any of them; no application can name it."""


class State(Protocol):
    """What conditions look at: ``Stored`` is one, a driver's own row may be another."""

    @property
    def token(self) -> Token: ...

    @property
    def stamp(self) -> int | None: ...


def holds(condition: Condition, current: State | None) -> bool:
    """Whether ``condition`` is true of what is there; ``None`` stands for nothing."""
    if isinstance(condition, Anything):
        return True
    if isinstance(condition, Nothing):
        return current is None
    if isinstance(condition, Unchanged):
        return current is not None and bool(current.token == condition.token)
    return current is None or current.stamp is None or current.stamp < condition.stamp


def refusals(
    parts: Sequence[Write | Check], current: Callable[[Write | Check], Stored | None]
) -> Rejected | None:
    """What refuses a commit, or ``None`` where every condition holds.

    Args:
        parts: the writes of the commit, and then its checks.
        current: reads the record that a write or check is about, with nobody in between.
    """
    answers: list[Refused | None] = []
    for part in parts:
        if isinstance(part.condition, Anything):
            answers.append(None)
            continue
        found = current(part)
        answers.append(None if holds(part.condition, found) else Refused(True, found))
    return Rejected(tuple(answers)) if any(answers) else None
