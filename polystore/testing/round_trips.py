"""Round trips between two databases: random records go there and back as a migration takes them.

An example is one record, drawn by itself by Hypothesis: a shape of key, its parts, values of every
type in plain and in indexed fields. Many examples travel in one call, so that thousands are cheap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count, pairwise

import attrs
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from polystore.capabilities import Capabilities, EmptyKey, Keys
from polystore.driver import ANYTHING, Segment, Stored, Write, Written
from polystore.driver.side import Side, read_all
from polystore.errors import InvalidRequest
from polystore.migration.compare import kind_of
from polystore.migration.mirror import mirror_write
from polystore.migration.stages import Setting, Stage
from polystore.route.base import visible
from polystore.route.bound import Bound
from polystore.runner import SyncRunner
from polystore.schema import Collection
from polystore.testing import strategies as portable
from polystore.values import Fields, Key, same

SHAPES: dict[str, tuple[str, ...]] = {
    "str": ("id:str",),
    "int": ("id:int",),
    "bytes-str": ("p:bytes", "s:str"),
    "int-bytes-str": ("p:int", "s:bytes", "t:str"),
    "path": ("p:str", "s:int"),
}
"""Shapes of keys; ``path`` is an ancestor path where a database has such."""

INDEXES = {"by_a": ("a:number",), "by_b": ("b", "c")}
POLICIES = {
    "int": {"dynamodb": {"by_a": "native"}, "sqlite": {"by_b": "omit"}},
    "str": {"datastore": {"by_a": "encode", "by_b": "omit"}},
    "bytes-str": {
        "datastore": {"by_b": "encode"},
        "memory": {"by_a": "omit", "by_b": "omit"},
        "sqlite": {"by_b": "omit"},
        "dynamodb": {"by_a": "omit", "by_b": "omit"},
    },
}
"""Index policies by shape and database; the others are each database's default."""

HELD = {
    "bytes-str": Capabilities(keys=Keys(empty=EmptyKey.REJECTED)),
    "path": Capabilities(keys=Keys(empty=EmptyKey.REJECTED, int_min=1)),
}
"""What parts the keys of a shape have: the ids of an ancestor path begin at 1. The other shapes
have all, so that each pair of databases refuses some."""

PAGE = 500
LATE = 2**52
"""A moment in microseconds since 1970, in the next century."""

_runner = SyncRunner()
_numbers = count(1)


@attrs.frozen(eq=False)
class Example:
    """One random record.

    Every second is one that polystore did not write, without a write id; every third expires.
    """

    shape: str
    fields: Fields
    write_id: str | None
    expires: int | None


@attrs.define
class Trip:
    """What came of a round trip.

    Attributes:
        examples: records that both databases hold, and that went there and back.
        refused: records that one of them cannot hold; nothing of them was written.
        differences: what came back as something else, a line each.
    """

    examples: int = 0
    refused: int = 0
    differences: list[str] = attrs.field(factory=list)


def declared(shape: str) -> Collection:
    """A collection of a shape that no other call gave."""
    name = f"trip{next(_numbers)}"
    placements: dict[str, dict[str, object]] = {
        driver: {"policy": policy} for driver, policy in POLICIES.get(shape, {}).items()
    }
    if shape == "path":
        placements["datastore"] = {"path": f"{name}A/{{p}}/{name}B/{{s}}"}
    return Collection(
        f"{name}.{shape}",
        SHAPES[shape],
        partition=2 if shape == "int-bytes-str" else 1,
        indexes=INDEXES,
        placements=placements,
    )


def drawn(wanted: int) -> list[Example]:
    """So many examples."""
    found: list[Example] = []
    shapes = [
        st.tuples(
            st.just(shape),
            portable.records(declared(shape), HELD.get(shape), max_fields=3),
        )
        for shape in SHAPES
    ]

    @settings(
        max_examples=wanted,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(shapes))
    def draw(example: tuple[str, Fields]) -> None:
        n = len(found)
        found.append(Example(*example, f"w{n}" if n % 2 else None, LATE + n if n % 3 else None))

    draw()
    return found


def round_trip(source: Side, target: Side, examples: Sequence[Example]) -> Trip:
    """Take examples from source to target and back into an empty place of the source.

    What has the same key as another goes in a later wave, as what replaces it: the first wave goes
    as the copier takes it, the later ones as whoever converges.
    """
    trip = Trip()
    for shape in SHAPES:
        _Shape(trip, source, target, shape).run([e for e in examples if e.shape == shape])
    return trip


