"""Scans of a whole kind in the order of keys, in segments that stay what they are.

Segments are split at keys that ``__scatter__`` samples. They must be the same for all who scan
and for who goes on later, or a record could lie in none of them: the first who asks for so many
segments of a kind keeps the splits in an entity of the kind ``_ps_splits``; who halves a segment
keeps the key where the second half begins there, too.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import attrs

from polystore.driver import ScanPage, Segment, readable
from polystore.errors import CursorExpired
from polystore.values import Key
from polystore_datastore.connection import Connection
from polystore_datastore.entities import stored
from polystore_datastore.faults import error_of
from polystore_datastore.messages import (
    GREATER,
    GREATER_OR_EQUAL,
    LESS,
    CommitRequest,
    LookupRequest,
    Message,
)
from polystore_datastore.placement import Path, Place, path_of
from polystore_datastore.requests import (
    KEY,
    KeyBound,
    add_filters,
    add_orders,
    batches,
    kind_query,
)
from polystore_datastore.writes import make_atomic

SPLITS = "_ps_splits"
"""Kind of the entities that keep splits."""

_SAMPLES = 32
"""Keys sampled for each segment."""

SNAPSHOT_SECONDS = 3000
"""How long pages are of one moment: ``read_time`` reaches back an hour where there is no
point-in-time recovery (cloud.google.com/datastore/docs/reference/data/rpc, ReadOptions)."""

_LOOK = 10_000
"""Most keys that are looked at for splits, or for a half."""


def scan_page(
    connection: Connection, place: Place, segment: Segment, cursor: str | None, limit: int
) -> ScanPage:
    """One page of a segment. Raises CursorExpired for what is no cursor of a scan."""
    bounds = _bounds(connection, place, segment)
    if bounds is None:
        return ScanPage([], None)
    request = kind_query(connection, place)
    at: datetime | None = None
    if cursor is not None:
        path, at = _read(place, cursor)
        bounds = [KeyBound(GREATER, path), *bounds[-1:]]
        bounds = [b for b in bounds if b.op in (GREATER, LESS)]
    if at is not None:
        request.read_options.read_time.FromDatetime(at)
    add_filters(place, request, [], bounds)
    add_orders(request, [KEY], descending=False)
    request.query.limit.value = limit
    for batch, last in batches(connection, request):
        results = batch.entity_results
        records, unreadable = readable(results, partial(stored, place), _place_of, error_of)
        if last:
            return ScanPage(records, None, unreadable)
        if results:
            path = path_of(results[-1].entity.key)
            moment = at or batch.read_time.ToDatetime(UTC) if segment.snapshot else None
            return ScanPage(records, _cursor(path, moment), unreadable)
    raise AssertionError("a query ended without its last batch")


def _place_of(result: Message) -> Key:
    """What an entity has as its key, kinds left out."""
    return tuple([part for _, part in path_of(result.entity.key)])


def _cursor(path: Path, at: datetime | None) -> str:
    """Where the next page begins, and of which moment it is, if it is of one."""
    return json.dumps(path if at is None else {"path": path, "at": at.isoformat()})


def _read(place: Place, cursor: str) -> tuple[Path, datetime | None]:
    """What a cursor says; the moment only while the database still reaches back to it."""
    at: datetime | None = None
    try:
        told = json.loads(cursor)
        if type(told) is dict:
            moment = datetime.fromisoformat(told["at"])
            fresh = datetime.now(UTC) - moment < timedelta(seconds=SNAPSHOT_SECONDS)
            at, told = moment if fresh else None, told["path"]
        path = [(kind, part) for kind, part in told]
    except (ValueError, TypeError, KeyError):
        path = []
    if not path or path[-1][0] != place.kind or not all(_is_element(step) for step in path):
        raise CursorExpired(
            "not a cursor of this scan", collection=place.collection.name, driver="datastore"
        )
    return path, at


def _is_element(step: tuple[Any, Any]) -> bool:
    return type(step[0]) is str and type(step[1]) in (str, int)


def _bounds(connection: Connection, place: Place, segment: Segment) -> list[KeyBound] | None:
    """The keys of a segment; ``None`` where there are fewer segments than that."""
    splits = _splits(connection, place, segment.count) if segment.count > 1 else []
    if segment.index > len(splits):
        return None
    low = splits[segment.index - 1] if segment.index > 0 else None
    high = splits[segment.index] if segment.index < len(splits) else None
    for depth, half in enumerate(segment.path):
        whole = attrs.evolve(segment, path=segment.path[:depth])
        kept = _kept(connection, place, _half_path(place, whole))
        middle = kept[0] if kept else high
        low, high = (low, middle) if half == "0" else (middle, high)
    bounds = [] if low is None else [KeyBound(GREATER_OR_EQUAL, low)]
    return bounds if high is None else [*bounds, KeyBound(LESS, high)]


def halve(connection: Connection, place: Place, segment: Segment) -> bool:
    """Choose where the second half of a segment begins, and keep that; whether there are two."""
    name = _half_path(place, segment)
    if _kept(connection, place, name) is None:
        bounds = _bounds(connection, place, segment)
        middle = None if bounds is None else _middle(connection, place, segment, bounds)
        if middle is None:
            return False
        _keep(connection, place, name, [middle])
    return True


def _middle(
    connection: Connection, place: Place, segment: Segment, bounds: list[KeyBound]
) -> Path | None:
    """A key about halfway of a segment, and not its first; ``None`` where it has only one."""
    wanted = _SAMPLES * segment.count << len(segment.path)
    sample = _sample(connection, place, min(wanted, _LOOK))
    inside = [path for path in sample if all(_within(path, bound) for bound in bounds)]
    if len(inside) < 2:  # then it is small: look at its keys
        request = kind_query(connection, place)
        request.query.projection.add().property.name = KEY
        add_filters(place, request, [], bounds)
        add_orders(request, [KEY], descending=False)
        request.query.limit.value = _LOOK
        inside = [path_of(result.entity.key) for result in _results(connection, request)]
    return inside[len(inside) // 2] if len(inside) > 1 else None


def _within(path: Path, bound: KeyBound) -> bool:
    before = _order(path) < _order(bound.path)
    return before if bound.op == LESS else not before


def _half_path(place: Place, segment: Segment) -> Path:
    """The key of the entity that keeps where the second half of a segment begins."""
    name = f"{segment.count}.{segment.index}.{segment.path}/{place.kind}"
    return [(SPLITS, name[:300])]


def splits_path(place: Place, count: int) -> Path:
    """The key of the entity that keeps the splits of a kind into so many segments."""
    return [(SPLITS, f"{count}/{place.kind}"[:300])]


def _splits(connection: Connection, place: Place, count: int) -> list[Path]:
    name = splits_path(place, count)
    kept = _kept(connection, place, name)
    if kept is None:
        _keep(connection, place, name, _sampled(connection, place, count))
        kept = _kept(connection, place, name)
    return kept or []


def _kept(connection: Connection, place: Place, name: Path) -> list[Path] | None:
    request = connection.request(LookupRequest)
    place.fill_path(request.keys.add(), name)
    found = connection.lookup(request).found
    if not found:
        return None
    text: str = found[0].entity.properties["splits"].string_value
    return [[(kind, part) for kind, part in path] for path in json.loads(text)]


def _keep(connection: Connection, place: Place, name: Path, splits: list[Path]) -> None:
    """Keep splits where nobody has; another's stay."""
    request = connection.request(CommitRequest)
    make_atomic(request)
    entity = request.mutations.add().insert
    place.fill_path(entity.key, name)
    value = entity.properties["splits"]
    value.string_value = json.dumps(splits)
    value.exclude_from_indexes = True
    connection.commit(request)


