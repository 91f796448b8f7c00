"""All members of a group, as any process sees them: telling, waiting, burying."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from polystore.effects import Both, Now, Sleep
from polystore.errors import MigrationError, PolystoreError
from polystore.migration.group import OpenGroup
from polystore.migration.member import ACTIVE, CLOSED, PREFIX, RECOVERED, Member
from polystore.migration.recovery import LEASE_MARGIN, Recovered, close, recover
from polystore.migration.stages import Setting
from polystore.values import Fields

DEAD_LEASES = 1.5
"""A heartbeat that has not moved for so many leases counts as dead (PROTOCOL.md 5)."""


class Fleet:
    """The members of a group.

    It remembers when it saw each heartbeat move, on its own clock: nobody's wall clock matters.
    """

    def __init__(self, group: OpenGroup) -> None:
        self.group = group
        self._beats: dict[str, tuple[int, float]] = {}
        self.recovered: list[Recovered] = []

    async def members(self) -> list[Member]:
        """All members that may still act or be read from: active ones and unrecovered ones."""
        stored = await self.group.ledger.all(PREFIX)
        members = [Member.of(s) for s in stored if s.fields is not None]
        now = await Now()
        for member in members:
            seen = self._beats.get(member.id)
            if seen is None or seen[0] != member.beat:
                self._beats[member.id] = (member.beat, now)
        return [member for member in members if member.state != RECOVERED]

    async def tell(self, setting: Setting, *, fast: bool | None = None) -> None:
        """Copy what is new into each member's record, where it will look.

        Args:
            fast: whether to poll quickly from now on; ``None`` leaves that as it is.
        """
        for member in await self.members():
            if member.state == ACTIVE:
                await self.group.ledger.change(PREFIX + member.id, _told(setting, fast))

    async def wait(
        self,
        done: Callable[[Member], bool],
        *,
        within: float,
        close_after: float | None = None,
    ) -> list[Member]:
        """Wait until every member has done something, or is closed, recovered and out of lease.

        Args:
            done: looks at an active member.
            within: seconds to wait at most.
            close_after: in a freeze, seconds after which an active member that has not is shut
                out, and the wait given up where its lease cannot run out in time; ``None``
                otherwise: only those whose heartbeat stands still are shut out.

        Returns:
            The members that are still missing; empty when all are done.
        """
        started = await Now()
        while True:
            missing = [m for m in await self.members() if m.state != ACTIVE or not done(m)]
            if not missing:
                return []
            now = await Now()
            late = close_after is not None and now - started >= close_after
            gone = [m for m in missing if m.state == CLOSED or late or self.silent(m, now)]
            if gone and close_after is not None and started + within - now < self._burial():
                await Both(*(close(self.group, member) for member in gone))
                return missing  # nobody waits in a freeze for a lease to run out
            await Both(*(self.bury(member) for member in gone))
            if await Now() - started >= within:
                return missing
            await Sleep(self.group.config.fast_poll)

    def silent(self, member: Member, now: float) -> bool:
        """Whether a member's heartbeat has stood still for so long that it counts as dead."""
        _, since = self._beats[member.id]
        return now - since >= DEAD_LEASES * self.group.config.lease

    def _burial(self) -> float:
        """Seconds that it takes to close and recover a member, at least."""
        return LEASE_MARGIN * self.group.config.lease

    async def bury(self, member: Member) -> None:
        """Close a member and finish for it; a store that does not answer leaves it for later."""
        closed = await close(self.group, member)
        if closed.state != CLOSED:
            return
        try:
            self.recovered.append(await recover(self.group, closed))
        except MigrationError:
            raise
        except PolystoreError:
            return

    async def barrier(self, *, within: float) -> int:
        """Have every member converge what it recorded before now; the barrier's number.

        Raises:
            MigrationError: a member did not pass it in time; the message names those.
        """
        setting = await self.group.ledger.change_setting(_raised)
        await self.tell(setting, fast=True)
        number = setting.barrier
        missing = await self.wait(lambda member: member.barrier >= number, within=within)
        if missing:
            raise MigrationError(f"barrier {number}: no answer from {named(missing)}")
        return number


def named(members: Sequence[Member]) -> str:
    """Members for a message: their ids, and where they run."""
    return ", ".join(f"{member.id} ({place(member)})" for member in members)


def place(member: Member) -> str:
    """Where a member runs, for people."""
    fields = member.stored.fields or {}
    return f"{fields.get('host')!s}, process {fields.get('pid')!s}"


def _raised(setting: Setting) -> Setting:
    return attrs.evolve(setting, barrier=setting.barrier + 1)


def _told(setting: Setting, fast: bool | None) -> Callable[[Fields | None], Fields | None]:
    def change(fields: Fields | None) -> Fields | None:
        if fields is None or fields["state"] != ACTIVE:
            return None
        new: Fields = {
            **fields,
            "announced": max(_int(fields, "announced"), setting.epoch),
            "asked": max(_int(fields, "asked"), setting.barrier),
            "fast": fields["fast"] if fast is None else fast,
            "load": setting.load.to_fields(),
        }
        return None if new == fields else new

    return change


def _int(fields: Fields, name: str) -> int:
    value = fields[name]
    assert type(value) is int
    return value