class _Shape:
    """The round trip of all examples of one shape."""

    def __init__(self, trip: Trip, source: Side, target: Side, shape: str) -> None:
        self.trip = trip
        self.source, self.target = source, target
        self.first, self.back = declared(shape), declared(shape)
        self.both = Bound(self.first, (source, target))
        for side, collection in self._places():
            side.driver.create(collection)

    def _places(self) -> tuple[tuple[Side, Collection], ...]:
        return (
            (self.source, self.first), (self.target, self.first), (self.source, self.back),
        )  # fmt: skip

    def run(self, examples: Sequence[Example]) -> None:
        waves: list[dict[Key, Stored]] = []
        seen: Counter[Key] = Counter()
        for stored in filter(None, map(self._held, examples)):
            turn = seen[stored.key]
            seen[stored.key] += 1
            if turn == len(waves):
                waves.append({})
            waves[turn][stored.key] = stored
        for number, wave in enumerate(waves, 1):
            self._wave(Setting(run=number, epoch=1, stage=Stage.DUAL_WRITE), wave)

    def _held(self, example: Example) -> Stored | None:
        """What the application has of an example; ``None`` where a side refuses it."""
        try:
            key, fields = self.both.check_record(example.fields)
            self.both.check_write(Write(self.first, key, fields, ANYTHING, "w", 1, LATE))
        except InvalidRequest:
            self.trip.refused += 1
            return None
        return Stored(key, fields, None, example.write_id, expires=example.expires)

    def _wave(self, setting: Setting, wave: dict[Key, Stored]) -> None:
        keys = list(wave)
        first = [
            Write(self.first, s.key, s.fields, ANYTHING, s.write_id, expires=s.expires)
            for s in wave.values()
        ]
        _runner.run(_written(self.source, first))
        for (side, here), (other, there) in pairwise(self._places()):
            if setting.run == 1:
                _runner.run(copy(side, other, here, there, setting))
            else:
                found = _read(side, here, keys)
                _runner.run(_written(other, [mirror_write(there, s, setting) for s in found]))
        states = [_by_key(side, collection, keys) for side, collection in self._places()]
        for original in wave.values():
            self.trip.examples += 1
            problem = difference(setting, original, [s.get(original.key) for s in states])
            if problem is not None:
                self.trip.differences.append(f"{self.first.name}: {problem}: {original.fields!r}")


def _read(side: Side, collection: Collection, keys: Sequence[Key]) -> list[Stored]:
    found = _runner.run(read_all(side, collection, keys))
    return [stored for stored in found if stored is not None]


def _by_key(side: Side, collection: Collection, keys: Sequence[Key]) -> dict[Key, Stored]:
    return {stored.key: stored for stored in _read(side, collection, keys)}


async def _all(side: Side, collection: Collection) -> list[Stored]:
    found: list[Stored] = []
    cursor: str | None = None
    while True:
        page = await side.scan(collection, Segment(), cursor, PAGE)
        found += page.records
        cursor = page.cursor
        if cursor is None:
            return found


async def copy(
    source: Side, target: Side, here: Collection, there: Collection, setting: Setting
) -> None:
    """Copy a collection as the copier does: scanned whole, and written by stamp."""
    writes = [mirror_write(there, s, setting, copying=True) for s in await _all(source, here)]
    await _written(target, writes)


async def _written(side: Side, writes: Sequence[Write]) -> None:
    for part in side.batches(writes):
        outcomes = await side.write_many(part)
        for write, outcome in zip(part, outcomes, strict=True):
            assert isinstance(outcome, Written), (write.key, outcome)


def difference(setting: Setting, original: Stored, states: Sequence[Stored | None]) -> str | None:
    """What is another now, in words; ``None`` for nothing.

    Args:
        setting: says which run the stamps are of.
        original: the record as its writer knows it.
        states: the record at the source, at the target and once it was brought back.
    """
    expected = visible(original, 0)
    assert expected is not None
    for place, state in zip(("at the source", "at the target", "back"), states, strict=True):
        record = None if state is None else visible(state, 0)
        if record is None:
            return f"not there {place}"
        if not same(list(record.key), list(original.key)):
            return f"another key {place}"
        for name in {*record, *expected}:
            if name not in record or name not in expected or not same(record[name], expected[name]):
                return f"{name!r} is another {place}"
        if (record.version, record.expires_at) != (expected.version, expected.expires_at):
            return f"another version or expiry {place}"
    kind = kind_of(setting, states[0], states[1])
    return None if kind is None else f"the comparison of the sides says {kind}"