def _sampled(connection: Connection, place: Place, count: int) -> list[Path]:
    """Up to ``count - 1`` keys that part a kind into equal shares; fewer in a small one."""
    paths = _sample(connection, place, count * _SAMPLES)
    if len(paths) < count:
        return paths
    return [paths[len(paths) * i // count] for i in range(1, count)]


def _sample(connection: Connection, place: Place, wanted: int) -> list[Path]:
    """Keys of a kind as ``__scatter__`` draws them, in their order; fewer in a small one."""
    request = kind_query(connection, place)
    request.query.projection.add().property.name = KEY
    request.query.order.add().property.name = "__scatter__"
    request.query.limit.value = wanted
    found = _results(connection, request)
    return sorted((path_of(result.entity.key) for result in found), key=_order)


def _results(connection: Connection, request: Message) -> list[Message]:
    """What a limited query finds, all of it."""
    results: list[Message] = []
    for batch, _ in batches(connection, request):
        results += batch.entity_results
        if len(results) >= request.query.limit.value:
            break
    return results


def _order(path: Path) -> list[tuple[bytes, bool, Any]]:
    """What sorts paths as Datastore sorts keys."""
    return [
        (kind.encode(), isinstance(part, str), part.encode() if isinstance(part, str) else part)
        for kind, part in path
    ]
