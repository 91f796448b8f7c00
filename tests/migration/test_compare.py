"""Comparing both sides of a key, and what counts as newer: pure."""

from __future__ import annotations

from typing import Any

import pytest

from polystore.driver import NOTHING, OlderThan, Refused, Stored
from polystore.migration.compare import kind_of
from polystore.migration.mirror import mirror_write, settled, stamp_of
from polystore.migration.stages import Setting, Stage
from polystore.testing.simulator import ITEMS

AT = Setting(run=2, epoch=9, stage=Stage.DUAL_READ)
FLOOR = 2 << 40
OLD = (1 << 40) + 5


def record(stamp: int | None, value: int | None = 1, write_id: str | None = "w") -> Stored:
    fields: Any = None if value is None else {"owner": "ann", "item": 1, "v": value}
    return Stored(("ann", 1), fields, object(), write_id, stamp)


@pytest.mark.rule("VER-1", "VER-4")
@pytest.mark.parametrize(
    ("home", "mirror", "kind"),
    [
        (None, None, None),
        (record(FLOOR + 1), None, "missing"),
        (record(None), None, "missing"),
        (None, record(FLOOR + 1), "extra"),
        (record(FLOOR + 2), record(FLOOR + 1), "stale"),
        (record(FLOOR + 1), record(FLOOR + 2), "ahead"),
        (record(FLOOR + 1, 1), record(FLOOR + 1, 2), "different"),
        (record(FLOOR + 1, write_id="a"), record(FLOOR + 1, write_id="b"), "different"),
        (record(FLOOR + 1, None), record(FLOOR + 1, None), None),
        (record(FLOOR + 1, None), record(FLOOR + 1), "different"),
        # A record that has no stamp, or one of an older run, is at the run's start.
        (record(None), record(FLOOR), None),
        (record(OLD), record(FLOOR), None),
        (record(None), record(None), None),
        (record(None, 2), record(FLOOR, 1), "foreign"),
        (record(None), record(FLOOR + 3), "foreign"),
        (record(FLOOR + 1), record(None), "stale"),
    ],
)
def test_each_difference_has_its_kind(home: Any, mirror: Any, kind: str | None) -> None:
    assert kind_of(AT, home, mirror) == kind


@pytest.mark.rule("VER-11")
@pytest.mark.parametrize(
    ("home", "mirror", "kind"),
    [
        (None, record(None), "foreign"),
        (record(FLOOR + 1), record(None), "foreign"),
        (record(None, 2), record(None), "foreign"),
        (record(None), record(None), None),
        (record(None), None, "missing"),
        (None, record(FLOOR + 1), "extra"),
        (record(FLOOR + 2), record(FLOOR + 1), "stale"),
    ],
)
def test_no_run_leaves_a_record_of_the_target_without_a_stamp(
    home: Any, mirror: Any, kind: str | None
) -> None:
    assert kind_of(AT, home, mirror, at_target=True) == kind


@pytest.mark.rule("WR-4")
def test_stamps_of_older_runs_count_as_none() -> None:
    assert [stamp_of(record(s), AT) for s in (None, OLD, FLOOR, FLOOR + 1)] == [
        FLOOR, FLOOR, FLOOR, FLOOR + 1,
    ]  # fmt: skip


@pytest.mark.rule("BF-2", "MIR-1")
def test_a_copy_from_before_needs_nothing_there_and_any_other_something_older() -> None:
    assert mirror_write(ITEMS, record(None), AT, copying=True).condition is NOTHING
    assert mirror_write(ITEMS, record(OLD), AT, copying=True).stamp == FLOOR
    for copying in (True, False):
        write = mirror_write(ITEMS, record(FLOOR + 7), AT, copying=copying)
        assert write.condition == OlderThan(FLOOR + 7)
    assert mirror_write(ITEMS, record(None), AT).condition == OlderThan(FLOOR)


@pytest.mark.rule("MIR-2")
def test_a_refusal_is_a_success_only_if_the_stamp_that_refused_is_large_enough() -> None:
    write = mirror_write(ITEMS, record(FLOOR + 3), AT)
    assert settled(write, Refused(told=True, current=record(FLOOR + 3)))
    assert settled(write, Refused(told=True, current=record(FLOOR + 9)))
    assert not settled(write, Refused(told=True, current=record(FLOOR + 2)))
    assert not settled(write, Refused(told=True, current=record(None)))
    assert not settled(write, Refused(told=True, current=None))
