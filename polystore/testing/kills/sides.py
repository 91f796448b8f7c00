"""What the two sides hold, read past polystore's routes, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from polystore.driver import Driver, Segment, Stored
from polystore.membership import Membership
from polystore.migration.stages import Setting
from polystore.schema import Collection
from polystore.values import Fields, Key, same

Place: TypeAlias = tuple[str, Key]


def scanned(driver: Driver, collection: Collection) -> list[Stored]:
    """All records of a collection on one side, tombstones included."""
    found: list[Stored] = []
    cursor: str | None = None
    while True:
        page = driver.scan(collection, Segment(), cursor, 1000)
        found += page.records
        cursor = page.cursor
        if cursor is None:
            return found


def both_sides(member: Membership) -> dict[str, dict[Place, Stored]]:
    """Everything that each side holds of a group."""
    return {
        side.name: {
            (name, stored.key): stored
            for name, collection in member.group.collections.items()
            for stored in scanned(side.driver, collection)
        }
        for side in member.group.sides.values()
    }


def differing(member: Membership, setting: Setting) -> list[Place]:
    """Keys that the sides do not agree on: fields, tombstones, stamps, write ids."""
    source, target = both_sides(member).values()
    floor = setting.floor()
    places = source.keys() | target.keys()
    return sorted(p for p in places if not _equal(source.get(p), target.get(p), floor))


def _equal(one: Stored | None, other: Stored | None, floor: int) -> bool:
    if one is None or other is None:
        return one is other
    return (
        max(one.stamp or 0, floor) == max(other.stamp or 0, floor)
        and one.write_id == other.write_id
        and (one.fields is None) == (other.fields is None)
        and (one.fields is None or same(one.fields, other.fields))
    )


def at_home(member: Membership, setting: Setting) -> Mapping[str, Mapping[Key, Fields]]:
    """All records as their homes hold them."""
    found: dict[str, dict[Key, Fields]] = {name: {} for name in member.group.collections}
    for side, records in both_sides(member).items():
        for (name, key), stored in records.items():
            if stored.fields is not None and setting.home(member.group.bucket(key)) == side:
                found[name][key] = stored.fields
    return found
