"""What a verification keeps in the control store: another process goes on where one has died.

One record for each collection, written at checkpoints: there nothing is kept in memory any more,
everything that was walked is compared, and what differed is repaired. Counts go on from there, so
that they reconcile over the whole (VER-3, VER-9).
"""

from __future__ import annotations

from typing import Any

import attrs

from polystore.driver import Segment, Stored
from polystore.migration.ledger import Ledger
from polystore.migration.repair import Discrepancy
from polystore.migration.stages import SOURCE, TARGET, Setting
from polystore.migration.walk import Part, Walk
from polystore.schema import Collection
from polystore.values import Fields, Key

MOST_KEPT_KEYS = 1_000
"""Keys (differences, unreadable records) that a record holds; with more it is not renewed, and who
goes on does so from before: a database's records have a size."""


@attrs.define(eq=False)
class Kept:
    """The record of one collection, as this process has last seen it.

    Attributes:
        began: when the run began, in seconds since 1970.
        repair: whether it repairs.
        met: how often foreign records had been met by then.
        ended: whether the collection was finished.
        mine: whether nobody else has written it since.
    """

    walk: Walk
    began: int
    repair: bool
    met: int
    ended: bool = False
    stored: Stored | None = None
    mine: bool = True


def _root(setting: Setting) -> str:
    """Where the records of one copy and dial setting are: another one makes them worthless."""
    return f"verify/{setting.run}.{setting.copied}.{setting.turned}.{setting.moved}/"


async def kept(
    ledger: Ledger, setting: Setting, collection: Collection, *, repair: bool, oldest: int
) -> tuple[Stored | None, Kept | None]:
    """The record that is there, and what it says where that can be gone on with.

    Args:
        repair: whether the run repairs: a record of another kind of run is none to go on with, nor
            one that was compared by other rules.
        oldest: the earliest beginning that still counts, in seconds since 1970.
    """
    stored = await ledger.get(_root(setting) + collection.name)
    if stored is None or stored.fields is None:
        return None, None
    told: dict[str, Any] = stored.fields
    if "over" in told or told["repair"] is not repair or told["began"] < oldest:
        return stored, None
    if told["rules"] != list(collection.compare.rules):
        return stored, None
    parts = {side: [_part(one) for one in told["parts"][side]] for side in (SOURCE, TARGET)}
    walk = Walk(setting, collection, parts)
    walk.compared_of.update(told["compared"])
    walk.explained_of.update(told["explained"])
    for side, keys in told["unread"].items():
        walk.unread[side] = dict.fromkeys(map(tuple, keys))
    found = walk.found
    found.walked.update(told["walked"])
    found.equal, found.suspects, found.aside = (told[n] for n in ("equal", "suspects", "aside"))
    found.way_back = told["way_back"]
    found.discrepancies = [_discrepancy(collection, one) for one in told["discrepancies"]]
    return stored, Kept(walk, told["began"], repair, told["met"], told["ended"], stored)


async def keep(ledger: Ledger, kept: Kept) -> None:
    """Renew the record, unless somebody else goes on with it."""
    walk, found = kept.walk, kept.walk.found
    keys = len(found.discrepancies) + sum(map(len, walk.unread.values()))
    if not kept.mine or keys > MOST_KEPT_KEYS:
        return
    fields: Fields = {
        "began": kept.began,
        "repair": kept.repair,
        "met": kept.met,
        "rules": list(walk.collection.compare.rules),
        "ended": kept.ended,
        "parts": {side: [_told(part) for part in parts] for side, parts in walk.parts.items()},
        "compared": dict(walk.compared_of),
        "explained": dict(walk.explained_of),
        "unread": {side: [list(key) for key in keys] for side, keys in walk.unread.items()},
        "walked": dict(found.walked),
        "equal": found.equal,
        "suspects": found.suspects,
        "aside": found.aside,
        "way_back": found.way_back,
        "discrepancies": [
            {"key": list(d.key), "kind": d.kind, "repaired": d.repaired, "paths": list(d.paths)}
            for d in found.discrepancies
        ],
    }
    kept.stored = await ledger.put(_root(walk.setting) + found.collection, fields, kept.stored)
    kept.mine = kept.stored is not None


async def forget(ledger: Ledger, setting: Setting) -> None:
    """A run has ended, or failed: the next one begins anew."""
    for stored in await ledger.all(_root(setting)):
        await ledger.change(str(stored.key[1]), lambda _: {"over": True})


def _told(part: Part) -> Fields:
    index, count = part.segment.index, part.segment.count
    return {"index": index, "count": count, "cursor": part.cursor, "done": part.done}


def _part(told: dict[str, Any]) -> Part:
    return Part(Segment(told["index"], told["count"]), told["cursor"], told["done"])


def _discrepancy(collection: Collection, told: dict[str, Any]) -> Discrepancy:
    key: Key = tuple(told["key"])
    return Discrepancy(collection.name, key, told["kind"], told["repaired"], tuple(told["paths"]))
