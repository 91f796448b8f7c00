"""Gates: conditions that a stage change needs. Each is one function; an override is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import attrs

from polystore.capabilities import CONDITIONS, Freshness, Scope
from polystore.driver import Segment
from polystore.effects import Procedure
from polystore.migration.fleet import Fleet, named
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import CONTROL, SLOTS
from polystore.migration.preflight.report import report_of
from polystore.migration.progress import copy_summary
from polystore.migration.stages import BUCKETS, TARGET, Setting, Stage
from polystore.route.plain import patiently

PATIENCE = 30.0
"""Seconds for which a gate asks again where a database gives way."""


@attrs.frozen
class Gate:
    """One gate, looked at: its name, whether it is open, and what to do where it is not."""

    name: str
    open: bool
    says: str


@attrs.frozen
class Situation:
    """What gates look at.

    Attributes:
        typed: the group's name as the operator typed it, for the point of no return.
        sole: the operator's word that no writer, reader or TTL policy goes past the library.
    """

    group: OpenGroup
    fleet: Fleet
    setting: Setting
    typed: str = ""
    sole: bool = False


Check = Callable[[Situation], Procedure[Gate]]


async def homes_able(at: Situation) -> Gate:
    """Both sides can be a home: strong reads, conditional writes, commits over collections."""
    problems = []
    for side in at.group.sides.values():
        for collection in (*at.group.collections.values(), SLOTS):
            promised = side.capabilities(collection)
            if (
                promised.reads.point is not Freshness.STRONG
                or promised.transactions.scope is not Scope.STORE
                or promised.writes.conditions != CONDITIONS
            ):
                problems.append(f"{side.name}: {collection.name}")
    text = "both sides have strong reads, conditional writes and atomic commits"
    return Gate("homes-able", not problems, "; ".join(problems) or text)


async def control_able(at: Situation) -> Gate:
    """The control store has strong reads and conditional writes."""
    promised = at.group.ledger.side.capabilities(CONTROL)
    able = promised.reads.point is Freshness.STRONG and "unchanged" in promised.writes.conditions
    return Gate("control-able", able, "the control store needs strong reads and conditions")


async def collections_there(at: Situation) -> Gate:
    """Every collection, and the slots, are there on both sides as declared."""
    problems = [
        f"{side.name}: {problem}"
        for side in at.group.sides.values()
        for collection in (*at.group.collections.values(), SLOTS)
        for problem in await _differing(side.name, at, collection.name)
    ]
    return Gate("collections-there", not problems, "; ".join(problems) or "all are there")


async def _differing(side: str, at: Situation, name: str) -> Sequence[str]:
    collection = SLOTS if name == SLOTS.name else at.group.collection(name)
    described = await at.group.sides[side].describe(collection)
    if not described.exists:
        return (f"{name} does not exist: run `polystore create`",)
    return described.problems


async def preflight(at: Situation) -> Gate:
    """Every record of the source was looked at, and what was found is settled."""
    report = await report_of(at.group, at.setting)
    return Gate("preflight", report.clean, report.verdict())


async def sole_access(at: Situation) -> Gate:
    """The operator says that nothing reads, writes or removes records past the library."""
    return Gate(
        "sole-access",
        at.sole,
        "say that no process reads or writes these collections directly, and no TTL policy removes "
        "records: --sole-access",
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
            if told.on or (told.on is None and not at.sole):
                problems.append(f"{side.name}: {told.says}")
    text = "no database removes records by itself"
    return Gate("native-expiry-off", not problems, "; ".join(problems) or text)


async def target_empty(at: Situation) -> Gate:
    """The target holds nothing but records of this run."""
    for collection in at.group.collections.values():
        page = await at.group.sides[TARGET].scan(collection, Segment(), None, 100)
        foreign = sum(1 for s in page.records if (s.stamp or 0) < at.setting.floor())
        if foreign:
            return Gate(
                "target-empty",
                False,
                f"{collection.name} on the target holds records that this run did not write: "
                "empty it, or take another place",
            )
    return Gate("target-empty", True, "the target is empty, or holds this run's records")


async def copied(at: Situation) -> Gate:
    """The backfill of this dual-write is complete and its counts reconcile."""
    waiting = []
    for name in at.group.collections:
        summary = await copy_summary(at.group.ledger, at.setting, name)
        if not summary.done:
            waiting.append(f"{name}: {summary.text()}")
    text = f"run `polystore migrate backfill`; {'; '.join(waiting)}"
    return Gate("copied", not waiting, text if waiting else "the copy is complete")


async def verified(at: Situation) -> Gate:
    """Both sides were compared in full in this dual-read, without open differences."""
    return Gate("verified", at.setting.verified > 0, "run `polystore migrate verify` first")


async def verified_here(at: Situation) -> Gate:
    """Both sides were compared in full since the dial last moved."""
    done = at.setting.verified >= max(at.setting.turned, 1)
    return Gate("verified-since-turned", done, "run `polystore migrate verify` at this dial")


async def nobody_closed(at: Situation) -> Gate:
    """No member is closed and unrecovered."""
    dead = [m for m in await at.fleet.members() if m.state == "closed"]
    return Gate("nobody-closed", not dead, f"unrecovered: {named(dead)}" if dead else "nobody is")


async def dial_full(at: Situation) -> Gate:
    """Every bucket has its home on the target."""
    return Gate(
        "dial-at-100", at.setting.moved == BUCKETS, f"the dial is at {at.setting.dial():g} %"
    )


async def name_typed(at: Situation) -> Gate:
    """The operator typed the group's name: nothing leads back from target-only."""
    return Gate(
        "name-typed",
        at.typed == at.group.config.name,
        f"nothing leads back: the source will no longer be written, and goes stale at once. Type "
        f"the group's name to go on: --confirm {at.group.config.name}",
    )


INTO: dict[tuple[Stage, Stage], tuple[Check, ...]] = {
    (Stage.SOURCE_ONLY, Stage.ARMED): (control_able, homes_able, collections_there),
    (Stage.ARMED, Stage.PREPARE): (
        homes_able,
        collections_there,
        preflight,
        sole_access,
        native_expiry_off,
    ),
    (Stage.PREPARE, Stage.DUAL_WRITE): (target_empty,),
    (Stage.DUAL_WRITE, Stage.DUAL_READ): (copied, nobody_closed),
    (Stage.DUAL_READ, Stage.TARGET_ONLY): (dial_full, verified_here, nobody_closed, name_typed),
    (Stage.TARGET_ONLY, Stage.CLEAN): (nobody_closed,),
}
"""The gates of each edge forward; going back needs none but the edge itself."""

FIRST_TURN: tuple[Check, ...] = (verified, nobody_closed)
"""The gates of a dial step that moves the first bucket."""


async def looked_at(checks: Sequence[Check], at: Situation) -> list[Gate]:
    """Each of these gates, looked at now."""
    return [await check(at) for check in checks]
