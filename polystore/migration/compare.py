"""Comparing the two sides of one key. Pure."""

from __future__ import annotations

from polystore.comparing import EXACT, Compare
from polystore.driver import Stored
from polystore.driver.bookkeeping import EXPIRES
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

MOST_PATHS = 20
"""Paths that one difference tells, at most."""

KINDS = (MISSING, STALE, DIFFERENT, AHEAD, EXTRA, FOREIGN)
"""Kinds of difference (PROTOCOL.md 10)."""


def kind_of(
    setting: Setting,
    home: Stored | None,
    mirror: Stored | None,
    compare: Compare = EXACT,
    *,
    at_target: bool = False,
) -> str | None:
    """What differs between the home's record and the mirror's; ``None``: nothing.

    A record without a stamp of this run counts as stamped at the run's start, on either side.

    Args:
        compare: what of their fields is looked at.
        at_target: whether the mirror is the target, where no run leaves a record without a stamp.
    """
    kind = _kind(setting, home, mirror, compare)
    if kind is not None and at_target and mirror is not None and mirror.stamp is None:
        return FOREIGN
    return kind


def _kind(
    setting: Setting, home: Stored | None, mirror: Stored | None, compare: Compare
) -> str | None:
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
    if _same_state(home, mirror, compare):
        return None
    return FOREIGN if unstamped and mirror.stamp is not None else DIFFERENT


def differs(
    setting: Setting, home: Stored | None, mirror: Stored | None, compare: Compare = EXACT
) -> bool:
    """Whether anything differs; under live writes that is a hint, not yet a discrepancy."""
    return kind_of(setting, home, mirror, compare) is not None


def paths(home: Stored | None, mirror: Stored | None, compare: Compare = EXACT) -> tuple[str, ...]:
    """At which fields two records differ, never what they hold; empty unless both are records."""
    if home is None or mirror is None or home.fields is None or mirror.fields is None:
        return ()
    found = compare.differing(home.fields, mirror.fields)
    if home.expires != mirror.expires:
        found.append(EXPIRES)
    return tuple(sorted(found)[:MOST_PATHS])


def summary(setting: Setting, stored: Stored, compare: Compare = EXACT) -> tuple[int, str]:
    """What a comparison of many records keeps of one: its stamp, and a digest of its state.

    Two records with equal summaries differ in nothing that :func:`kind_of` looks at.
    """
    fields = None if stored.fields is None else compare.seen(stored.fields)
    state = digest({"w": stored.write_id, "f": fields, "e": stored.expires})
    return (stamp_of(stored, setting), state)


def _same_state(one: Stored, other: Stored, compare: Compare) -> bool:
    if (one.write_id, one.expires) != (other.write_id, other.expires):
        return False
    if one.fields is None or other.fields is None:
        return one.fields is other.fields
    return same(compare.seen(one.fields), compare.seen(other.fields))
