"""Recovery of a member that is gone: by any process, by several at once, repeated at will.

Close the member, close all its slots in both stores [M: CLOSE_S_ONLY, CLOSE_T_ONLY], bring what
their intents name up to the home, reading after the close [M: HELP_STALE, NO_RECOVER], and wait
out its lease. A wrong guess costs its owner the session, never data.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from polystore.driver import NOTHING, Condition, Segment, Stored, Unchanged, Write, Written
from polystore.driver.side import Side, read_one
from polystore.effects import Now, Sleep
from polystore.errors import CursorExpired, OutcomeUnknown
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import SLOTS
from polystore.migration.member import ACTIVE, CLOSED, RECOVERED, Member
from polystore.migration.mirror import converge, mirror_write, put_if_older
from polystore.migration.slots import SlotRecord, Target, slot_fields
from polystore.migration.stages import SOURCE, TARGET, Setting, Stage
from polystore.observe.events import MEMBER_CLOSED
from polystore.values import Fields

PAGE = 500
"""Records of one page of a scan for dirty buckets."""

LEASE_MARGIN = 1.1
"""Closing waits this many leases, for clocks that drift (PROTOCOL.md 3.5)."""


@attrs.frozen
class Recovered:
    """What a recovery found: intents read, and records that the mirror lacked.

    Attributes:
        ended: whether this one ended it; ``False`` where another was quicker.
    """

    intents: int
    converged: int
    ended: bool = True


def _nobody(_: str) -> None:
    return None


async def close(group: OpenGroup, member: Member, told: Callable[[str], None] = _nobody) -> Member:
    """Shut a member out, from this moment on; its reads end with its lease.

    Args:
        told: called with its id where this call has shut it out, and nobody before.
    """
    shut = False

    def closed(fields: Fields | None) -> Fields | None:
        nonlocal shut
        shut = fields is not None and fields["state"] == ACTIVE
        return {**fields, "state": CLOSED} if fields is not None and shut else None

    stored = await group.ledger.change(member.stored.key[1], closed)  # type: ignore[arg-type]
    if shut:
        group.tell(MEMBER_CLOSED, member=member.id)
        told(member.id)
    return Member.of(stored or member.stored)


async def recover(group: OpenGroup, member: Member) -> Recovered:
    """Finish for a closed member what it may have left half done.

    Raises:
        PolystoreError: a store does not answer; what was done stays done, repeat it.
    """
    closed_at = await Now()
    setting = await group.ledger.setting()
    intents: list[tuple[str, Target]] = []
    marked: list[tuple[str, frozenset[int]]] = []
    for name, side in group.sides.items():
        if name == setting.lost or (name == SOURCE and setting.stage not in _SOURCE_IN_PLAY):
            continue
        for index in range(member.slots[name]):
            closed = await _close_slot(side, member.id, index)
            intents += [(name, target) for target in closed.intent]
            if closed.buckets:
                marked.append((name, frozenset(closed.buckets)))
    setting = await group.ledger.setting()
    converged = 0
    for name, target in intents:
        converged += await _bring(group, setting, name, target)
    for name, buckets in marked:
        converged += await _bring_buckets(group, setting, name, buckets)
    left = closed_at + _hold(group, setting, member) - await Now()
    await Sleep(max(left, 0.0))

    ended = False

    def recovered(fields: Fields | None) -> Fields | None:
        nonlocal ended
        ended = fields is not None and fields["state"] == CLOSED
        return {**fields, "state": RECOVERED} if fields is not None and ended else None

    await group.ledger.change(member.stored.key[1], recovered)  # type: ignore[arg-type]
    return Recovered(len(intents), converged, ended)


def _hold(group: OpenGroup, setting: Setting, member: Member) -> float:
    """Seconds until nothing of a closed member counts any more: its reads, its plain writes.

    Plain writes carry no slot, so only time ends them [M: NO_QUARANTINE]: the last of them may
    leave when the lease runs out.
    """
    lease = LEASE_MARGIN * group.config.lease
    plain = setting.stage in (Stage.SOURCE_ONLY, Stage.ARMED) or (
        setting.stage is Stage.PREPARE and member.acked < setting.epoch and setting.lost is None
    )
    return lease + group.config.quarantine if plain else lease


_SOURCE_IN_PLAY = frozenset(
    {Stage.SOURCE_ONLY, Stage.ARMED, Stage.PREPARE, Stage.DUAL_WRITE, Stage.DUAL_READ}
)


async def _close_slot(side: Side, member: str, index: int) -> SlotRecord:
    """Close one slot, also one that was counted and never made; what it says."""
    key = (member, index)
    while True:
        stored = await read_one(side, SLOTS, key)
        if stored is None:
            fields = slot_fields(member, index, 0, (), -1)
            condition: Condition = NOTHING
            record = SlotRecord(closed=False, seq=0, attempt=-1, intent=())
        else:
            record = SlotRecord.of(stored)
            if record.closed:
                return record
            assert stored.fields is not None
            fields, condition = dict(stored.fields), Unchanged(stored.token)
        closing: Fields = {**fields, "closed": True}
        write = Write(SLOTS, key, closing, condition, f"close.{member}.{index}")
        try:
            if isinstance(await side.write(write), Written):
                return record
        except OutcomeUnknown:
            await Sleep(0.05)


async def _bring(group: OpenGroup, setting: Setting, where: str, target: Target) -> int:
    """Bring one key of an intent to the mirror; 1 if the mirror lacked it."""
    if not setting.stage.mirrored:
        return 0
    name, key = target
    collection = group.collection(name)
    bucket = group.bucket(key)
    if setting.frozen and setting.frozen[0] <= bucket < setting.frozen[1]:
        return await _level(group, setting, target)
    if setting.home(bucket) != where:
        return 0  # a leftover of before the home moved: its member drained then
    home = group.sides[where]
    return int(await converge(home, group.other(home), collection, key, setting))


async def _bring_buckets(
    group: OpenGroup, setting: Setting, where: str, buckets: frozenset[int]
) -> int:
    """Bring all keys of dirty buckets to the mirror, as the home has them after the close."""
    if not setting.stage.mirrored:
        return 0
    converged = 0
    side = group.sides[where]
    for collection in group.collections.values():
        cursor: str | None = None
        while True:
            try:
                page = await side.scan(collection, Segment(), cursor, side.portion(PAGE))
            except CursorExpired:
                if cursor is None:
                    raise
                cursor = None  # the collection again: what was brought is brought
                continue
            for stored in page.records:
                if group.bucket(stored.key) in buckets and (stored.stamp or 0) > setting.floor():
                    converged += await _bring(group, setting, where, (collection.name, stored.key))
            cursor = page.cursor
            if cursor is None:
                break
    return converged


async def _level(group: OpenGroup, setting: Setting, target: Target) -> int:
    """In a freeze: bring the older side up to the newer one."""
    name, key = target
    collection = group.collection(name)
    source, target_side = group.sides[SOURCE], group.sides[TARGET]
    on_source = await read_one(source, collection, key)
    on_target = await read_one(target_side, collection, key)
    if _stamp(on_source) >= _stamp(on_target):
        newer, older_side = on_source, target_side
    else:
        newer, older_side = on_target, source
    if newer is None:
        return 0
    return int(await put_if_older(older_side, mirror_write(collection, newer, setting)))


def _stamp(stored: Stored | None) -> int:
    return -1 if stored is None else (stored.stamp or 0)
