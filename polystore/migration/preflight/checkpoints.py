"""What a preflight keeps in the control store: which scan of which run, and how far it is.

Everything lies below ``preflight/RUN/``: ``scan`` is the newest scan, ``part/…`` its segments,
``observed/…`` what live writes showed, ``signed/…`` what somebody has signed off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import attrs

from polystore.capabilities import to_json
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import Ledger
from polystore.migration.preflight.looking import Tally
from polystore.migration.stages import Setting, Stage
from polystore.schema import Collection
from polystore.values import Fields


def run_of(setting: Setting) -> int:
    """The run that a preflight of now is for: in source-only the next."""
    return setting.run + (setting.stage is Stage.SOURCE_ONLY)


def root_of(run: int) -> str:
    """What the items of a run's preflight in the control store begin with."""
    return f"preflight/{run:05d}/"


def basis_of(group: OpenGroup, collection: Collection) -> str:
    """A digest of all that findings of a collection rest on, beside the records.

    What both sides promise, how the collection lies there, its key and its indexes: where one of
    them changes, what was found before says nothing any more.
    """
    sides = [
        [side.driver.name, to_json(side.capabilities(collection))] for side in group.sides.values()
    ]
    places = {name: dict(place) for name, place in collection.placements.items()}
    declared = [
        [(field.name, field.type.__name__) for field in collection.key],
        collection.partition,
        collection.oversized.value,
        [attrs.asdict(index) for index in collection.indexes],
        places,
    ]
    text = json.dumps([sides, declared], sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=16).hexdigest()


@attrs.frozen(kw_only=True)
class Begun:
    """One scan: its number in the run, who began it, when, and on what basis.

    Attributes:
        epoch: of the group when it began.
        when: the time of day as the person's machine tells it; decides nothing.
        basis: by collection.
    """

    number: int
    who: str
    when: str
    epoch: int
    basis: Mapping[str, str]

    def to_fields(self) -> Fields:
        """As fields of its record."""
        basis: Any = dict(self.basis)
        return {
            "number": self.number, "who": self.who, "when": self.when, "epoch": self.epoch,
            "basis": basis,
        }  # fmt: skip

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Begun:
        """What a record says."""
        return cls(**{a.name: fields[a.name] for a in attrs.fields(cls)})


@attrs.frozen(kw_only=True)
class Part:
    """How far the scan of one segment is, and what it found.

    Attributes:
        collection, index, count: the segment, and how many the collection has.
        cursor: where the next page begins.
        done: whether the end was reached.
        pages: pages looked at.
        scanned: records read, tombstones included.
        tally: what was found.
    """

    collection: str
    index: int
    count: int
    cursor: str | None = None
    done: bool = False
    pages: int = 0
    scanned: int = 0
    tally: Tally = attrs.field(factory=Tally)

    def to_fields(self) -> Fields:
        """As fields of its record."""
        plain: Fields = attrs.asdict(self, recurse=False)
        del plain["tally"]
        return {**plain, **self.tally.to_fields()}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Part:
        """What a record says."""
        plain = {a.name: fields[a.name] for a in attrs.fields(cls) if a.name != "tally"}
        return cls(**plain, tally=Tally.from_fields(fields))


async def begun(ledger: Ledger, run: int) -> Begun | None:
    """The newest scan for a run, or ``None``."""
    stored = await ledger.get(root_of(run) + "scan")
    return None if stored is None or stored.fields is None else Begun.from_fields(stored.fields)


async def parts(ledger: Ledger, run: int, number: int) -> list[Part]:
    """The segments of one scan, as far as they were planned."""
    stored = await ledger.all(parts_root(run, number))
    return [Part.from_fields(s.fields) for s in stored if s.fields is not None]


def complete(found: Sequence[Part], collections: Sequence[str]) -> bool:
    """Whether every segment of every collection was scanned to its end."""
    ended = {name: sum(p.done for p in found if p.collection == name) for name in collections}
    counts = {part.collection: part.count for part in found}
    return all(0 < counts.get(name, 0) == ended[name] for name in collections)


def parts_root(run: int, number: int) -> str:
    """What the items of the segments of one scan begin with."""
    return f"{root_of(run)}part/{number:05d}/"


def part_item(run: int, number: int, part: Part) -> str:
    """The item of one segment of one scan."""
    return f"{parts_root(run, number)}{part.collection}/{part.index:05d}"
