"""Records that break one limit or rule of a target each: does the preflight find every one?

And does it stay silent on data that break none? Both on real engines, as ``polystore preflight``
does it: the records are planted on the source past the library, transactions go through a store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import attrs

import polystore
from polystore import Collection, Config, Group, Store
from polystore.capabilities import EmptyIndexed, Limit
from polystore.capabilities.algebra import leaves, within
from polystore.cli.demo.dataset import COLLECTIONS, load
from polystore.driver import Unprocessed, Write
from polystore.migration.coordinator import Coordinator
from polystore.migration.group import OpenGroup
from polystore.migration.preflight.findings import Kind
from polystore.migration.preflight.report import Report
from polystore.migration.request import Request
from polystore.migration.stages import SOURCE, TARGET, Setting
from polystore.values import Fields, Key

REQUEST = Request("figures", "seeded violations")
_runs = count(1)

LONG_KIND = "K" * 1450
WIDE, HEAVY = 100, 12
"""Records of a transaction that is too wide by one, and of one that is too large."""

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "notes": {
        "key": ["owner:str", "note:str"],
        "placements": {"datastore": {"path": "Owner/{owner}/Note/{note}"}},
    },
    "orders": {
        "key": ["customer:str", "order:int"],
        "placements": {"datastore": {"path": "Customer/{customer}/Order/{order}"}},
    },
    "deep": {
        "key": ["a:str", "b:str", "c:str"],
        "partition": 2,
        "placements": {"datastore": {"path": "A/{a}/B/{b}/C/{c}"}},
    },
    "far": {
        "key": ["a:str", "b:str", "c:str"],
        "partition": 2,
        "placements": {
            "datastore": {"path": f"A{LONG_KIND}/{{a}}/B{LONG_KIND}/{{b}}/C{LONG_KIND}/{{c}}"}
        },
    },
    "docs": {
        "key": ["id:str"],
        "indexes": {"by_title": ["title", "author"]},
        "placements": {"datastore": {"kind": "Doc"}},
    },
}
RANKED: Mapping[str, Any] = {"key": ["id:str"], "indexes": {"by_rank": ["rank:number"]}}
"""A collection whose index rejects on the target what is no number."""

"""Collections that between them can break everything."""


@attrs.frozen
class Seed:
    """One record that the target refuses for one reason."""

    code: str
    collection: str
    key: Key
    fields: Fields = attrs.field(factory=dict)


def _nested(levels: int) -> Any:
    return [_nested(levels - 1)] if levels else 1


SEEDS: Mapping[str, tuple[Seed, ...]] = {
    "dynamodb": (
        Seed("records.size", "notes", ("o", "size"), {"body": "x" * 500_000}),
        Seed("keys.partition", "deep", ("a" * 1200, "b" * 1200, "c")),
        Seed("keys.sort", "notes", ("o", "n" * 1200)),
        Seed("keys.empty", "notes", ("o", "")),
        Seed("indexes.first", "docs", ("first",), {"title": "\x01" * 1200, "author": "a"}),
        Seed("indexes.rest", "docs", ("rest",), {"title": "t", "author": "a" * 1200}),
        Seed("indexes.empty", "ranked", ("empty",), {"rank": None}),
    ),
    "datastore": (
        Seed("records.depth", "notes", ("o", "depth"), {"nested": _nested(25)}),
        Seed("records.name", "notes", ("o", "name"), {"n" * 2000: 1}),
        Seed("keys.part", "notes", ("o" * 1800, "n")),
        Seed("keys.whole", "far", ("a" * 800, "b" * 800, "c" * 800)),
        Seed("keys.int_min", "orders", ("c", 0)),
        Seed("indexes.value", "docs", ("value",), {"title": "t" * 1800, "author": "a"}),
        Seed("indexes.empty", "ranked", ("empty",), {"rank": None}),
    ),
}
"""By target: one record for each of its limits and rules that the other does not have."""

BEYOND = {
    "datastore": frozenset({"values.size"}),  # no item of DynamoDB is so large
    "dynamodb": frozenset[str](),
}
"""By target: limits that nothing which the source holds can break."""


@attrs.frozen
class Seeded:
    """What was seeded on one pair, and what came of it.

    Attributes:
        wanted: code and keys of everything that is to be found.
        found: code and keys of everything that was found to be refused.
        unseeded: limits of the target that no seed breaks, though the source has them not.
    """

    wanted: frozenset[tuple[str, Key]]
    found: frozenset[tuple[str, Key]]
    unseeded: frozenset[str]


def seeded(source: str, target: str) -> Seeded:
    """Plant every violation on the source; what the preflight makes of it.

    Args:
        source, target: URLs of databases of two kinds.
    """
    name = target.partition(":")[0]
    ranked = {**RANKED, "placements": {name: {"policy": {"by_rank": "reject"}}}}
    with _opened(source, target, {**SHAPES, "ranked": ranked}) as store:
        group = store._databases.member("g").group
        for seed in SEEDS[name]:
            _plant(group, seed.collection, {seed.key: seed.fields})
            _plant(group, seed.collection, {_harmless(group, seed): {}})
        wanted = {(seed.code, seed.key) for seed in SEEDS[name]} | set(_transactions(store, name))
        report = _looked(store)
        found = {
            (finding.cause.code, key)
            for finding in report.unsettled
            for _, key in finding.cases.examples
        }
        codes = {code for code, _ in wanted}
        return Seeded(
            frozenset((code, _known(key)) for code, key in wanted),
            frozenset((code, _known(key)) for code, key in found),
            frozenset(_lacking(group)) - codes - BEYOND[name],
        )


@attrs.frozen
class Alarms:
    """What was said of clean data.

    Attributes:
        looked: how many records were looked at.
        refused: findings of something refused: false alarms.
        notes: findings of something translated or ordered otherwise.
    """

    looked: int
    refused: tuple[str, ...]
    notes: tuple[str, ...]


def alarms(source: str, target: str, cities: int) -> Alarms:
    """What is said of the demo's data, with so many cities."""
    shapes = {
        name: {
            "key": shape["key"],
            "indexes": shape.get("indexes", {}),
            "placements": {"datastore": shape["datastore"]},
        }
        for name, shape in COLLECTIONS.items()
    }
    with _opened(source, target, shapes) as store:
        group = store._databases.member("g").group
        for name, records in load(cities).records().items():
            _plant(group, name, records)
        report = _looked(store)
        found = [finding for looked in report.looked for finding in looked.findings]
        refused = tuple(f.name for f in found if f.cause.kind is Kind.REFUSE)
        assert report.clean is not bool(refused)
        return Alarms(
            sum(looked.scanned for looked in report.looked),
            refused,
            tuple(f.name for f in found if f.cause.kind is not Kind.REFUSE),
        )


