"""Stages, buckets and settings: pure."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.errors import IllegalEdge
from polystore.migration.stages import (
    BUCKETS,
    SOURCE,
    TARGET,
    Setting,
    Stage,
    affected,
    after,
    bucket_of,
    frozen_step,
    given_up,
    moved_at,
    next_stage,
    previous_stage,
    thawed,
)

LEGAL = {
    (Stage.SOURCE_ONLY, Stage.ARMED),
    (Stage.ARMED, Stage.SOURCE_ONLY),
    (Stage.ARMED, Stage.PREPARE),
    (Stage.PREPARE, Stage.ARMED),
    (Stage.PREPARE, Stage.DUAL_WRITE),
    (Stage.DUAL_WRITE, Stage.PREPARE),
    (Stage.DUAL_WRITE, Stage.DUAL_READ),
    (Stage.DUAL_READ, Stage.DUAL_WRITE),
    (Stage.DUAL_READ, Stage.TARGET_ONLY),
    (Stage.TARGET_ONLY, Stage.CLEAN),
    (Stage.CLEAN, Stage.DETACHED),
}


def setting(stage: Stage, moved: int = 0, **more: object) -> Setting:
    return attrs.evolve(Setting(run=3, epoch=7, stage=stage, moved=moved), **more)  # type: ignore[arg-type]


@pytest.mark.rule("STG-1")
@pytest.mark.parametrize("here", Stage)
@pytest.mark.parametrize("there", Stage)
def test_only_neighbours_are_reached(here: Stage, there: Stage) -> None:
    moved = BUCKETS if there is Stage.TARGET_ONLY else 0
    if (here, there) in LEGAL:
        new = after(setting(here, moved), there)
        assert (new.stage, new.epoch) == (there, 8)
    else:
        with pytest.raises(IllegalEdge):
            after(setting(here, moved), there)


@pytest.mark.rule("STG-1")
def test_nothing_leads_back_from_target_only() -> None:
    for stage in (Stage.TARGET_ONLY, Stage.CLEAN, Stage.DETACHED):
        with pytest.raises(IllegalEdge, match="nothing leads back"):
            previous_stage(stage)
    with pytest.raises(IllegalEdge, match="last stage"):
        next_stage(Stage.DETACHED)
    with pytest.raises(IllegalEdge, match="use start"):
        next_stage(Stage.SOURCE_ONLY)


@pytest.mark.rule("STG-2")
@pytest.mark.parametrize("moved", [1, 128, 255])
def test_dual_read_ends_at_0_and_at_100(moved: int) -> None:
    for stage in (Stage.DUAL_WRITE, Stage.TARGET_ONLY):
        with pytest.raises(IllegalEdge, match="needs the dial at"):
            after(setting(Stage.DUAL_READ, moved), stage)
    with pytest.raises(IllegalEdge):
        after(setting(Stage.DUAL_READ, BUCKETS), Stage.DUAL_WRITE)
    with pytest.raises(IllegalEdge):
        after(setting(Stage.DUAL_READ, 0), Stage.TARGET_ONLY)
    with pytest.raises(IllegalEdge, match="frozen"):
        after(setting(Stage.DUAL_READ, 0, frozen=(0, 16)), Stage.DUAL_WRITE)


@pytest.mark.rule("STG-6")
def test_a_run_ends_where_plain_writes_begin() -> None:
    assert after(setting(Stage.SOURCE_ONLY), Stage.ARMED).run == 4
    assert after(setting(Stage.ARMED), Stage.PREPARE).run == 3
    # Back in armed plain writes take stamps away, and what the target has would count as newer.
    assert after(setting(Stage.PREPARE), Stage.ARMED).run == 4


@pytest.mark.rule("BF-1")
def test_each_entry_into_dual_write_wants_a_copy_of_its_own() -> None:
    first = after(setting(Stage.PREPARE), Stage.DUAL_WRITE)
    again = after(after(first, Stage.PREPARE), Stage.DUAL_WRITE)
    assert (first.copied, again.copied) == (8, 10)
    assert after(first, Stage.DUAL_READ).copied == 8


@pytest.mark.rule("DIA-1")
@pytest.mark.parametrize(
    ("percent", "moved"), [(0, 0), (0.1, 1), (10, 26), (50, 128), (99.9, 256), (100, 256)]
)
def test_dial_counts_buckets_upwards(percent: float, moved: int) -> None:
    assert moved_at(percent) == moved
    at = setting(Stage.DUAL_READ, moved)
    assert [at.home(b) for b in range(BUCKETS)] == [TARGET] * moved + [SOURCE] * (BUCKETS - moved)


@pytest.mark.rule("DIA-1")
@pytest.mark.parametrize("percent", [-1, 100.1, float("nan")])
def test_dial_takes_0_to_100(percent: float) -> None:
    with pytest.raises(IllegalEdge):
        moved_at(percent)


@pytest.mark.rule("DIA-1")
def test_outside_of_dual_read_one_side_is_home_of_all() -> None:
    for stage in (Stage.SOURCE_ONLY, Stage.ARMED, Stage.PREPARE, Stage.DUAL_WRITE):
        assert setting(stage, 0).homes() == {SOURCE}
    for stage in (Stage.TARGET_ONLY, Stage.CLEAN, Stage.DETACHED):
        assert setting(stage, BUCKETS).homes() == {TARGET}
    assert setting(Stage.DUAL_READ, 7).homes() == {SOURCE, TARGET}


@given(st.integers(0, BUCKETS), st.integers(0, BUCKETS), st.integers(1, BUCKETS))
@pytest.mark.rule("DIA-1", "DIA-2", "DIA-3", "DIA-5")
def test_steps_reach_any_dial_and_each_can_be_given_up(here: int, goal: int, width: int) -> None:
    at = setting(Stage.DUAL_READ, here)
    while at.moved != goal:
        frozen = frozen_step(at, goal, width)
        assert frozen.frozen is not None
        lo, hi = frozen.frozen
        assert 0 < hi - lo <= width
        assert frozen.moved == at.moved, "homes move when all have acknowledged the freeze"
        assert affected(at, frozen) == (lo, hi)
        back = given_up(frozen)
        assert (back.moved, back.frozen, back.epoch) == (at.moved, None, at.epoch + 2)
        new = thawed(frozen, 7)
        assert {b for b in range(BUCKETS) if at.home(b) != new.home(b)} == set(range(lo, hi))
        assert abs(goal - new.moved) < abs(goal - at.moved)
        at = new


def test_steps_are_of_dual_read_and_one_at_a_time() -> None:
    with pytest.raises(IllegalEdge):
        frozen_step(setting(Stage.DUAL_WRITE), 10, 16)
    with pytest.raises(IllegalEdge):
        frozen_step(setting(Stage.DUAL_READ, frozen=(0, 16)), 10, 16)
    with pytest.raises(IllegalEdge):
        thawed(setting(Stage.DUAL_READ), 7)


@pytest.mark.rule("EPO-4")
def test_a_change_concerns_all_buckets_whose_treatment_changes() -> None:
    read = setting(Stage.DUAL_READ, 32)
    assert affected(read, after(attrs.evolve(read, moved=0), Stage.DUAL_WRITE)) == (0, BUCKETS)
    frozen = frozen_step(read, 64, 16)
    # Who missed the freeze stops what has moved behind it.
    assert affected(read, thawed(frozen, 7)) == (32, 48)
    assert affected(frozen, given_up(frozen)) == (32, 48)
    assert affected(read, given_up(frozen)) is None
    assert affected(read, attrs.evolve(read, run=4)) == (0, BUCKETS)


@given(
    st.builds(
        Setting,
        run=st.integers(0, 9),
        epoch=st.integers(0, 99),
        stage=st.sampled_from(Stage),
        moved=st.integers(0, BUCKETS),
        frozen=st.none() | st.integers(0, 255).map(lambda n: (n, n + 1)),
        barrier=st.integers(0, 9),
        shadow=st.integers(0, 100),
        observe=st.booleans(),
        copied=st.integers(0, 9),
        turned=st.integers(0, 9),
        verified=st.integers(0, 9),
    )
)
def test_settings_come_back_from_their_record(one: Setting) -> None:
    assert Setting.from_fields(one.to_fields()) == one


@given(st.text(max_size=5), st.integers(-(2**63), 2**63 - 1))
@pytest.mark.rule("KEY-6")
def test_bucket_is_of_the_colocation_key(owner: str, item: int) -> None:
    assert bucket_of((owner, item), 1) == bucket_of((owner,), 1) == bucket_of((owner,), None)
    assert 0 <= bucket_of((owner, item), None) < BUCKETS


@pytest.mark.rule("KEY-6")
def test_buckets_are_the_same_in_every_release() -> None:
    assert [bucket_of(("ann", i), None) for i in range(4)] == [77, 12, 207, 142]
