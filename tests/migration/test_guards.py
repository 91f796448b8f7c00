"""Each guard of the protocol is needed: without it the simulator finds a broken promise.

A guard that can go without anybody noticing is either useless or not tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import attrs
import pytest

from polystore.driver import ANYTHING, Written
from polystore.driver.side import Side, read_one
from polystore.effects import Sleep
from polystore.errors import IllegalEdge, PolystoreError
from polystore.migration import (
    acknowledging,
    backfill,
    backlog,
    canary,
    epochs,
    fleet,
    home,
    keeper,
    latch,
    movement,
    recovery,
    repair,
    session,
    sharing,
    spill,
    stages,
    upkeep,
)
from polystore.migration.mirror import mirror_write
from polystore.migration.slots import Pool, Slot, Target
from polystore.migration.stages import Setting, Stage
from polystore.schema import Collection
from polystore.testing.simulator import Choices, Trial
from polystore.values import Key
from tests.migration import (
    test_abort,
    test_backfill,
    test_canary,
    test_dial,
    test_members,
    test_movement,
    test_recovery,
    test_sharing,
    test_spill,
    test_unknown,
    test_verify,
)
from tests.migration.guards import (
    BUSY,
    COPY,
    GUARDS,
    PLAIN,
    SPARSE,
    Removal,
    always,
    attempt_of,
    broken,
    closes_only,
    none_of_them,
    nothing,
    only_read,
    released_anyhow,
    zero,
)
from tests.migration.scene import Scene

MOST_SEEDS = 60
"""Seeds that are tried for one guard before it counts as useless; the figure tries 500."""


@pytest.mark.parametrize("name", GUARDS)
def test_without_a_guard_a_promise_is_broken(name: str) -> None:
    found = broken(GUARDS[name], dict.fromkeys((GUARDS[name].seed, *range(MOST_SEEDS))))
    assert found is not None, f"{MOST_SEEDS} seeds did not miss the guard"
    seed, what = found
    print(f"{name}: seed {seed}: {what[:200]}")  # noqa: T201  # which seed to put into the table
    Trial(Choices.seeded(seed), GUARDS[name].plan).run()  # with the guard it is clean


def test_the_same_trials_with_all_guards_are_clean() -> None:
    for plan in (BUSY, SPARSE, COPY, PLAIN):
        Trial(Choices.seeded(1), plan).run()


async def _frees_first(self: spill.Spilling, incarnation: Any, home: Any, *_: Any) -> None:
    """The slots are freed, and what they owe is named afterwards, or never."""


_covers = backlog.Backlog.covers


def _covered_while_read(self: backlog.Backlog, target: Target, bucket: int) -> bool:
    return _covers(self, target, bucket) or any(target in r.keys for r in self.records)


def _copied_once(self: backlog.Backlog, target: Target, bucket: int) -> bool:
    return _covers(attrs.evolve(self, copying=None), target, bucket)


async def _blind(
    home: Side, mirror: Side, collection: Collection, key: Key, setting: Setting
) -> bool:
    """The mirror gets what the home has, whatever it holds."""
    stored = await read_one(home, collection, key)
    if stored is None:
        return False
    write = mirror_write(collection, stored, setting)
    write.condition = ANYTHING
    return isinstance(await mirror.write(write), Written)


def back_from_target_only() -> None:
    """Nothing leads back; or else what was written since would be lost."""
    with Scene(Stage.TARGET_ONLY) as scene:
        scene.put(scene.members[0], ("ann", 1))
        with suppress(IllegalEdge):
            scene.operator.back()
        scene.rest()


def ahead_is_repaired() -> None:
    """What the mirror has over the home is outdone by a touch of the home."""
    test_verify.test_each_planted_difference_is_found_and_repaired_from_the_home("ahead", 0)


DIRECTED: dict[str, tuple[Callable[[], Sequence[Removal]], Callable[[], None]]] = {
    "owner of a row": (
        lambda: [(movement.Movement, "release", released_anyhow)],
        test_movement.test_a_row_that_was_taken_over_is_not_given_back_by_who_had_it,
    ),
    "lease of a row": (
        lambda: [(movement, "live", lambda *_: True)],
        test_movement.test_who_stood_still_past_the_lease_of_its_row_writes_nothing,
    ),
    "joining looks again": (
        lambda: [(session.Session, "_catch_up", nothing)],
        test_members.test_who_joins_with_an_old_look_at_control_does_not_serve_under_it,
    ),
    "acknowledging is final": (
        lambda: [(acknowledging.Acknowledging, "acknowledge", _serves_again)],
        test_dial.test_an_acknowledgement_without_an_answer_counts,
    ),
    "lease of reads": (
        lambda: [(session.Session, "live", always)],
        test_members.test_an_answer_that_comes_after_the_lease_ran_out_is_dropped_and_read_again,
    ),
    "recovery waits for the lease": (
        lambda: [(recovery, "_hold", lambda *_: 0.0), (fleet.Fleet, "_burial", lambda _: 0.0)],
        test_members.test_who_was_shut_out_and_does_not_know_reads_until_its_lease_ends_and_no_longer,
    ),
    "lease of plain writes": (
        lambda: [(session.Session, "live", always)],
        test_members.test_in_armed_a_process_that_stood_still_writes_and_refuses_nothing_before_it_rejoined,
    ),
    "idle looks after standing still": (
        lambda: [(session.Session, "_awake", always)],
        test_members.test_idle_a_process_that_stood_still_through_a_start_finds_out_before_it_writes,
    ),
    "slots closed on the source": (
        lambda: [(recovery, "_close_slot", closes_only("target"))],
        lambda: test_recovery.test_a_call_of_the_dead_that_lands_after_its_recovery_is_refused(0),
    ),
    "slots closed on the target": (
        lambda: [(recovery, "_close_slot", closes_only("source"))],
        lambda: test_recovery.test_a_call_of_the_dead_that_lands_after_its_recovery_is_refused(100),
    ),
    "fence against zombies": (
        lambda: [(Slot, "attempt", attempt_of(lambda t: t, fenced=False))],
        lambda: (
            test_recovery.test_a_zombie_wakes_after_the_flip_and_commits_nothing_at_the_old_home(
                held_too=True
            )
        ),
    ),
    "quarantine in armed": (
        lambda: [(recovery, "_hold", lambda group, *_: 1.1 * group.config.lease)],
        test_recovery.test_in_armed_the_quarantine_is_waited_out_too,
    ),
    "copy after acknowledgements": (
        lambda: [(backfill.Copier, "_late", none_of_them)],
        test_backfill.test_a_write_of_prepare_behind_an_early_copier_is_not_left_behind,
    ),
    "bump against late calls": (
        lambda: [(m, "resolve", only_read) for m in (home, upkeep, sharing)],
        test_unknown.test_what_was_told_as_not_applied_and_never_tried_again_stays_so,
    ),
    "a heartbeat of its own": (
        lambda: [(session.Session, "beat", nothing), (session.Session, "run", _beats_between)],
        test_members.test_a_mirror_that_hangs_shuts_nobody_out,
    ),
    "a ticket of the shared commit": (
        lambda: [(latch.Latch, "along", lambda *_: latch.Ticket(-1, (0, 0), None, None))],  # type: ignore[arg-type]
        test_sharing.gives_up_early,
    ),
    "late intents in a freeze": (
        lambda: [(recovery, "_level", zero)],
        test_recovery.test_in_a_freeze_the_older_side_follows_the_newer,
    ),
    "spill before the slot is free": (
        lambda: [(spill.Spilling, "_name", _frees_first)],
        lambda: test_spill.the_dead_had_spilled(0),
    ),
    "dirty keys of the dead": (
        lambda: [(recovery, "_bring", zero)],
        lambda: test_spill.the_dead_had_spilled(100),
    ),
    "dirty buckets of the dead": (
        lambda: [(recovery, "_bring_buckets", zero), (backlog, "RECORDS", 0)],
        lambda: test_spill.the_dead_had_spilled(0),
    ),
    "dirty keys are read after the last commit": (
        lambda: [(backlog.Backlog, "covers", _covered_while_read)],
        test_spill.a_commit_during_a_drain,
    ),
    "a copy that began after the last commit": (
        lambda: [(backlog.Backlog, "covers", _copied_once), (backlog, "RECORDS", 0)],
        test_spill.a_commit_during_a_drain,
    ),
    "slots are freed only as they were": (
        lambda: [(Pool, "settled", _frees_whatever_it_is)],
        lambda: test_spill.drains_under_load((4, *range(40))),
    ),
    "a backlog withholds": (
        lambda: [(upkeep.Upkeep, "_drained", always)],
        test_spill.test_no_epoch_is_acknowledged_before_the_backlog_is_drained,
    ),
    "a canary changes nothing": (
        lambda: [(canary, "canary", lambda _, write, __: write)],
        test_canary.test_canaries_leave_the_source_as_it_is,
    ),
    "records are removed once recovered": (
        lambda: [(fleet, "removable", lambda member: member.state != "active")],
        test_recovery.no_record_is_removed_too_early,
    ),
    "no way back from target-only": (
        lambda: [
            (stages, "_BACKWARD", {**stages._BACKWARD, Stage.TARGET_ONLY: Stage.DUAL_READ}),
        ],
        back_from_target_only,
    ),
    "repair touches the home": (lambda: [(repair, "touch", nothing)], ahead_is_repaired),
    "repair is not blind": (
        lambda: [(repair, "touch", nothing), (repair, "converge", _blind)],
        ahead_is_repaired,
    ),
    "abort of a freeze": (
        lambda: [(epochs.Epochs, "go_back", nothing)],
        test_dial.test_a_freeze_whose_coordinator_died_is_given_up_by_others,
    ),
    "a stage change that is given up": (
        lambda: [(epochs.Epochs, "go_back", nothing)],
        test_abort.test_a_step_that_nobody_coordinates_is_given_up_once_its_time_is_over,
    ),
    "telling for a coordinator that died": (
        lambda: [(keeper.Keeper, "_take_up", nothing)],
        lambda: test_abort.died_at(Stage.PREPARE, Stage.DUAL_WRITE, 22),
    ),
    "no giving up of the point of no return": (
        lambda: [(stages, "_ONE_WAY", frozenset())],
        test_abort.test_the_point_of_no_return_is_not_given_up_though_one_never_acknowledges,
    ),
}


_acknowledge = acknowledging.Acknowledging.acknowledge


async def _serves_again(self: acknowledging.Acknowledging, incarnation: Any, new: Any) -> bool:
    """Go on under the old setting whatever became of the word."""
    try:
        return await _acknowledge(self, incarnation, new)
    finally:
        if self.latch.incarnation is incarnation:
            self.latch.serve(incarnation)


def _frees_whatever_it_is(self: Pool, owed: Any) -> None:
    for slot, _, _ in owed:
        self.give(slot, "free")


async def _beats_between(self: session.Session) -> None:
    """One task for polling and heartbeat, as it once was."""
    while not self._closing:
        try:
            await self.join()
            incarnation = self.incarnation
            if incarnation is not None:
                await self.refresh(incarnation)
                await self.tick(incarnation)
        except PolystoreError:
            pass
        await Sleep(0.3)


@pytest.mark.parametrize("name", DIRECTED)
def test_without_a_guard_its_scene_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    removed, scene = DIRECTED[name]
    for place, attribute, replacement in removed():
        monkeypatch.setattr(place, attribute, replacement)
    with pytest.raises(AssertionError):  # TooHard is none: who gives up has found nothing
        scene()


def test_the_scenes_of_this_module_hold_with_their_guards() -> None:
    back_from_target_only()
    ahead_is_repaired()