# -- the parts -------------------------------------------------------------------------------


def _opened(source: str, target: str, shapes: Mapping[str, Mapping[str, Any]]) -> Store:
    """A store on places of its own on both engines, with everything created."""
    run = f"pre{next(_runs)}"
    collections = {name: _of_run(run, name, dict(shape)) for name, shape in shapes.items()}
    group = Group(
        name="g", source=_at(source, run), target=_at(target, run), collections=tuple(collections)
    )
    store = polystore.open(Config(collections=collections, groups={"g": group}))
    store.create()
    return store


def _at(url: str, run: str) -> str:
    """A place of its own on an engine."""
    option = "namespace" if url.startswith("datastore:") else "prefix"
    return f"{url}{'&' if '?' in url else '?'}{option}={run}"


def _of_run(run: str, name: str, shape: dict[str, Any]) -> Collection:
    return Collection(name, shape.pop("key"), **shape)


def _plant(group: OpenGroup, name: str, records: Mapping[Key, Fields]) -> None:
    """Put records on the source as another program would."""
    collection, driver = group.collection(name), group.sides[SOURCE].driver
    writes = [
        Write(collection, key, {**fields, **dict(zip(collection.key_names, key, strict=True))})
        for key, fields in records.items()
    ]
    limit = driver.capabilities(collection).batches.write_items
    size = limit.most if limit else len(writes)
    while writes:
        outcomes = driver.write_many(writes[:size])
        left = [
            w for w, o in zip(writes[:size], outcomes, strict=True) if isinstance(o, Unprocessed)
        ]
        writes[:size] = left


def _harmless(group: OpenGroup, seed: Seed) -> Key:
    """The key of a record beside a seed that breaks nothing."""
    kinds = [field.type for field in group.collection(seed.collection).key]
    return tuple(7 if kind is int else f"fine {seed.code}" for kind in kinds)


def _transactions(store: Store, target: str) -> Iterator[tuple[str, Key]]:
    """Transactions that are too wide, and for DynamoDB too large, beside a slot."""
    notes = [{"owner": "wide", "note": f"{n:03d}"} for n in range(WIDE)]
    _together(store, notes)
    yield "transactions.items", ("wide", "000")
    if target == "dynamodb":
        body = "x" * 380_000
        _together(store, [{"owner": "heavy", "note": str(n), "body": body} for n in range(HEAVY)])
        yield "transactions.size", ("heavy", "0")


def _together(store: Store, notes: list[Any]) -> None:
    def write(tx: Any) -> None:
        for note in notes:
            tx["notes"].put(note)

    store.transaction(write)


def _looked(store: Store) -> Report:
    """A preflight, after this process has said what it saw."""
    member, run = store._databases.member("g"), store._databases.runner.run
    run(member.session.observed.say(Setting(), at_once=True))
    return run(Coordinator(member.group).preflight(REQUEST))


def _lacking(group: OpenGroup) -> Iterator[str]:
    """The limits and rules of the target that the source does not have as tight."""
    for name in group.collections:
        collection = group.collection(name)
        ours = leaves(group.sides[SOURCE].capabilities(collection))
        theirs = leaves(group.sides[TARGET].capabilities(collection))
        for (path, held), (_, offered) in zip(ours, theirs, strict=True):
            checked = isinstance(offered, Limit) or path.startswith("keys.")
            if path == "indexes.empty":
                checked = EmptyIndexed.REJECTED in offered.values()
            if checked and not path.startswith("batches.") and not within(path, held, offered):
                yield path


def _known(key: Key) -> Key:
    """A key as far as a report shows it."""
    return tuple(part[:100] if isinstance(part, str) else part for part in key)
