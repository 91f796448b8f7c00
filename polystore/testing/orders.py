"""The order of keys in a partition, and of an index, compared between databases on random data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import attrs
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from polystore.capabilities import Capabilities, EmptyKey, Keys
from polystore.driver import Stored, Write
from polystore.driver.side import Side
from polystore.queries import Position, QueryPlan
from polystore.runner import SyncRunner
from polystore.schema import Collection, Index
from polystore.testing import strategies as portable
from polystore.values import Fields, KeyPart, canonical

SORTS: dict[str, tuple[str, ...]] = {
    "str": ("p", "s:str"),
    "int": ("p", "s:int"),
    "bytes": ("p", "s:bytes"),
    "str-int": ("p", "s:str", "t:int"),
    "path": ("p", "s:int"),
}
"""Keys by what is ordered in a partition; ``path`` is an ancestor path where there are such."""

FAMILIES: dict[str, st.SearchStrategy[Any]] = {
    "none and str": st.none() | portable.texts(),
    "bool": st.booleans(),
    "int": portable.ints(),
    "float": portable.floats(),
    "Decimal": portable.decimals(),
    "bytes": portable.blobs(),
    "datetime": portable.datetimes(),
    "Ref": portable.refs(),
    "GeoPoint": portable.geo_points(),
    "mixed": portable.indexable(),
}
"""Values under one index, of one type and of all."""

BY_VALUE = Index("by_value", ("state", "value"))
PAGE = 200
_HELD = Capabilities(keys=Keys(empty=EmptyKey.REJECTED))
_IDS = Capabilities(keys=Keys(empty=EmptyKey.REJECTED, int_min=1))
_LOOKALIKES = st.text("\x00\x01\x02\x03aé", min_size=1, max_size=3)
_runner = SyncRunner()
_numbers = count(1)


@attrs.define
class Compared:
    """How many pairs of two records were compared on every database, and where they differ."""

    pairs: int = 0
    differences: list[str] = attrs.field(factory=list)


def key_orders(
    sides: Mapping[str, Side], each: int, names: Iterable[str] = SORTS.keys()
) -> Compared:
    """Write ``each`` random keys into one partition, for each of these sort keys, and query it."""
    compared = Compared()
    for name in names:
        key = SORTS[name]
        path = {"datastore": {"path": f"order{next(_numbers)}A/{{p}}/B/{{s}}"}}
        things = Collection(
            f"order{next(_numbers)}", key, placements=path if name == "path" else {}
        )
        parts = (portable.key_parts(f.type, _IDS if name == "path" else _HELD) for f in things.key)
        keys = _distinct(st.tuples(st.just("p"), *list(map(_alike, parts))[1:]), each)
        records = [dict(zip(things.key_names, key, strict=True)) for key in keys]
        expected = sorted(keys, key=lambda key: list(map(_plain, key)))
        _compare(compared, sides, things, QueryPlan(None, ("p",)), name, records, expected)
    return compared


def index_orders(
    sides: Mapping[str, Side], each: int, names: Iterable[str] = FAMILIES.keys()
) -> Compared:
    """Write ``each`` random values of each of these families under one index, and query it."""
    compared = Compared()
    for name in names:
        things = Collection(
            f"order{next(_numbers)}",
            ("p", "s:int"),
            indexes=[BY_VALUE],
            placements={"datastore": {"policy": {BY_VALUE.name: "encode"}}},
        )
        values = [value for (value,) in _distinct(st.tuples(FAMILIES[name]), each)]
        values += values[: each // 10]  # equal ones are in the order of their keys
        records: list[Fields] = [
            {"p": f"p{i % 3}", "s": -i, "state": "", "value": value}
            for i, value in enumerate(values)
        ]
        _compare(compared, sides, things, QueryPlan(BY_VALUE, ("",)), name, records, None)
    return compared


def _alike(parts: st.SearchStrategy[KeyPart]) -> st.SearchStrategy[KeyPart]:
    """Parts, and of texts many that are prefixes of each other."""
    return parts.flatmap(lambda part: _LOOKALIKES if part == "a" else st.just(part))


def _plain(part: KeyPart) -> bytes | int:
    return part.encode() if isinstance(part, str) else part


def _distinct(values: st.SearchStrategy[Any], wanted: int) -> list[Any]:
    """So many different values, or as many as there are."""
    found: dict[bytes, Any] = {}

    @settings(
        max_examples=2 * wanted,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(values)
    def draw(value: Any) -> None:
        found.setdefault(canonical(list(value)), value)

    draw()
    return list(found.values())[:wanted]


def _compare(
    compared: Compared,
    sides: Mapping[str, Side],
    things: Collection,
    plan: QueryPlan,
    name: str,
    records: Sequence[Fields],
    expected: Any,
) -> None:
    """Write the records everywhere, and compare what a query gives, forwards and backwards."""
    for place, side in sides.items():
        side.driver.create(things)
        _runner.run(_written(side, things, records))
        for descending in (False, True):
            asked = attrs.evolve(plan, descending=descending)
            keys = [stored.key for stored in _runner.run(_all(side, things, asked))]
            keys = keys[::-1] if descending else keys
            expected = keys if expected is None else expected
            if keys != list(expected) or len(keys) != len(records):
                where = f"{name} on {place}{' backwards' if descending else ''}"
                first = next((i for i, k in enumerate(expected) if keys[i : i + 1] != [k]), -1)
                compared.differences.append(f"{where}: first at {first}")
    compared.pairs += len(records) * (len(records) - 1) // 2


async def _written(side: Side, things: Collection, records: Sequence[Fields]) -> None:
    writes = [
        Write(things, tuple(r[n] for n in things.key_names), dict(r), write_id="w")  # type: ignore[misc]
        for r in records
    ]
    for start in range(0, len(writes), PAGE):
        await side.write_many(writes[start : start + PAGE])


async def _all(side: Side, things: Collection, plan: QueryPlan) -> list[Stored]:
    found: list[Stored] = []
    after: Position | None = None
    while True:
        page = await side.query(things, plan, after, PAGE)
        found += page.records
        after = page.next
        if after is None:
            return found
