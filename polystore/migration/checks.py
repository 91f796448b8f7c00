"""What each gate looks at: one function each, which changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import attrs

from polystore.capabilities import Capabilities, Freshness
from polystore.driver import Segment
from polystore.driver.side import Side
from polystore.effects import Procedure
from polystore.migration.fleet import Fleet, named
from polystore.migration.foreign import noted
from polystore.migration.group import OpenGroup, can_be_home, can_be_mirror
from polystore.migration.ledger import CONTROL, SLOTS
from polystore.migration.member import CLOSED
from polystore.migration.preflight.report import report_of
from polystore.migration.progress import copy_summary
from polystore.migration.request import Request
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Setting, Stage
from polystore.route.plain import patiently

PATIENCE = 30.0
"""Seconds for which a gate asks again where a database gives way."""


@attrs.frozen
class Gate:
    """One gate, looked at.

    Attributes:
        name: the name of its function, with hyphens.
        open: whether it is.
        says: what is so, and what to do where it is shut.
        seen: what was looked at, in as few words or numbers as it has.
        limit: what that has to be.
        firm: whether no override passes it: what it asks for is part of what keeps records.
    """

    name: str
    open: bool
    says: str
    seen: str
    limit: str
    firm: bool = False

    def text(self) -> str:
        """For people: what was seen, what is needed, and what to do where it is shut."""
        if self.open:
            return f"open  {self.name}: {self.seen}"
        return f"shut  {self.name}: {self.seen}, needs {self.limit}: {self.says}"


@attrs.frozen
class Situation:
    """What gates look at.

    Attributes:
        request: what the operator said: the group's name for the point of no return, the word that
            no writer, reader or TTL policy goes past the library.
    """

    group: OpenGroup
    fleet: Fleet
    setting: Setting
    request: Request


def _none(problems: Sequence[str]) -> tuple[str, str]:
    """How many problems were seen, and how many there may be."""
    return f"{len(problems)} problems", "0"


Check = Callable[[Situation], Procedure[Gate]]


async def homes_able(at: Situation) -> Gate:
    """The source can be a home, the target at least a mirror (MIR-9)."""
    source, target = (at.group.sides[name] for name in (SOURCE, TARGET))
    problems = [*_lacking(at, source, can_be_home), *_lacking(at, target, can_be_mirror)]
    text = (
        "the source has strong reads, conditional writes and atomic commits, the target the first"
    )
    says = "; ".join(problems) or text
    return Gate("homes-able", not problems, says, *_none(problems), firm=True)


async def target_able(at: Situation) -> Gate:
    """The target can be a home. Firm where a bucket would move; before, a mirror may be enough."""
    problems = _lacking(at, at.group.sides[TARGET], can_be_home)
    text = "the target has strong reads, conditional writes and atomic commits"
    lacks = f"{'; '.join(problems)}: it can only be a mirror, no bucket can move to it"
    firm = at.setting.stage is Stage.DUAL_READ
    says = lacks if problems else text
    return Gate("target-able", not problems, says, *_none(problems), firm=firm)


def _lacking(at: Situation, side: Side, able: Callable[[Capabilities], bool]) -> list[str]:
    """The collections of which a side promises too little."""
    asked = (*at.group.collections.values(), SLOTS)
    return [f"{side.name}: {c.name}" for c in asked if not able(side.capabilities(c))]


async def control_able(at: Situation) -> Gate:
    """The control store has strong reads and conditional writes."""
    promised = at.group.ledger.side.capabilities(CONTROL)
    able = promised.reads.point is Freshness.STRONG and "unchanged" in promised.writes.conditions
    text = "the control store needs strong reads and conditions: name another one (`control`)"
    seen = f"reads {promised.reads.point.value}"
    return Gate("control-able", able, text, seen, "strong reads, conditions", firm=True)


async def collections_there(at: Situation) -> Gate:
    """Every collection, and the slots, are there on both sides as declared."""
    problems = [
        f"{side.name}: {problem}"
        for side in at.group.sides.values()
        for collection in (*at.group.collections.values(), SLOTS)
        for problem in await _differing(side.name, at, collection.name)
    ]
    text = "; ".join(problems) or "all are there"
    return Gate("collections-there", not problems, text, *_none(problems))


async def _differing(side: str, at: Situation, name: str) -> Sequence[str]:
    collection = SLOTS if name == SLOTS.name else at.group.collection(name)
    described = await at.group.sides[side].describe(collection)
    if not described.exists:
        return (f"{name} does not exist: run `polystore create`",)
    return described.problems


async def preflight(at: Situation) -> Gate:
    """Every record of the source was looked at, and what was found is settled."""
    report = await report_of(at.group, at.setting)
    seen = "clean" if report.clean else "not clean"
    return Gate("preflight", report.clean, report.verdict(), seen, "clean")


async def sole_access(at: Situation) -> Gate:
    """The operator says that nothing reads, writes or removes records past the library."""
    return Gate(
        "sole-access",
        at.request.sole,
        "say that no process reads or writes these collections directly, and no TTL policy removes "
        "records: --sole-access",
        "said" if at.request.sole else "not said",
        "the operator's word",
    )


async def native_expiry_off(at: Situation) -> Gate:
    """No database removes records by itself, behind the back of the protocol.

    Where one does not tell, the operator's word that nobody else writes there stands for it.
    """
    problems = []
    for side in at.group.sides.values():
        for collection in at.group.collections.values():
            bound = at.group.bounds[collection.name].both
            ask = partial(side.native_expiry, collection)  # ten a second is all that DynamoDB takes
            told = await patiently(ask, PATIENCE, (bound, ()))
            if told.on or (told.on is None and not at.request.sole):
                problems.append(f"{side.name}: {told.says}")
    text = "no database removes records by itself"
    return Gate("native-expiry-off", not problems, "; ".join(problems) or text, *_none(problems))


async def target_empty(at: Situation) -> Gate:
    """The target holds nothing but records of this run."""
    for collection in at.group.collections.values():
        page = await at.group.sides[TARGET].scan(collection, Segment(), None, 100)
        foreign = sum(1 for s in page.records if (s.stamp or 0) < at.setting.floor())
        if foreign or page.unreadable:
            return Gate(
                "target-empty",
                False,
                f"{collection.name} on the target holds records that this run did not write: "
                "empty it, or take another place",
                f"{foreign + len(page.unreadable)} of the first {len(page.records)} records",
                "0 records of others",
            )
    text = "the target is empty, or holds this run's records"
    return Gate("target-empty", True, text, "0 records of others", "0")


async def copied(at: Situation) -> Gate:
    """The backfill of this dual-write is complete and its counts reconcile."""
    waiting, ended, segments = [], 0, 0
    for name in at.group.collections:
        summary = await copy_summary(at.group.ledger, at.setting, name)
        ended, segments = ended + summary.ended, segments + summary.segments
        if not summary.done:
            waiting.append(f"{name}: {summary.text()}")
    text = f"run `polystore migrate backfill`; {'; '.join(waiting)}"
    seen = f"{ended} of {segments} segments"
    limit = "all of them, settled"
    return Gate("copied", not waiting, text if waiting else "the copy is complete", seen, limit)


async def verified(at: Situation) -> Gate:
    """Both sides were compared in full in this dual-read, without open differences."""
    seen = f"epoch {at.setting.verified}" if at.setting.verified else "never"
    text = "run `polystore migrate verify` first"
    return Gate("verified", at.setting.verified > 0, text, seen, "in this dual-read")


async def no_foreign(at: Situation) -> Gate:
    """Nobody was seen to write past the library since the last full verification without it."""
    found = await noted(at.group.ledger, at.setting)
    text = "no foreign record is known"
    if found:
        text = "find who writes past the library and stop it; then run `polystore migrate verify`"
    seen = "; ".join(f"{name}: {count} times" for name, count in found.items()) or "0 times"
    return Gate("no-foreign", not found, text, seen, "0 times")


async def verified_since_turned(at: Situation) -> Gate:
    """Both sides were compared in full since the dial last moved."""
    done = at.setting.verified >= max(at.setting.turned, 1)
    seen = f"epoch {at.setting.verified}" if at.setting.verified else "never"
    text = "run `polystore migrate verify` at this dial"
    return Gate("verified-since-turned", done, text, seen, f"epoch {at.setting.turned} or later")


async def way_back_proven(at: Situation) -> Gate:
    """A few records of each collection could be brought from the target to the source."""
    seen = f"epoch {at.setting.proven}" if at.setting.proven else "never"
    text = "run `polystore migrate verify`, in full: it tells what is in the way"
    return Gate("way-back-proven", at.setting.proven > 0, text, seen, "in this dual-read")


async def all_acked(at: Situation) -> Gate:
    """Everybody works under the newest epoch [M: NO_ACKS]."""
    late = await at.fleet.behind(at.setting)
    text = f"epoch {at.setting.epoch} is not acknowledged by {named(late)}: a backlog, or a lost "
    text += "answer, holds it back; try again, and look at `open` in the status"
    text = text if late else "everybody is there"
    return Gate("all-acked", not late, text, f"{len(late)} members behind", "0", firm=True)


async def nobody_closed(at: Situation) -> Gate:
    """No member is closed and unrecovered: nobody knows yet what it left half done."""
    dead = [m for m in await at.fleet.members() if m.state == CLOSED]
    text = f"unrecovered: {named(dead)}: the stores that it wrote to have to answer; try again"
    text = text if dead else "nobody is"
    return Gate("nobody-closed", not dead, text, f"{len(dead)} members closed", "0", firm=True)


async def dial_at_100(at: Situation) -> Gate:
    """Every bucket has its home on the target: without a freeze reads are stale [M: PATH 3, 7]."""
    text = f"the dial is at {at.setting.dial():g} %: run `polystore migrate dial 100`"
    full = at.setting.moved == BUCKETS
    return Gate("dial-at-100", full, text, f"{at.setting.dial():g} %", "100 %", firm=True)


async def name_typed(at: Situation) -> Gate:
    """The operator typed the group's name: nothing leads back from target-only."""
    text = "nothing leads back: the source will no longer be written, and goes stale at once"
    return typed(at, "name-typed", text)


async def copies_named(at: Situation) -> Gate:
    """The operator typed the group's name: what a run wrote to the target is to be deleted."""
    return typed(
        at, "copies-named", "all that polystore has written to the target is deleted there"
    )


def typed(at: Situation, gate: str, text: str) -> Gate:
    """A gate that opens once the operator has typed the group's name; no override passes it."""
    name, confirm = at.group.config.name, at.request.confirm
    return Gate(
        gate,
        confirm == name,
        f"{text}. Type the group's name to go on: --confirm {name}",
        f"{confirm!r}" if confirm else "nothing typed",
        name,
        firm=True,
    )
