"""The guards of the protocol: what takes each away, and trials that are likely to miss it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import attrs
import pytest

from polystore.driver import ANYTHING, NOTHING, Committed, Rejected, Stored, Write, Written
from polystore.driver.side import Side, read_one
from polystore.errors import PolystoreError
from polystore.identity import WriteIds
from polystore.migration import (
    acknowledging,
    bringing,
    coordinator,
    epochs,
    fleet,
    home,
    latch,
    member,
    mirror,
    mirroring,
    movement,
    recovery,
    repair,
    sharing,
    spill,
    stages,
    upkeep,
    writing,
)
from polystore.migration import (
    gates as gates_,
)
from polystore.migration.ledger import CONTROL, SLOTS, Ledger
from polystore.migration.slots import Slot, SlotRecord, Target, targets_of
from polystore.migration.stages import Stage
from polystore.testing.history import NotLinearizable
from polystore.testing.simulator import ROUGH, Choices, Plan, Times, Trial, Violation
from polystore.testing.simulator.batch import TO_A_MIRROR

SHORT = Times(lease=1.0, poll=0.25, quarantine=8.0, call_timeout=1.0)
BUSY = Plan(start=(Stage.DUAL_READ,), furthest=Stage.DUAL_READ, times=SHORT)
"""Few keys in dual-read, where the dial turns all the time."""

SPARSE = attrs.evolve(BUSY, items=(10,), crash=30.0, outage=20.0, think=0.4)
"""Many keys and many deaths: what is not made good stays to be seen."""

HOT = attrs.evolve(BUSY, items=(2,), threads=4, think=0.03, seconds=12.0)
"""Many clients on few keys, which are written between any two looks."""

LATE = attrs.evolve(ROUGH, held=5.0)
COPY = Plan(
    start=(Stage.PREPARE, Stage.DUAL_WRITE), furthest=Stage.DUAL_READ, items=(10,), think=0.4
)
PLAIN = Plan(
    start=(Stage.SOURCE_ONLY,), furthest=Stage.DUAL_WRITE, times=SHORT, seconds=15.0,
    items=(10,), think=0.05,
)  # fmt: skip

MOVED = Plan(
    start=(Stage.DUAL_WRITE, Stage.DUAL_READ), furthest=Stage.DUAL_READ, pair=TO_A_MIRROR,
    times=Times(lease=1.0, poll=0.25, quarantine=4.0, call_timeout=1.0), items=(2,), think=0.05,
    faults=LATE,
)  # fmt: skip
"""Few keys, mirrored through the movement table."""

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


async def always(*_: Any, **__: Any) -> bool:
    return True


async def never(*_: Any, **__: Any) -> bool:
    return False


async def nothing(*_: Any, **__: Any) -> None:
    return None


async def none_of_them(*_: Any, **__: Any) -> list[Any]:
    return []


async def _unlocked(self: movement.Movement, *_: Any) -> movement.Row:
    """Nobody has a key of the mirror for itself."""
    ledger = Ledger(self._control, "nobody", self._ids)
    return movement.Row(ledger, Stored((), None, None), math.inf)


async def released_anyhow(_: movement.Movement, row: movement.Row) -> None:
    """A row goes, whoever it belongs to by now."""
    key = (row.ledger.group, movement.ITEM)
    with suppress(PolystoreError):
        await row.ledger.side.write(Write(CONTROL, key, None))


async def zero(*_: Any, **__: Any) -> int:
    return 0


async def only_read(where: Side, slot: Slot, ids: WriteIds, deadline: float) -> bool:
    """Look at the slot without bumping it."""
    return home._judged(slot, await read_one(where, SLOTS, (slot.member, slot.index)))


_attempt = Slot.attempt


def attempt_of(
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


def closes_only(name: str) -> Any:
    async def close(side: Side, member: str, index: int) -> Any:
        if side.name == name:
            return await _close_slot(side, member, index)
        stored = await read_one(side, SLOTS, (member, index))
        return SlotRecord(False, 0, -1, ()) if stored is None else SlotRecord.of(stored)

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
    return attrs.evolve(_thawed(_frozen_step(setting, goal, width), 0), epoch=setting.epoch + 1)


async def _unremembered(self: Any, incarnation: Any, plain: Any) -> Any:
    return await plain


_commit = home.commit


async def _names_afterwards(
    side: Side, slot: Slot, ids: WriteIds, writes: Sequence[Write], *others: Any
) -> Committed | Rejected:
    """The commit, and its intent in a call of its own after it."""
    outcome = await _commit(side, slot, ids, writes, *others)
    if isinstance(outcome, Committed):
        late = _attempt(slot, targets_of(writes), ids.new())
        told = await side.write(late)
        if isinstance(told, Written):
            slot.seq, slot.token = slot.seq + 1, told.token
    return outcome


_written = writing.Writing._written


async def _mirror_first(self: writing.Writing, at: Any, where: Side, write: Write) -> Any:
    """The mirror hears of it before the home has decided."""
    await self._mirrored(at, where, [write])
    return await _written(self, at, where, write)


_made = writing.Writing._made


def _no_tombstones(*arguments: Any) -> Write:
    """A delete leaves nothing behind."""
    write = _made(*arguments)
    if write.fields is None:
        write.stamp = write.write_id = None
    return write


_after = stages.after


def _same_run(setting: Any, stage: Stage) -> Any:
    """All runs count from the same number."""
    return attrs.evolve(_after(setting, stage), run=1)


def _past_prepare(setting: Any, stage: Stage) -> Any:
    """Dual writes begin beside processes that still write plainly."""
    if setting.stage is Stage.ARMED and stage is Stage.PREPARE:
        return attrs.evolve(
            _after(_after(setting, stage), Stage.DUAL_WRITE), epoch=setting.epoch + 1
        )
    return _after(setting, stage)


async def _uncounted(_: Any, incarnation: Any, side: Side, *__: Any) -> int:
    """Slots are made and used, and the member record knows nothing of them."""
    return len(incarnation.pools[side.name].slots)


GUARDS = {
    "intent in the same commit": Guard(
        seed=2,
        removed=lambda: [
            (Slot, "attempt", attempt_of(lambda _: ())),
            *((m, "commit", _names_afterwards) for m in (writing, sharing, repair)),
        ],
        plan=SPARSE,
    ),
    "home first": Guard(removed=lambda: [(writing.Writing, "_written", _mirror_first)]),
    "tombstones": Guard(
        removed=lambda: [(writing.Writing, "_made", _no_tombstones)],
        ignored=("STG-5", "WR-4"),
        plan=attrs.evolve(BUSY, faults=LATE),
    ),
    "prepare before dual-write": Guard(
        seed=5,
        removed=lambda: [(m, "after", _past_prepare) for m in (coordinator, epochs)],
        plan=PLAIN,
    ),
    "a run has its own stamps": Guard(
        seed=4,
        removed=lambda: [(m, "after", _same_run) for m in (coordinator, epochs, stages)],
        plan=attrs.evolve(
            PLAIN, start=(Stage.DUAL_WRITE,), onward=2, seconds=40.0, crash=0.0, pause=0.0
        ),
    ),
    "slots are counted before use": Guard(
        removed=lambda: [(member, "_counted", _uncounted)], plan=SPARSE
    ),
    "drain": Guard(seed=5, removed=lambda: [(acknowledging.Acknowledging, "_drained", always)]),
    "bump": Guard(
        seed=3,
        removed=lambda: [(m, "resolve", only_read) for m in (home, upkeep, sharing)],
        plan=attrs.evolve(BUSY, faults=LATE),
    ),
    "time-out is unknown": Guard(
        removed=lambda: [(m, "resolve", never) for m in (home, upkeep, sharing)]
    ),
    "fence": Guard(
        seed=4,
        removed=lambda: [(Slot, "attempt", attempt_of(lambda t: t, fenced=False))],
        plan=attrs.evolve(SPARSE, faults=LATE),
    ),
    "intent": Guard(removed=lambda: [(Slot, "attempt", attempt_of(lambda _: ()))], plan=SPARSE),
    "intent names all": Guard(
        removed=lambda: [(Slot, "attempt", attempt_of(lambda t: t[:1]))], plan=SPARSE
    ),
    "slot cleared after the mirror": Guard(
        seed=2, removed=lambda: [(writing.Writing, "_mirrored", _forgets_the_mirror)]
    ),
    "mirror if older": Guard(
        removed=lambda: [
            (m, "mirror_write", _mirror_write_if(ANYTHING))
            for m in (mirror, mirroring, recovery, spill)
        ]
    ),
    "copy if older": Guard(
        removed=lambda: [(bringing, "mirror_write", _mirror_write_if(ANYTHING))], plan=COPY
    ),
    "copy not only if absent": Guard(
        seed=17,
        removed=lambda: [
            (bringing, "mirror_write", _mirror_write_if(NOTHING)),
            (bringing, "check_refusal", nothing),
        ],
        plan=COPY,
    ),
    "copy before dual-read": Guard(
        seed=4,
        removed=lambda: [(coordinator, "INTO", _gates_without("copied"))],
        plan=attrs.evolve(COPY, careless=60.0),
    ),
    "barrier": Guard(seed=3, removed=lambda: [(fleet.Fleet, "barrier", zero)]),
    "recheck": Guard(seed=3, removed=lambda: [(repair, "_unmoved", lambda *_: True)], plan=HOT),
    "recovery converges": Guard(removed=lambda: [(recovery, "_bring", zero)], plan=SPARSE),
    "plain calls without an answer": Guard(
        seed=15,
        removed=lambda: [(writing.Writing, "_answered", _unremembered)],
        plan=attrs.evolve(PLAIN, faults=attrs.evolve(ROUGH, held=4.0, plain_hold=8.0)),
    ),
    "acknowledgements of a freeze": Guard(
        seed=4, removed=lambda: [(fleet.Fleet, "wait", _waits_for_no_freeze)], ignored=("EPO-2",)
    ),
    "frozen buckets wait": Guard(
        seed=4, removed=lambda: [(latch.Latch, "_blocked", _blocked_by_drains_alone)]
    ),
    "freeze between two homes": Guard(
        seed=4,
        removed=lambda: [
            (epochs, "frozen_step", _no_freeze),
            (epochs, "thawed", lambda now, _: attrs.evolve(now, epoch=now.epoch + 1)),
        ],
    ),
    "a row for each key": Guard(
        removed=lambda: [
            (movement.Movement, "claim", _unlocked),
            (movement.Movement, "release", nothing),
        ],
        plan=MOVED,
    ),
    "quarantine of a row": Guard(
        removed=lambda: [(movement, "rested", lambda *_: True)], plan=MOVED
    ),
    "token": Guard(removed=lambda: [(writing, "unchanged", lambda _: ANYTHING)]),
}


def broken(guard: Guard, seeds: Iterable[int]) -> tuple[int, str] | None:
    """The first of these seeds with which the simulator misses a guard, and what it finds."""
    for seed in seeds:
        with pytest.MonkeyPatch.context() as patch:
            for place, name, replacement in guard.removed():
                patch.setattr(place, name, replacement)
            trial = Trial(Choices.seeded(seed), guard.plan)
            trial.fleet.watch.ignored = frozenset(guard.ignored)
            try:
                trial.run()
            except (Violation, NotLinearizable) as found:
                return seed, str(found)
    return None
