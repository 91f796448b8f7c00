"""Gates: the conditions that each stage change needs, and which of them an override passes."""

from __future__ import annotations

from collections.abc import Sequence

from polystore.errors import GateClosed, IllegalEdge, InvalidRequest
from polystore.migration.checks import (
    Check,
    Gate,
    Situation,
    all_acked,
    collections_there,
    control_able,
    copied,
    dial_at_100,
    homes_able,
    name_typed,
    native_expiry_off,
    no_foreign,
    nobody_closed,
    preflight,
    sole_access,
    target_able,
    target_empty,
    verified,
    verified_since_turned,
    way_back_proven,
)
from polystore.migration.measured import (
    backlog_young,
    members_know,
    nothing_owed,
    reads_agree,
    verified_lately,
    window_over,
)
from polystore.migration.request import Request
from polystore.migration.stages import BUCKETS, Setting, Stage, check_target, next_stage

INTO: dict[tuple[Stage, Stage], tuple[Check, ...]] = {
    (Stage.SOURCE_ONLY, Stage.ARMED): (
        members_know,
        control_able,
        homes_able,
        target_able,
        collections_there,
    ),
    (Stage.ARMED, Stage.PREPARE): (
        members_know,
        homes_able,
        collections_there,
        preflight,
        sole_access,
        native_expiry_off,
    ),
    (Stage.PREPARE, Stage.DUAL_WRITE): (target_empty,),
    (Stage.DUAL_WRITE, Stage.DUAL_READ): (copied,),
    (Stage.DUAL_READ, Stage.TARGET_ONLY): (
        dial_at_100,
        window_over,
        verified_since_turned,
        no_foreign,
        name_typed,
    ),
    (Stage.TARGET_ONLY, Stage.CLEAN): (nothing_owed,),
    (Stage.CLEAN, Stage.DETACHED): (nothing_owed,),
}
"""The gates of each edge forward, beside those of every step."""

EVERY_STEP: tuple[Check, ...] = (all_acked, nobody_closed)
"""The gates of every step, on the way back, too; a step waits for them first."""

FIRST_TURN: tuple[Check, ...] = (
    target_able,
    verified,
    verified_lately,
    way_back_proven,
    backlog_young,
    reads_agree,
)
"""The gates of a dial step that moves the first bucket."""


def turning(setting: Setting, goal: int, colocate: int | None) -> Sequence[Check]:
    """The gates of a dial towards ``goal`` moved buckets.

    Raises:
        IllegalEdge: not in dual-read, or a partial dial without a colocation key.
    """
    if setting.stage is not Stage.DUAL_READ:
        raise IllegalEdge(f"the dial moves in dual-read; this is {setting.stage.value}")
    if colocate is None and goal not in (0, BUCKETS):
        raise IllegalEdge("without `colocate` transactions need the dial at 0 or at 100")
    if goal <= setting.moved:
        return ()
    return (*FIRST_TURN, no_foreign) if setting.moved == 0 else (no_foreign,)


def ahead(setting: Setting) -> Sequence[Check]:
    """The gates of the next stage. Raises IllegalEdge where there is none."""
    stage = setting.stage
    following = Stage.ARMED if stage is Stage.SOURCE_ONLY else next_stage(stage)
    check_target(setting, following)
    return INTO.get((stage, following), ())


async def looked_at(checks: Sequence[Check], at: Situation) -> list[Gate]:
    """Each of these gates, looked at now."""
    return [await check(at) for check in checks]


def names() -> frozenset[str]:
    """The names of all gates."""
    checks = (*EVERY_STEP, *FIRST_TURN, *(check for edge in INTO.values() for check in edge))
    return frozenset(check.__name__.replace("_", "-") for check in checks)


def passed(gates: Sequence[Gate], request: Request) -> list[Gate]:
    """The gates that are shut and that the request passes all the same.

    Raises:
        GateClosed: naming each gate that is shut and not passed, and what to do.
        InvalidRequest: an override without who and why, or of a gate that does not exist.
    """
    unknown = sorted(request.override - names())
    if unknown:
        raise InvalidRequest(
            f"there is no gate {', '.join(unknown)}: the gates are {', '.join(sorted(names()))}"
        )
    shut = [gate for gate in gates if not gate.open]
    over = [gate for gate in shut if gate.name in request.override and not gate.firm]
    closed = [gate for gate in shut if gate not in over]
    if closed:
        raise GateClosed(
            "; ".join(_told(gate, request) for gate in closed), gates=[g.name for g in closed]
        )
    if over and not (request.who.strip() and request.why.strip()):
        raise InvalidRequest("an override needs who and why, in words: --who, --why")
    return over


def _told(gate: Gate, request: Request) -> str:
    firm = gate.firm and gate.name in request.override
    text = f"{gate.name} ({gate.seen}, needs {gate.limit}): {gate.says}"
    return f"{text} (no override passes this gate)" if firm else text
