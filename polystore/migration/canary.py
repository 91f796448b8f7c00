"""The way back, proven on canary records before the first bucket moves (PROTOCOL.md 11).

Once a bucket has its home on the target, its writes go back to the source as mirror writes. So a
few records of each collection are taken as the target has them, and sent to the source as such a
write: that the source can hold what the target made of them, and lets this process write them. Each
write is one that the source surely refuses, as it has the record already: nothing is changed.
"""

from __future__ import annotations

import attrs

from polystore.driver import NOTHING, OlderThan, Refused, Segment, Stored, Write
from polystore.driver.side import Side, read_all
from polystore.effects import Sleep, Uniform
from polystore.errors import OutcomeUnknown, PolystoreError, Unavailable
from polystore.migration.compare import differs
from polystore.migration.group import OpenGroup
from polystore.migration.mirror import mirror_write
from polystore.migration.stages import SOURCE, TARGET, Setting
from polystore.schema import Collection

CANARIES = 4
"""Records of each collection that are tried."""

_ATTEMPTS = 10


async def way_back(group: OpenGroup, setting: Setting, collection: Collection) -> str:
    """What is in the way back for a collection; empty for nothing.

    A record that is being written just now, so that its sides differ, is no canary.
    """
    source, target = (group.sides[name].background() for name in (SOURCE, TARGET))
    try:
        page = await target.scan(collection, Segment(), None, CANARIES)
        keys = [stored.key for stored in page.records]
        for there, here in zip(page.records, await read_all(source, collection, keys), strict=True):
            if here is None or differs(setting, here, there, collection.compare):
                continue
            write = canary(group, mirror_write(collection, there, setting), here)
            if not await _refused(source, write):
                return "the source took a record that it has already"
    except PolystoreError as error:
        return f"{error.code}: {error}"
    return ""


def canary(group: OpenGroup, write: Write, here: Stored) -> Write:
    """The same write, so that the source refuses it whatever happens to the record meanwhile.

    Its stamp there never falls, and a record without one never goes: deletes leave a tombstone.
    """
    assert write.stamp is not None
    stamped = here.stamp is not None and here.stamp >= write.stamp
    condition = OlderThan(write.stamp) if stamped else NOTHING
    return attrs.evolve(write, condition=condition, write_id=group.ids.new())


async def _refused(source: Side, write: Write) -> bool:
    """Send it until there is an answer: it may be sent as often as one likes."""
    for attempt in range(_ATTEMPTS):
        try:
            return isinstance(await source.write(write), Refused)
        except (OutcomeUnknown, Unavailable):
            if attempt == _ATTEMPTS - 1:
                raise
            await Sleep(0.1 * await Uniform() * (attempt + 1))
    return False
