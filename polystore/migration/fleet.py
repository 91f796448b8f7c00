"""All members of a group, as any process sees them: telling, waiting, burying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

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

SILENT = "its heartbeat stood still"
LATE = "it had not acknowledged when all else waited for it"

LANES, PER_LANE = 32, 16
"""Members are told by as many at once as that, each of so many: 500 within about 0.2 s."""


class Fleet:
    """The members of a group.

    It remembers when it saw each heartbeat move, on its own clock: nobody's wall clock matters.

    Args:
        group: the open group.
        who: whose look at the members it is, for the history.
    """

    def __init__(self, group: OpenGroup, who: Callable[[], str] = lambda: "a command") -> None:
        self.group = group
        self._who = who
        self._acts: dict[tuple[str, str], list[str]] = {}
        """What was done to which members, and why, that the history does not have yet."""
        self._beats: dict[str, tuple[int, float]] = {}
        self.recovered: list[Recovered] = []
        self._remains: list[Member] = []

    async def members(self) -> list[Member]:
        """All members that may still act or be read from: active ones and unrecovered ones."""
        stored = await self.group.ledger.all(PREFIX)
        members = [Member.of(s) for s in stored if s.fields is not None]
        now = await Now()
        for member in members:
            seen = self._beats.get(member.id)
            if seen is None or seen[0] != member.beat:
                self._beats[member.id] = (member.beat, now)
        self._remains = [member for member in members if removable(member)]
        return [member for member in members if member.state != RECOVERED]

    async def behind(self, setting: Setting) -> list[Member]:
        """Who does not work under an epoch yet."""
        return behind(setting, await self.members())

    async def tidy(self) -> int:
        """Remove the records of the dead that the last look at the members found; how many.

        Anybody may, at any time: a record is removed only as it was seen, whoever waits for members
        leaves the recovered out, and an owner that wakes up finds no record, as if it were closed.
        Its slots stay, closed, until the run is cleaned up: they still stop late calls.
        """
        remains, self._remains = self._remains, []
        return sum([await self.group.ledger.delete(member.stored) for member in remains])

    async def tell(self, setting: Setting, *, fast: bool | None = None) -> None:
        """Copy what is new into each member's record, where it will look.

        Args:
            fast: whether to poll quickly from now on; ``None`` leaves that as it is.
        """
        told = [member for member in await self.members() if member.state == ACTIVE]
        lanes = min(LANES, -(-len(told) // PER_LANE))
        if lanes > 1:
            await Both(*(self._tell(told[i::lanes], setting, fast) for i in range(lanes)))
        else:
            await self._tell(told, setting, fast)

    async def _tell(self, told: Sequence[Member], setting: Setting, fast: bool | None) -> None:
        for member in told:
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
                await Both(*(self._close(member, LATE) for member in gone))
                return missing  # nobody waits in a freeze for a lease to run out
            await Both(*(self.bury(m, SILENT if self.silent(m, now) else LATE) for m in gone))
            await self.record()
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

    async def bury(self, member: Member, why: str = SILENT) -> None:
        """Close a member and finish for it; a store that does not answer leaves it for later.

        Args:
            why: for the history, which has it after the next :meth:`record`.
        """
        closed = await self._close(member, why)
        if closed.state != CLOSED:
            return
        try:
            found = await recover(self.group, closed)
        except MigrationError:
            raise
        except PolystoreError:
            return
        self.recovered.append(found)
        if found.ended:
            brought = f"{found.intents} keys in its slots, {found.converged} brought to the mirror"
            self._acts.setdefault(("recovered", brought), []).append(member.id)

    async def _close(self, member: Member, why: str) -> Member:
        acts = self._acts
        return await close(
            self.group, member, lambda m: acts.setdefault(("closed", why), []).append(m)
        )

    async def record(self) -> None:
        """Keep in the history whom this has closed and recovered since (HIS-5)."""
        if not self._acts:
            return
        acts, self._acts = self._acts, {}
        with suppress(PolystoreError):  # what was done is done
            setting = await self.group.ledger.setting()
            for (what, why), ids in acts.items():
                await self.group.ledger.record(
                    setting, f"{what} {', '.join(ids)}", self._who(), why
                )

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


def removable(member: Member) -> bool:
    """Whether nothing rests on a member's record any more.

    Its slots are closed, what they named is converged, and its lease and plain calls have run out.
    """
    return member.state == RECOVERED


def behind(setting: Setting, members: Sequence[Member]) -> list[Member]:
    """Those of some members that do not work under an epoch yet."""
    return [member for member in members if member.acked < setting.epoch]


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
