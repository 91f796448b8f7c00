"""Comparing the two sides of one key. Pure."""

from __future__ import annotations

from polystore.driver import Stored
from polystore.migration.mirror import stamp_of
from polystore.migration.stages import Setting
from polystore.values import digest, same

MISSING, STALE, DIFFERENT, AHEAD, EXTRA, FOREIGN = (
    "missing",
    "stale",
    "different",
    "ahead",
    "extra",
    "foreign",
)
UNREADABLE = "unreadable"
"""Beside these: a record that its driver cannot make out."""

KINDS = (MISSING, STALE, DIFFERENT, AHEAD, EXTRA, FOREIGN)
"""Kinds of difference (PROTOCOL.md 10)."""


def kind_of(setting: Setting, home: Stored | None, mirror: Stored | None) -> str | None:
    """What differs between the home's record and the mirror's; ``None``: nothing.

    A record without a stamp of this run counts as stamped at the run's start, on either side.
    """
    if home is None:
        return None if mirror is None else EXTRA
    if mirror is None:
        return MISSING
    at_home, at_mirror = stamp_of(home, setting), stamp_of(mirror, setting)
    if at_home > at_mirror:
        return STALE
    unstamped = home.stamp is None or home.stamp < setting.floor()
    if at_home < at_mirror:
        return FOREIGN if unstamped else AHEAD
    if _same_state(home, mirror):
        return None
    return FOREIGN if unstamped and mirror.stamp is not None else DIFFERENT


def differs(setting: Setting, home: Stored | None, mirror: Stored | None) -> bool:
    """Whether anything differs; under live writes that is a hint, not yet a discrepancy."""
    return kind_of(setting, home, mirror) is not None


def summary(setting: Setting, stored: Stored) -> tuple[int, str]:
    """What a comparison of many records keeps of one: its stamp, and a digest of its state.

    Two records with equal summaries differ in nothing that :func:`kind_of` looks at.
    """
    state = digest({"w": stored.write_id, "f": stored.fields, "e": stored.expires})
    return (stamp_of(stored, setting), state)


def _same_state(one: Stored, other: Stored) -> bool:
    if (one.write_id, one.expires) != (other.write_id, other.expires):
        return False
    if one.fields is None or other.fields is None:
        return one.fields is other.fields
    return same(one.fields, other.fields)
