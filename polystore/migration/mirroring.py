"""After the home commit: the mirror, as the policy of the collection says (PROTOCOL.md 6)."""

from __future__ import annotations

from collections.abc import Sequence

from polystore.capacity import FAIL
from polystore.driver import Stored, Write
from polystore.driver.side import Side
from polystore.effects import Now, Sleep, Uniform
from polystore.errors import Contention, MigrationError, MirrorPending, PolystoreError
from polystore.migration.frame import Admitted, Frame
from polystore.migration.mirror import mirror_write, put_all_if_older
from polystore.observe.counters import DUE, MIRRORED, PENDING, QUEUED
from polystore.pacing.turn import strictest
from polystore.route.plain import version_of


class Mirroring(Frame):
    """Brings the mirror what was committed, or leaves it to the background."""

    async def _mirrored(self, at: Admitted, home: Side, writes: Sequence[Write]) -> bool:
        """Bring the mirror what was just committed; ``False`` leaves it to the background."""
        if not at.setting.stage.mirrored:
            return True
        self.session.counters.add(DUE, len(writes))
        mirror = at.side(self.group.other(home).name)
        policy = strictest(self.group.overload(write.collection) for write in writes)
        tried = await self._brought(at, mirror, writes, policy)
        while not tried and policy == FAIL:
            pause = 0.02 + 0.08 * await Uniform()
            if await Now() + pause >= at.turn.until:
                self.session.counters.add(PENDING, len(writes))
                raise MirrorPending(
                    "the write stands at its home; the mirror did not have it by the deadline, and "
                    "will follow: nothing is to be sent again",
                    versions=[version_of(write) for write in writes],
                )
            await Sleep(pause)
            tried = await self._brought(at, mirror, writes, policy)
        self.session.counters.add(MIRRORED if tried else PENDING, len(writes))
        return tried

    async def _brought(
        self, at: Admitted, mirror: Side, writes: Sequence[Write], policy: str
    ) -> bool:
        """Try the mirror once, where that is worth a caller's time; whether it has the writes."""
        if at.turn.full(mirror):
            self.session.counters.add(QUEUED, len(writes))
            return False
        breaker = self.group.breakers[mirror.name]
        begun = await Now()
        if policy != FAIL and not breaker.allows(begun):
            return False
        ready = [
            mirror_write(
                w.collection,
                Stored(w.key, w.fields, None, w.write_id, w.stamp, w.expires),
                at.setting,
            )
            for w in writes
        ]
        try:
            await put_all_if_older(mirror, ready)
        except (MigrationError, Contention):  # it answers, but somebody else is at this key
            return False
        except PolystoreError:
            breaker.failed(await Now())
            return False
        now = await Now()
        breaker.answered(now, now - begun)
        return True
