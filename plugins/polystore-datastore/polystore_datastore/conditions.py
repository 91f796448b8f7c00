"""``OlderThan``, which Datastore does not know: a look decides, the version holds. No I/O."""

from __future__ import annotations

from polystore.driver import NOTHING, Condition, OlderThan, Refused, Stored, Unchanged
from polystore.driver.bookkeeping import holds


def settled(condition: Condition, current: Stored | None) -> Condition | Refused:
    """A condition that Datastore can hold, or the refusal, where this record is what is there."""
    if not isinstance(condition, OlderThan):
        return condition
    if not holds(condition, current):
        return Refused(told=True, current=current)
    return NOTHING if current is None else Unchanged(current.token)
