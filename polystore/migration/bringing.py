"""Pages of a copy are brought to the mirror; what that does not take is narrowed to single records.

A batch that fails again and again while the mirror answers is halved, and the halves, until single
records are left: these are set aside, and all others are written (BF-9).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

import attrs

from polystore.driver import Refused, Stored, Unprocessed, Write
from polystore.driver.side import Side, read_one
from polystore.effects import Sleep, Uniform
from polystore.errors import (
    ConfigError,
    Contention,
    DriverError,
    InvalidRequest,
    OutcomeUnknown,
    PolystoreError,
    Throttled,
    Unavailable,
)
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import SLOTS
from polystore.migration.mirror import check_refusal, mirror_write
from polystore.migration.poison import Poison
from polystore.migration.scanning import TRIES
from polystore.migration.stages import TARGET, Setting
from polystore.pacing.limiter import ASKED
from polystore.schema import Collection


class Bringing:
    """Brings pages of a copy to the target.

    Args:
        group: the open group.
        heed: asked before each batch: a chance to look at rates.
    """

    def __init__(self, group: OpenGroup, heed: Callable[[], Awaitable[None]]) -> None:
        self.group = group
        self._heed = heed
        self._target = group.sides[TARGET].background()
        self._taken: dict[str, Write] = {}
        """The last write of each collection that the target has taken."""

    async def bring(
        self, setting: Setting, collection: Collection, records: Sequence[Stored]
    ) -> Brought:
        """Write one page to the mirror; what became of it.

        Raises:
            Unavailable: the target does not answer.
        """
        bound = self.group.bounds[collection.name].both
        name, brought = collection.name, Brought()
        unique = {s.key: s for s in records}
        for stored in unique.values():
            write = mirror_write(collection, stored, setting, copying=True)
            violations = [] if write.fields is None else list(bound.violations(write))
            if violations:
                brought.poison.append(Poison.violating(name, stored.key, violations))
            else:
                brought.again.append(write)
        for attempt in range(TRIES):
            await self._sent(brought)
            if not brought.again:
                break
            await Sleep(0.1 * 2**attempt * (0.5 + 0.5 * await Uniform()))
        else:
            await self._narrowed(brought)
        brought.newer = len(records) - brought.written - len(brought.poison)
        return brought

    async def _sent(self, brought: Brought) -> None:
        """Send once what is left."""
        left, brought.again = brought.again, []
        await self._send(left, brought)

    async def _narrowed(self, brought: Brought) -> None:
        """Halve what keeps failing until single records are left, while all else is taken.

        Raises:
            PolystoreError: nothing of this collection is taken: it is no matter of single records.
        """
        parts = [brought.again]
        brought.again = []
        while parts:
            part = parts.pop()
            some = Brought(again=part)
            await self._sent(some)
            left, some.again = some.again, []
            brought.add(some)
            if len(left) > 1:
                parts += [left[: len(left) // 2], left[len(left) // 2 :]]
            elif left:
                await self._set_aside(left[0], some.why, brought)

    async def _set_aside(self, write: Write, why: PolystoreError | None, brought: Brought) -> None:
        name = write.collection.name
        error = why or Unavailable("a record could not be written", collection=name)
        known = self._taken.get(name)
        if known is None or isinstance(error, Throttled | Contention):
            raise error
        await read_one(self._target, SLOTS, ("", 0))
        await self._target.write(known)  # refused as a repetition, where writes are taken at all
        brought.poison.append(Poison.refused(name, write.key, self._target.driver.name, error))

    async def _send(self, writes: Sequence[Write], brought: Brought) -> None:
        """Send writes once, and add up what became of them."""
        target = self._target
        limit = target.capabilities(writes[0].collection).batches.write_items if writes else None
        size = limit.most if limit else max(len(writes), 1)
        start = 0
        while start < len(writes):
            await self._heed()
            portion = self.group.copying.portion(target.portion(size))
            batch = writes[start : start + portion]
            start += portion
            await self.group.copying.take(ASKED, (len(batch), 0.0), math.inf)
            try:
                outcomes = await target.write_many(batch)
            except (OutcomeUnknown, Unavailable, Contention, DriverError) as error:
                brought.again += batch
                brought.why = error
                continue
            except InvalidRequest as error:
                if isinstance(error, ConfigError):
                    raise
                if len(batch) == 1:
                    brought.refused(target, batch[0], error)
                for write in batch if len(batch) > 1 else ():
                    await self._send([write], brought)
                continue
            for write, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Unprocessed):
                    if isinstance(outcome.error, InvalidRequest):
                        brought.refused(target, write, outcome.error)
                    else:
                        brought.again.append(write)
                        brought.why = outcome.error
                elif isinstance(outcome, Refused):
                    await check_refusal(target, write, outcome)
                else:
                    brought.written += 1
                    self._taken[write.collection.name] = write


@attrs.define
class Brought:
    """What became of the records of one page.

    Attributes:
        written, newer: how many the target took, and had already.
        again: what has to be sent again.
        poison: what cannot be brought.
        why: the last failure of what is to be sent again.
    """

    written: int = 0
    newer: int = 0
    again: list[Write] = attrs.field(factory=list)
    poison: list[Poison] = attrs.field(factory=list)
    why: PolystoreError | None = None

    def refused(self, target: Side, write: Write, error: InvalidRequest) -> None:
        """The target refused a record that keeps within what it promises."""
        name = write.collection.name
        self.poison.append(Poison.refused(name, write.key, target.driver.name, error))

    def add(self, other: Brought) -> None:
        """Take over what was written of a part, and what cannot be."""
        self.written += other.written
        self.poison += other.poison
