"""Stages, buckets and settings: where each key has its home. Pure.

A setting is what one epoch says. Members act only on a setting that they acknowledged, and two
members are never more than one epoch apart, so only neighbours in this file ever meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from zlib import crc32

import attrs

from polystore.driver.keycodec import encode_key
from polystore.errors import IllegalEdge
from polystore.migration.load import Load
from polystore.values import Fields, Key

SPEAKS = 1
"""Version of what members and control store tell each other; it grows when that changes."""

BUCKETS = 256
"""How many buckets a group has (PROTOCOL.md 1)."""

STAMP_RUN = 40
"""A stamp is ``run << STAMP_RUN`` plus a counter (PROTOCOL.md 1)."""

SOURCE, TARGET = "source", "target"


class Stage(Enum):
    """Where a migration stands. ``ARMED`` is source-only under a lease, on the way to prepare."""

    SOURCE_ONLY = "source-only"
    ARMED = "armed"
    PREPARE = "prepare"
    DUAL_WRITE = "dual-write"
    DUAL_READ = "dual-read"
    TARGET_ONLY = "target-only"
    CLEAN = "clean"
    DETACHED = "detached"

    @property
    def plain(self) -> bool:
        """Whether writes carry no stamp and no slot."""
        return self in _PLAIN

    @property
    def leased(self) -> bool:
        """Whether reads need a live lease."""
        return self not in (Stage.SOURCE_ONLY, Stage.DETACHED)

    @property
    def mirrored(self) -> bool:
        """Whether a home commit is followed by a write to the mirror."""
        return self in (Stage.DUAL_WRITE, Stage.DUAL_READ)


_PLAIN = frozenset({Stage.SOURCE_ONLY, Stage.ARMED, Stage.CLEAN, Stage.DETACHED})
_ORDER = list(Stage)
_ONE_WAY = frozenset({Stage.TARGET_ONLY, Stage.CLEAN, Stage.DETACHED})
"""Who is in target-only mirrors nothing any more: from there on nothing leads back [M: PATH 9]."""


@attrs.frozen(kw_only=True)
class Setting:
    """What one epoch says.

    Attributes:
        run: number of this migration of the group; 0 before the first start.
        speaks: version of the protocol that the run was started with; 0 before the first.
        epoch: only grows.
        stage: the stage.
        moved: buckets ``0 … moved - 1`` have their home on the target (in dual-read).
        frozen: buckets ``lo … hi - 1`` that are changing homes, as ``(lo, hi)``; or ``None``.
        barrier: number of the newest barrier.
        shadow: share of the reads in dual-read that are compared, 0 to 100 %.
        observe: whether source-only counts what the target would refuse.
        copied: epoch in which the copy that counts began; 0 for none.
        turned: epoch of the last change of a home; 0 for none.
        verified: epoch of the last complete verification without open differences; 0 for none.
        proven: epoch in which the way back was proven on canary records; 0 for none.
        verified_at, full_at: when that ended, and when the dial came to 100 %, in seconds since
            1970 as that machine's wall clock told; 0 for not. For two gates, no order rests on it.
        left: the stage that the newest epoch came from, while it may go back there.
        within: seconds in which everybody was to acknowledge it; 0 for no such time.
        lost: the side that is gone for good, and that nobody calls any more; ``None`` for none.
        load: rates and policies; they change without an epoch.
    """

    run: int = 0
    speaks: int = 0
    epoch: int = 0
    stage: Stage = Stage.SOURCE_ONLY
    moved: int = 0
    frozen: tuple[int, int] | None = None
    barrier: int = 0
    shadow: int = 100
    observe: bool = True
    copied: int = 0
    turned: int = 0
    verified: int = 0
    proven: int = 0
    verified_at: int = 0
    full_at: int = 0
    left: Stage | None = None
    within: int = 0
    lost: str | None = None
    load: Load = attrs.field(factory=Load)

    def home(self, bucket: int) -> str:
        """Name of the side that decides for the keys of a bucket (while frozen: decided last)."""
        if _ORDER.index(self.stage) >= _ORDER.index(Stage.TARGET_ONLY):
            return TARGET
        return TARGET if self.stage is Stage.DUAL_READ and bucket < self.moved else SOURCE

    def homes(self) -> frozenset[str]:
        """The sides that are home of at least one bucket."""
        return frozenset((self.home(0), self.home(BUCKETS - 1)))

    def floor(self) -> int:
        """The smallest stamp of this run: what the copier gives to unstamped records."""
        return self.run << STAMP_RUN

    def dial(self) -> float:
        """Share of the buckets whose home is the target, in %."""
        return 100.0 * self.moved / BUCKETS

    def to_fields(self) -> Fields:
        """The setting as fields of the control record."""
        lo, hi = self.frozen or (0, 0)
        return {
            "run": self.run, "speaks": self.speaks, "epoch": self.epoch, "stage": self.stage.value,
            "moved": self.moved, "frozen_from": lo, "frozen_to": hi, "barrier": self.barrier,
            "shadow": self.shadow, "observe": self.observe, "copied": self.copied,
            "turned": self.turned, "verified": self.verified, "proven": self.proven,
            "verified_at": self.verified_at, "full_at": self.full_at,
            "left": "" if self.left is None else self.left.value, "within": self.within,
            "lost": self.lost or "", "load": self.load.to_fields(),
        }  # fmt: skip

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> Setting:
        """The setting that a control record holds."""

        def number(name: str) -> int:
            value = fields[name]
            assert type(value) is int, name
            return value

        lo, hi = number("frozen_from"), number("frozen_to")
        return cls(
            run=number("run"), speaks=number("speaks"), epoch=number("epoch"),
            stage=Stage(fields["stage"]),
            moved=number("moved"), frozen=(lo, hi) if hi > lo else None,
            barrier=number("barrier"), shadow=number("shadow"), observe=bool(fields["observe"]),
            copied=number("copied"), turned=number("turned"), verified=number("verified"),
            proven=number("proven"), verified_at=number("verified_at"), full_at=number("full_at"),
            left=Stage(fields["left"]) if fields["left"] else None, within=number("within"),
            lost=str(fields["lost"]) or None,
            load=Load.from_fields(fields["load"]),
        )  # fmt: skip


def understood(setting: Setting) -> bool:
    """Whether this release knows all that the members of a run tell each other."""
    return setting.speaks <= SPEAKS


def bucket_of(key: Key, colocate: int | None) -> int:
    """The bucket of a key: a stable hash of its colocation key.

    Args:
        colocate: how many leading key parts decide; ``None`` for all.
    """
    return crc32(encode_key(key[:colocate]).encode()) % BUCKETS


def moved_at(percent: float) -> int:
    """How many buckets have moved at a dial of so many percent: ⌈256 · percent / 100⌉."""
    if not 0 <= percent <= 100:
        raise IllegalEdge(f"the dial goes from 0 to 100 %, not {percent:g}")
    return -int(-BUCKETS * percent // 100)


def affected(old: Setting, new: Setting) -> tuple[int, int] | None:
    """Buckets whose operations a member must finish before it acknowledges ``new``.

    Everything where the stage changes, else what freezes or thaws; ``None`` for nothing.
    """
    if old.stage is not new.stage or old.run != new.run:
        return (0, BUCKETS)
    touched = [r for r in (old.frozen, new.frozen) if r is not None]
    if old.moved != new.moved:
        touched.append((min(old.moved, new.moved), max(old.moved, new.moved)))
    return (min(lo for lo, _ in touched), max(hi for _, hi in touched)) if touched else None


_FORWARD = {
    Stage.ARMED: Stage.PREPARE,
    Stage.PREPARE: Stage.DUAL_WRITE,
    Stage.DUAL_WRITE: Stage.DUAL_READ,
    Stage.DUAL_READ: Stage.TARGET_ONLY,
    Stage.TARGET_ONLY: Stage.CLEAN,
    Stage.CLEAN: Stage.DETACHED,
}
_BACKWARD = {
    Stage.ARMED: Stage.SOURCE_ONLY,
    Stage.PREPARE: Stage.ARMED,
    Stage.DUAL_WRITE: Stage.PREPARE,
    Stage.DUAL_READ: Stage.DUAL_WRITE,
}


def after(setting: Setting, stage: Stage) -> Setting:
    """The setting of the next epoch with another stage.

    Raises:
        IllegalEdge: the two are no neighbours, or the dial or a freeze is in the way.
    """
    here = setting.stage
    if setting.frozen is not None:
        raise IllegalEdge("buckets are frozen: finish or abort the dial step first")
    check_target(setting, stage)
    starts = here is Stage.SOURCE_ONLY and stage is Stage.ARMED
    if not starts and stage not in (_FORWARD.get(here), _BACKWARD.get(here)):
        raise IllegalEdge(f"there is no way from {here.value} to {stage.value}")
    if here is Stage.DUAL_READ:
        wanted = BUCKETS if stage is Stage.TARGET_ONLY else 0
        if setting.moved != wanted:
            raise IllegalEdge(
                f"{here.value} → {stage.value} needs the dial at {100 * wanted // BUCKETS} %, "
                f"it is at {setting.dial():g} %"
            )
    new = attrs.evolve(
        setting,
        stage=stage,
        epoch=setting.epoch + 1,
        verified=0,
        proven=0,
        verified_at=0,
        full_at=0,
        left=None if stage in _ONE_WAY or setting.lost is not None else here,
        within=0,
    )
    ends = here is Stage.PREPARE and stage is Stage.ARMED
    if starts or ends:  # plain writes take stamps away: what the target has counts no more
        new = attrs.evolve(new, run=setting.run + 1, speaks=SPEAKS, moved=0, copied=0, turned=0)
        return attrs.evolve(new, lost=None) if starts else new
    if here is Stage.PREPARE and stage is Stage.DUAL_WRITE:
        return attrs.evolve(new, copied=new.epoch)
    return new


def check_target(setting: Setting, stage: Stage) -> None:
    """Raise IllegalEdge where a stage would use a target that was given up."""
    if setting.lost == TARGET and stage in (Stage.PREPARE, Stage.DUAL_WRITE):
        raise IllegalEdge(
            "the target of this run was given up: go back to source-only, name another target, and "
            "start again"
        )


def next_stage(stage: Stage) -> Stage:
    """The stage after this one. Raises IllegalEdge where there is none."""
    if stage is Stage.SOURCE_ONLY:
        raise IllegalEdge("no migration has been started: use start")
    if stage not in _FORWARD:
        raise IllegalEdge(f"{stage.value} is the last stage")
    return _FORWARD[stage]


def previous_stage(stage: Stage) -> Stage:
    """The stage before this one. Raises IllegalEdge where nothing leads back."""
    if stage not in _BACKWARD:
        raise IllegalEdge(f"nothing leads back from {stage.value}")
    return _BACKWARD[stage]


def given_up(setting: Setting) -> Setting:
    """The next epoch after one that not everybody acknowledged in time: as it was before that.

    Raises:
        IllegalEdge: nothing leads back from this epoch.
    """
    if setting.lost is not None:
        raise IllegalEdge(f"the {setting.lost} was given up for good: nothing leads back from that")
    if setting.frozen is not None:
        return attrs.evolve(setting, epoch=setting.epoch + 1, frozen=None)
    if setting.left is None:
        raise IllegalEdge(f"nothing is to be given up: epoch {setting.epoch} leads nowhere back")
    return attrs.evolve(after(setting, setting.left), left=None)


def frozen_step(setting: Setting, goal: int, width: int) -> Setting:
    """The next epoch of a dial movement towards ``goal`` moved buckets: a freeze of a few.

    Args:
        width: most buckets to freeze at a time.
    """
    if setting.stage is not Stage.DUAL_READ:
        raise IllegalEdge(f"the dial moves in dual-read only, this is {setting.stage.value}")
    if setting.frozen is not None:
        raise IllegalEdge("buckets are frozen already")
    if goal > setting.moved:
        frozen = (setting.moved, min(goal, setting.moved + width))
    else:
        frozen = (max(goal, setting.moved - width), setting.moved)
    return attrs.evolve(setting, epoch=setting.epoch + 1, frozen=frozen, left=None, within=0)


def thawed(setting: Setting, at: int) -> Setting:
    """The next epoch after a freeze that all acknowledged: the frozen buckets have the new home.

    Args:
        at: seconds since 1970, kept where the dial comes to 100 %.
    """
    if setting.frozen is None:
        raise IllegalEdge("nothing is frozen")
    lo, hi = setting.frozen
    moved = hi if setting.moved == lo else lo
    epoch = setting.epoch + 1
    full_at = at if moved == BUCKETS else 0
    return attrs.evolve(
        setting, epoch=epoch, frozen=None, moved=moved, turned=epoch, full_at=full_at
    )


def forced(setting: Setting, kept: str) -> Setting:
    """The next epoch after one side is gone for good: all is frozen, the home of all is the other.

    It is of a new run: what the lost side still brings late counts as older than any commit.

    Args:
        kept: the side that is left.

    Raises:
        IllegalEdge: the stage does not use both sides.
    """
    if not setting.stage.mirrored:
        raise IllegalEdge(
            f"in {setting.stage.value} one side alone is in use, the {setting.home(0)}: "
            "force-home is for dual-write and dual-read"
        )
    source = kept == SOURCE
    return attrs.evolve(
        setting,
        run=setting.run + 1,
        epoch=setting.epoch + 1,
        stage=Stage.PREPARE if source else Stage.TARGET_ONLY,
        moved=0 if source else BUCKETS,
        frozen=(0, BUCKETS),
        lost=TARGET if source else SOURCE,
        copied=0,
        turned=0,
        verified=0,
        proven=0,
        verified_at=0,
        full_at=0,
        left=None,
        within=0,
    )


def released(setting: Setting) -> Setting:
    """The next epoch after all that worked with both sides is shut out: one side serves alone."""
    return attrs.evolve(setting, epoch=setting.epoch + 1, frozen=None)
