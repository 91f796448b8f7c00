"""Each guard of the protocol is needed: without it the simulator finds a broken promise.

A guard that can go without anybody noticing is either useless or not tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest

from polystore.driver import ANYTHING, NOTHING, Write
from polystore.driver.side import Side, read_one
from polystore.effects import Sleep
from polystore.errors import PolystoreError
from polystore.identity import WriteIds
from polystore.migration import (
    backfill,
    coordinator,
    fleet,
    home,
    latch,
    mirror,
    recovery,
    repair,
    session,
    stages,
    writing,
)
from polystore.migration import (
    gates as gates_,
)
from polystore.migration.ledger import SLOTS
from polystore.migration.slots import Slot, SlotRecord, Target
from polystore.migration.stages import Stage
from polystore.testing.history import NotLinearizable
from polystore.testing.simulator import ROUGH, Choices, Plan, Times, Trial, Violation
from tests.migration import test_backfill, test_dial, test_members, test_recovery, test_unknown

SHORT = Times(lease=1.0, poll=0.25, quarantine=8.0, call_timeout=1.0)
BUSY = Plan(start=(Stage.DUAL_READ,), furthest=Stage.DUAL_READ, times=SHORT)
"""Few keys in dual-read, where the dial turns all the time."""

SPARSE = attrs.evolve(BUSY, items=(10,), crash=30.0, outage=20.0, think=0.4)
"""Many keys and many deaths: what is not made good stays to be seen."""

LATE = attrs.evolve(ROUGH, held=5.0)
COPY = Plan(
    start=(Stage.PREPARE, Stage.DUAL_WRITE), furthest=Stage.DUAL_READ, items=(10,), think=0.4
)
PLAIN = Plan(
    start=(Stage.SOURCE_ONLY,), furthest=Stage.DUAL_WRITE, times=SHORT, seconds=15.0,
    items=(10,), think=0.05,
)  # fmt: skip

Removal = tuple[Any, str, Any]
"""What is replaced, and by what: a guard is gone."""


@attrs.frozen(kw_only=True)
class Guard:
    """One guard.

    Attributes:
        removed: replacements that take it away.
        plan: trials that are likely to need it.
        seed: one that is known to find it, tried first.
        ignored: rules that its absence breaks directly; what follows from that must show.
    """

    removed: Callable[[], Sequence[Removal]]
    plan: Plan = BUSY
    seed: int = 0
    ignored: tuple[str, ...] = ()


MOST_SEEDS = 60
"""Seeds that are tried for one guard before it counts as useless."""


async def _true(*_: Any, **__: Any) -> bool:
    return True


async def _false(*_: Any, **__: Any) -> bool:
    return False


async def _nothing(*_: Any, **__: Any) -> None:
    return None


async def _none_of_them(*_: Any, **__: Any) -> list[Any]:
    return []


async def _zero(*_: Any, **__: Any) -> int:
    return 0


async def _only_read(where: Side, slot: Slot, ids: WriteIds, deadline: float) -> bool:
    """Look at the slot without bumping it."""
    return home._judged(slot, await read_one(where, SLOTS, (slot.member, slot.index)))


_attempt = Slot.attempt


def _attempt_of(
    targets: Callable[[Sequence[Target]], Sequence[Target]], *, fenced: bool = True
) -> Any:
    def attempt(self: Slot, named: Sequence[Target], write_id: str) -> Write:
        write = _attempt(self, targets(named), write_id)
        if not fenced:
            write.condition = ANYTHING
        return write

    return attempt


_mirrored = writing.Writing._mirrored


async def _forgets_the_mirror(*arguments: Any) -> bool:
    await _mirrored(*arguments)
    return True


_mirror_write = mirror.mirror_write


def _mirror_write_if(condition: Any) -> Any:
    def write(*arguments: Any, **named: Any) -> Write:
        made = _mirror_write(*arguments, **named)
        made.condition = condition
        return made

    return write


_close_slot = recovery._close_slot


def _closes_only(name: str) -> Any:
    async def close(side: Side, member: str, index: int) -> Any:
        if side.name == name:
            return await _close_slot(side, member, index)
        stored = await read_one(side, SLOTS, (member, index))
        return () if stored is None else SlotRecord.of(stored).intent

    return close


def _gates_without(name: str) -> Any:
    return {
        edge: tuple(gate for gate in gates if gate.__name__ != name)
        for edge, gates in gates_.INTO.items()
    }


_wait = fleet.Fleet.wait


async def _waits_for_no_freeze(
    self: Any, done: Any, *, within: float, close_after: Any = None
) -> Any:
    if close_after is not None:
        return []
    return await _wait(self, done, within=within)


def _blocked_by_drains_alone(self: latch.Latch, _: Any, buckets: tuple[int, int]) -> bool:
    return self._draining is not None and latch._overlap(self._draining, buckets)


_frozen_step, _thawed = stages.frozen_step, stages.thawed


def _no_freeze(setting: Any, goal: int, width: int) -> Any:
    return attrs.evolve(_thawed(_frozen_step(setting, goal, width)), epoch=setting.epoch + 1)


async def _unremembered(self: Any, incarnation: Any, plain: Any) -> Any:
    return await plain


GUARDS = {
    "drain": Guard(seed=31, removed=lambda: [(session.Session, "_drained", _true)]),
    "bump": Guard(
        removed=lambda: [(m, "resolve", _only_read) for m in (home, session)],
        plan=attrs.evolve(BUSY, faults=LATE),
    ),
    "time-out is unknown": Guard(removed=lambda: [(m, "resolve", _false) for m in (home, session)]),
    "fence": Guard(
        removed=lambda: [(Slot, "attempt", _attempt_of(lambda t: t, fenced=False))],
        plan=attrs.evolve(SPARSE, faults=LATE),
    ),
    "intent": Guard(removed=lambda: [(Slot, "attempt", _attempt_of(lambda _: ()))], plan=SPARSE),
    "intent names all": Guard(
        seed=2, removed=lambda: [(Slot, "attempt", _attempt_of(lambda t: t[:1]))], plan=SPARSE
    ),
    "slot cleared after the mirror": Guard(
        removed=lambda: [(writing.Writing, "_mirrored", _forgets_the_mirror)]
    ),
    "mirror if older": Guard(
        removed=lambda: [
            (m, "mirror_write", _mirror_write_if(ANYTHING)) for m in (mirror, writing, recovery)
        ]
    ),
    "copy if older": Guard(
        removed=lambda: [(backfill, "mirror_write", _mirror_write_if(ANYTHING))], plan=COPY
    ),
    "copy not only if absent": Guard(
        seed=1,
        removed=lambda: [
            (backfill, "mirror_write", _mirror_write_if(NOTHING)),
            (backfill, "check_refusal", _nothing),
        ],
        plan=COPY,
    ),
    "copy before dual-read": Guard(
        removed=lambda: [(coordinator, "INTO", _gates_without("copied"))],
        plan=attrs.evolve(COPY, careless=60.0),
    ),
    "barrier": Guard(removed=lambda: [(fleet.Fleet, "barrier", _zero)]),
    "recheck": Guard(seed=36, removed=lambda: [(repair, "_unmoved", lambda *_: True)]),
    "recovery converges": Guard(removed=lambda: [(recovery, "_bring", _zero)], plan=SPARSE),
    "plain calls without an answer": Guard(
        removed=lambda: [(writing.Writing, "_answered", _unremembered)],
        plan=attrs.evolve(PLAIN, faults=attrs.evolve(ROUGH, held=4.0, plain_hold=8.0)),
    ),
    "acknowledgements of a freeze": Guard(
        removed=lambda: [(fleet.Fleet, "wait", _waits_for_no_freeze)], ignored=("EPO-2",)
    ),
    "frozen buckets wait": Guard(
        removed=lambda: [(latch.Latch, "_blocked", _blocked_by_drains_alone)]
    ),
    "freeze between two homes": Guard(
        removed=lambda: [
            (coordinator, "frozen_step", _no_freeze),
            (coordinator, "thawed", lambda now: attrs.evolve(now, epoch=now.epoch + 1)),
        ]
    ),
    "token": Guard(removed=lambda: [(writing, "unchanged", lambda _: ANYTHING)]),
}


def broken(guard: Guard) -> str | None:
    """What the simulator finds without a guard."""
    for seed in dict.fromkeys((guard.seed, *range(MOST_SEEDS))):
        with pytest.MonkeyPatch.context() as patch:
            for place, name, replacement in guard.removed():
                patch.setattr(place, name, replacement)
            trial = Trial(Choices.seeded(seed), guard.plan)
            trial.fleet.watch.ignored = frozenset(guard.ignored)
            try:
                trial.run()
            except (Violation, NotLinearizable) as found:
                what = f"seed {seed}: {found}"
            else:
                continue
        Trial(Choices.seeded(seed), guard.plan).run()  # with the guard it is clean
        return what
    return None


@pytest.mark.parametrize("name", GUARDS)
def test_without_a_guard_a_promise_is_broken(name: str) -> None:
    found = broken(GUARDS[name])
    assert found is not None, f"{MOST_SEEDS} seeds did not miss the guard"
    print(found[:200])  # noqa: T201  # which seed to put into the table


def test_the_same_trials_with_all_guards_are_clean() -> None:
    for plan in (BUSY, SPARSE, COPY, PLAIN):
        Trial(Choices.seeded(1), plan).run()


DIRECTED: dict[str, tuple[Callable[[], Sequence[Removal]], Callable[[], None]]] = {
    "joining looks again": (
        lambda: [(session.Session, "_catch_up", _nothing)],
        test_members.test_who_joins_with_an_old_look_at_control_does_not_serve_under_it,
    ),
    "acknowledging is final": (
        lambda: [(session.Session, "acknowledge", _serves_again)],
        test_dial.test_an_acknowledgement_without_an_answer_counts,
    ),
    "lease of reads": (
        lambda: [(session.Session, "live", _true)],
        test_members.test_an_answer_that_comes_after_the_lease_ran_out_is_dropped_and_read_again,
    ),
    "recovery waits for the lease": (
        lambda: [(recovery, "_hold", lambda *_: 0.0), (fleet.Fleet, "_burial", lambda _: 0.0)],
        test_members.test_who_was_shut_out_and_does_not_know_reads_until_its_lease_ends_and_no_longer,
    ),
    "lease of plain writes": (
        lambda: [(session.Session, "live", _true)],
        test_members.test_in_armed_a_process_that_stood_still_writes_and_refuses_nothing_before_it_rejoined,
    ),
    "idle looks after standing still": (
        lambda: [(session.Session, "_awake", _true)],
        test_members.test_idle_a_process_that_stood_still_through_a_start_finds_out_before_it_writes,
    ),
    "slots closed on the source": (
        lambda: [(recovery, "_close_slot", _closes_only("target"))],
        lambda: test_recovery.test_a_call_of_the_dead_that_lands_after_its_recovery_is_refused(0),
    ),
    "slots closed on the target": (
        lambda: [(recovery, "_close_slot", _closes_only("source"))],
        lambda: test_recovery.test_a_call_of_the_dead_that_lands_after_its_recovery_is_refused(100),
    ),
    "fence against zombies": (
        lambda: [(Slot, "attempt", _attempt_of(lambda t: t, fenced=False))],
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
        lambda: [(backfill.Copier, "_late", _none_of_them)],
        test_backfill.test_a_write_of_prepare_behind_an_early_copier_is_not_left_behind,
    ),
    "bump against late calls": (
        lambda: [(m, "resolve", _only_read) for m in (home, session)],
        test_unknown.test_what_was_told_as_not_applied_and_never_tried_again_stays_so,
    ),
    "a heartbeat of its own": (
        lambda: [(session.Session, "beat", _nothing), (session.Session, "run", _beats_between)],
        test_members.test_a_mirror_that_hangs_shuts_nobody_out,
    ),
    "late intents in a freeze": (
        lambda: [(recovery, "_level", _zero)],
        test_recovery.test_in_a_freeze_the_older_side_follows_the_newer,
    ),
    "abort of a freeze": (
        lambda: [(coordinator.Coordinator, "abort", _nothing)],
        test_dial.test_a_freeze_whose_coordinator_died_is_given_up_by_others,
    ),
}


_acknowledge = session.Session.acknowledge


async def _serves_again(self: session.Session, incarnation: Any, new: Any) -> bool:
    """Go on under the old setting whatever became of the word."""
    try:
        return await _acknowledge(self, incarnation, new)
    finally:
        if self.incarnation is incarnation:
            self.latch.serve(incarnation)


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
    with pytest.raises(AssertionError):
        scene()
