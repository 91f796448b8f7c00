"""The mirror: it only ever receives whole records with a larger stamp [M: NO_COND].

:func:`converge` is the one way to bring a key up to its home: used by writes, drains, recovery,
repair, verification and reverse mirroring alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from polystore.driver import NOTHING, Condition, OlderThan, Refused, Stored, Unprocessed, Write
from polystore.driver.side import Side, read_one
from polystore.errors import MigrationError
from polystore.migration.stages import Setting
from polystore.schema import Collection
from polystore.values import Key


def stamp_of(stored: Stored, setting: Setting) -> int:
    """The stamp of a record in this run: none, or one of an older run, counts as its start."""
    stamp = stored.stamp
    return setting.floor() if stamp is None or stamp < setting.floor() else stamp


def mirror_write(
    collection: Collection, stored: Stored, setting: Setting, *, copying: bool = False
) -> Write:
    """The write that brings a home record to the mirror.

    Args:
        copying: by the copier, whose records at the run's start need nothing to be there.
    """
    stamp = stamp_of(stored, setting)
    blank = copying and stamp == setting.floor()
    condition: Condition = NOTHING if blank else OlderThan(stamp)
    write_id, expires = stored.write_id, stored.expires
    return Write(collection, stored.key, stored.fields, condition, write_id, stamp, expires)


def settled(write: Write, refused: Refused) -> bool:
    """Whether a refusal means that the mirror has this state or a newer one: it must show one."""
    current = refused.current
    assert write.stamp is not None
    return current is not None and current.stamp is not None and current.stamp >= write.stamp


async def put_if_older(mirror: Side, write: Write) -> bool:
    """Write to the mirror unless it is there already; whether it was written now.

    Raises:
        MigrationError: the mirror holds a record that is neither older nor of this run.
        PolystoreError: the mirror failed; the write may be repeated.
    """
    outcome = await mirror.write(write)
    if not isinstance(outcome, Refused):
        return True
    await check_refusal(mirror, write, outcome)
    return False


async def put_all_if_older(mirror: Side, writes: Sequence[Write]) -> int:
    """The same for several writes that need not be one; how many were written now."""
    if len(writes) == 1:
        return int(await put_if_older(mirror, writes[0]))
    written = 0
    for part in mirror.batches(writes):
        outcomes = await mirror.write_many(part)
        for write, outcome in zip(part, outcomes, strict=True):
            if isinstance(outcome, Refused):
                await check_refusal(mirror, write, outcome)
            elif isinstance(outcome, Unprocessed):
                raise outcome.error
            else:
                written += 1
    return written


async def check_refusal(mirror: Side, write: Write, refused: Refused) -> None:
    """Whether the mirror refused because it has this state or a newer one; it is asked if need be.

    Raises:
        MigrationError: it holds a record that is neither older nor of this run.
    """
    if not refused.told:
        current = await read_one(mirror, write.collection, write.key)
        refused = Refused(told=True, current=current)
    if not settled(write, refused):
        raise MigrationError(
            f"the mirror holds a record of {write.collection.name} that this run did not write: "
            f"key {write.key!r}"
        )


async def converge(
    home: Side, mirror: Side, collection: Collection, key: Key, setting: Setting
) -> bool:
    """Bring the mirror's record of one key up to the home's; whether it was written now.

    A record that is absent at home, without a tombstone, leaves nothing to bring.
    """
    stored = await read_one(home, collection, key)
    if stored is None:
        return False
    return await put_if_older(mirror, mirror_write(collection, stored, setting))
