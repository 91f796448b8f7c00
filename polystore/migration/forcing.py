"""Going on with one side for the day when the other is gone for good: what that may cost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import attrs

from polystore.driver.side import read_one
from polystore.migration.checks import Check, Gate, Situation, target_able, typed
from polystore.migration.fleet import Fleet
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import SLOTS
from polystore.migration.member import ACTIVE
from polystore.migration.progress import Summary, copy_summary
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Setting, forced


@attrs.frozen
class Price:
    """What may be lost where a group goes on with one side alone, as far as it can be counted.

    Attributes:
        kept, lost: the side that is left, and the one that is gone.
        buckets: buckets whose home is the side that is gone.
        unmirrored: acknowledged writes that members last told the mirror may lack, wherever their
            home is; those at the side that is left are not lost.
        silent: members that are closed and unrecovered: what they owed nobody can tell.
        copies: the copy of each collection, where the target is left.
    """

    kept: str
    lost: str
    buckets: int
    unmirrored: int
    silent: int
    copies: Mapping[str, Summary]

    @property
    def uncopied(self) -> dict[str, Summary]:
        """The collections that the target does not have whole."""
        return {name: copy for name, copy in self.copies.items() if _lacks(copy)}

    def lines(self) -> list[str]:
        """For people, before they decide."""
        lines = [f"the {self.lost} is given up for good: nothing reads or writes it from then on"]
        for name, copy in self.uncopied.items():
            lines.append(f"LOST of {name}: what the copy did not bring: {copy.text()}")
        if not self.buckets:
            lines.append(f"no acknowledged write is lost: the {self.kept} is home of every bucket")
            return lines
        lines.append(
            f"the {self.lost} is home of {self.buckets} of {BUCKETS} buckets: acknowledged writes "
            f"there that the {self.kept} did not get are LOST, or come late"
        )
        lines.append(
            f"counted: up to {self.unmirrored}, as the members last told; what was written since "
            "nobody has counted"
        )
        if self.silent:
            lines.append(f"{self.silent} members died and left what nobody can read any more")
        return lines

    def text(self) -> str:
        """For the history."""
        return "; ".join(self.lines())


def _lacks(copy: Summary) -> bool:
    return copy.segments == 0 or copy.ended < copy.segments or copy.rejected > 0


async def price_of(group: OpenGroup, fleet: Fleet, setting: Setting, kept: str) -> Price:
    """What it may cost to go on with this side alone; calls neither side.

    Raises:
        IllegalEdge: the stage does not use both sides.
    """
    forced(setting, kept)  # is there such a way at all?
    lost = TARGET if kept == SOURCE else SOURCE
    members = await fleet.members()
    copies = {}
    for name in group.collections if kept == TARGET else ():
        copies[name] = await copy_summary(group.ledger, setting, name)
    return Price(
        kept,
        lost,
        sum(setting.home(bucket) == lost for bucket in range(BUCKETS)),
        sum(member.unmirrored for member in members),
        sum(member.state != ACTIVE for member in members),
        copies,
    )


async def loss_named(at: Situation) -> Gate:
    """The operator typed the group's name: what only the side that is gone has is lost."""
    return typed(at, "loss-named", "what only the side that is gone has is lost for good")


async def _answers(kept: str, at: Situation) -> Gate:
    await read_one(at.group.sides[kept], SLOTS, ("", 0))
    return Gate("kept-answers", open=True, says=f"the {kept} answers", seen="yes", limit="yes")


def forcing(kept: str) -> tuple[Check, ...]:
    """The gates of going on with one side; one that does not answer raises what it raises."""
    able: tuple[Check, ...] = (target_able,) if kept == TARGET else ()
    return (*able, partial(_answers, kept), loss_named)
