"""Suspects: differences that may be nothing but a write on its way, told apart and repaired.

A difference counts only after a barrier, and only if the home's stamp has not moved meanwhile
[M: NO_BARRIER, NO_RECHECK]. Repair goes through the home, never from the mirror to it
[M: COPY_BACK, BLIND_REPAIR].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from polystore.driver import Committed, Stored, Write
from polystore.driver.side import Side, read_all, read_one
from polystore.effects import Now
from polystore.errors import Contention, PolystoreError
from polystore.migration.compare import EXTRA, FOREIGN, MISSING, STALE, kind_of, paths
from polystore.migration.fleet import Fleet
from polystore.migration.foreign import note
from polystore.migration.group import OpenGroup
from polystore.migration.home import Fenced, Holding, commit
from polystore.migration.member import Incarnation
from polystore.migration.mirror import converge
from polystore.migration.poison import poison
from polystore.migration.session import Session
from polystore.migration.slots import FREE, OWED, UNKNOWN, Target
from polystore.migration.stages import SOURCE, Setting
from polystore.observe.counters import DIFFERS
from polystore.observe.events import DISCREPANCY
from polystore.route.plain import unchanged
from polystore.values import Key

MOST_COUNTED = 50
"""Fields whose differences one process counts apart; the rest are in the events alone."""

BARRIER_SECONDS = 30.0
"""How long a comparison waits for a barrier before it gives up."""


@attrs.frozen
class Discrepancy:
    """A difference that survived a recheck.

    Attributes:
        kind: of :data:`polystore.migration.compare.KINDS`.
        repaired: whether the sides agree now.
        paths: the fields that differed, where both sides had a record; never what they hold.
    """

    collection: str
    key: Key
    kind: str
    repaired: bool
    paths: tuple[str, ...] = ()


def tell(group: OpenGroup, found: Sequence[Discrepancy]) -> None:
    """Tell plugins of discrepancies, and count the fields that differed."""
    for one in found:
        group.tell(
            DISCREPANCY,
            collection=one.collection,
            key=one.key,
            differs=one.kind,
            paths=one.paths,
            repaired=one.repaired,
        )
        for path in one.paths:
            group.counters.add_new(f"{DIFFERS}:{one.collection}.{path}", MOST_COUNTED)


@attrs.frozen
class _Look:
    """Both sides of one key, read mirror first."""

    target: Target
    kind: str | None
    stamp: int | None
    paths: tuple[str, ...] = ()
    aside: bool = False
    """Whether the copy has set it aside, so that only one side is meant to have it."""


async def looks(group: OpenGroup, setting: Setting, targets: Sequence[Target]) -> list[_Look]:
    """Read the mirrors, then the homes, of some keys, and compare."""
    mirrors = await _read(group, targets, lambda key: group.other(group.home(setting, key)))
    homes = await _read(group, targets, lambda key: group.home(setting, key))
    return [_compared(group, setting, t, homes[t], mirrors[t]) for t in targets]


def _compared(
    group: OpenGroup, setting: Setting, target: Target, home: Stored | None, mirror: Stored | None
) -> _Look:
    compare = group.collection(target[0]).compare
    at_target = group.home(setting, target[1]).name == SOURCE
    kind = kind_of(setting, home, mirror, compare, at_target=at_target)
    found = () if kind is None else paths(home, mirror, compare)
    return _Look(target, kind, _stamp(home), found)


async def _read(
    group: OpenGroup, targets: Sequence[Target], side_of: Callable[[Key], Side]
) -> dict[Target, Stored | None]:
    """Records of several collections, each from its side, in as few calls as they take."""
    batches: dict[tuple[str, str], list[Key]] = {}
    for name, key in targets:
        batches.setdefault((name, side_of(key).name), []).append(key)
    found: dict[Target, Stored | None] = {}
    for (name, side), keys in batches.items():
        records = await read_all(group.sides[side], group.collection(name), keys)
        found.update(((name, key), stored) for key, stored in zip(keys, records, strict=True))
    return found


def _stamp(stored: Stored | None) -> int | None:
    return None if stored is None else stored.stamp


async def certain(group: OpenGroup, fleet: Fleet, suspects: Sequence[Target]) -> list[_Look]:
    """Of these suspects, the differences that are none of a write on its way.

    Raises:
        MigrationError: a barrier was not passed in time: nothing can be said.
    """
    setting = await group.ledger.setting()
    left = [seen for seen in await looks(group, setting, suspects) if seen.kind is not None]
    found: list[_Look] = []
    while left:
        await fleet.barrier(within=BARRIER_SECONDS)
        setting = await group.ledger.setting()
        if not setting.stage.mirrored:
            return []  # one side is left behind, as it should be
        before = {seen.target: seen.stamp for seen in left}
        left = [seen for seen in await looks(group, setting, list(before)) if seen.kind is not None]
        still = [
            seen
            for seen in left
            if _unmoved(before[seen.target], seen) and not _frozen(group, setting, seen.target)
        ]
        found += [await _judged(group, setting, seen) for seen in still]
        left = [seen for seen in left if seen not in still]  # written since: look again
    return found


async def _judged(group: OpenGroup, setting: Setting, seen: _Look) -> _Look:
    """The same, with whether it was set aside: then it is on the source alone, and stays there."""
    name, key = seen.target
    if seen.kind not in (MISSING, EXTRA):
        return seen
    known = await poison(group.ledger, setting, name, key)
    return attrs.evolve(seen, aside=known is not None)


def _unmoved(before: int | None, seen: _Look) -> bool:
    """Whether nothing was written at home between two looks [M: NO_RECHECK]."""
    return seen.stamp == before


def _frozen(group: OpenGroup, setting: Setting, target: Target) -> bool:
    if setting.frozen is None:
        return False
    return setting.frozen[0] <= group.bucket(target[1]) < setting.frozen[1]


async def repaired(session: Session, found: _Look, *, repair: bool = True) -> Discrepancy:
    """Repair one discrepancy: converge, after touching the home where stamps say nothing.

    Args:
        repair: whether it is repaired at all. One that is foreign never is where that halts the
            run: it is noted instead.
    """
    group = session.group
    name, key = found.target
    collection = group.collection(name)
    done = False
    try:
        setting = await group.ledger.setting()
        if found.kind == FOREIGN and group.halts(collection):
            await note(group.ledger, setting, name)
            repair = False
        if not repair:
            return Discrepancy(name, key, found.kind or "", False, found.paths)
        if found.kind not in (MISSING, STALE):
            await touch(session, setting, found.target)
        home = group.home(setting, key)
        await converge(home, group.other(home), collection, key, setting)
        done = (await looks(group, setting, [found.target]))[0].kind is None
    except PolystoreError:
        done = False
    if done:
        session.counters.add("repaired")
    return Discrepancy(name, key, found.kind or "", done, found.paths)


async def touch(session: Session, setting: Setting, target: Target) -> None:
    """Give the home's record a stamp above both sides', nothing else; absent: a tombstone.

    It is an attempt in a slot like any other commit, conditional on what was read.

    Raises:
        Contention: the record kept changing, which makes the touch unnecessary or late.
    """
    group = session.group
    name, key = target
    collection = group.collection(name)
    bucket = group.bucket(key)
    deadline = await Now() + group.config.call_timeout
    ticket = await session.latch.admit((bucket, bucket + 1), deadline)
    try:
        home = group.home(ticket.setting, key)
        at_home = await read_one(home, collection, key)
        at_mirror = await read_one(group.other(home), collection, key)
        top = max(setting.floor(), *(s.stamp or 0 for s in (at_home, at_mirror) if s is not None))
        fields = expires = None
        if at_home is not None:
            fields, expires = at_home.fields, at_home.expires
        write_id = group.ids.new()
        write = Write(collection, key, fields, unchanged(at_home), write_id, top + 1, expires)
        if not await _committed(session, ticket.incarnation, home.name, write, deadline):
            raise Contention("the record changed meanwhile")
    finally:
        session.latch.release(ticket)


async def _committed(
    session: Session, incarnation: Incarnation, home: str, write: Write, deadline: float
) -> bool:
    pool = incarnation.pools[home]
    where, ids = session.group.sides[home], session.group.ids
    with Holding(pool, await pool.take_by(deadline)) as holding:
        holding.state = UNKNOWN
        try:
            outcome = await commit(where, holding.slot, ids, [write], (), deadline)
        except Fenced:
            session.lost(incarnation)
            raise Contention("this process was shut out of the fleet") from None
        # The session's task converges it, should we not.
        applied = isinstance(outcome, Committed)
        holding.state = OWED if applied else FREE
        return applied


async def settle_suspects(
    session: Session, fleet: Fleet, suspects: Sequence[Target]
) -> list[Discrepancy]:
    """Tell suspects apart and repair those that are discrepancies."""
    found = await certain(session.group, fleet, suspects)
    return [await repaired(session, seen) for seen in found if not seen.aside]
