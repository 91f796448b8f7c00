"""What is there of a collection, and its removal. A kind needs no making."""

from __future__ import annotations

from collections.abc import Iterator

from polystore.driver import Description, NativeExpiry
from polystore.driver.bookkeeping import WRITE_ID
from polystore.errors import ConfigError, InvalidKey
from polystore_datastore.connection import Connection
from polystore_datastore.limits import COMMIT_ITEMS
from polystore_datastore.marks import is_excluded
from polystore_datastore.messages import EQUAL, CommitRequest, Message
from polystore_datastore.names import property_name
from polystore_datastore.placement import Place
from polystore_datastore.requests import KEY, add_filters, add_orders, batches, kind_query
from polystore_datastore.scans import SPLITS
from polystore_datastore.writes import make_atomic

_SAMPLE = 20


def describe(connection: Connection, place: Place) -> Description:
    """A kind is always there. Problems: entities on another path, native indexes that are not."""
    request = kind_query(connection, place) if place.indexed else _keys_query(connection, place)
    request.query.limit.value = _SAMPLE
    batch, _ = next(batches(connection, request))
    entities = [result.entity for result in batch.entity_results]
    return Description(
        exists=True,
        problems=(
            *_of_others(place, entities),
            *_excluded(place, entities),
            *_without_composite(connection, place),
        ),
    )


def _of_others(place: Place, entities: list[Message]) -> Iterator[str]:
    other = sum(not _is_ours(place, entity.key) for entity in entities)
    if other:
        yield (
            f"{other} of the first {len(entities)} entities of kind {place.kind!r} lie on another "
            "path, or have another type of id; declare their path as the placement's path"
        )


def _excluded(place: Place, entities: list[Message]) -> Iterator[str]:
    """Of entities of other programs; of its own polystore excludes what has an entry as text."""
    theirs = [entity.properties for entity in entities if WRITE_ID not in entity.properties]
    for name in sorted(place.indexed):
        values = [
            properties[p] for properties in theirs if (p := property_name(name)) in properties
        ]
        excluded = sum(is_excluded(v) for v in values if not v.HasField("array_value"))
        if excluded:
            yield (
                f"{excluded} of the first {len(entities)} entities of kind {place.kind!r} exclude "
                f"{name!r} from indexes, so no native index finds them; give its indexes the "
                "policy encode, and write these entities again"
            )


def _without_composite(connection: Connection, place: Place) -> Iterator[str]:
    """Datastore tells of a missing index where a query needs it; each is asked for nothing."""
    for index in [kept.index for kept in place.indexes if kept.native]:
        names = [property_name(name) for name in index.fields]
        if len(names) == 1:
            continue
        request = _keys_query(connection, place)
        add_filters(place, request, [(names[0], EQUAL, None)], [])
        add_orders(request, [*names[1:], KEY], descending=False)
        request.query.limit.value = 1
        try:
            connection.run_query(request)
        except ConfigError:
            yield (
                f"the native index {index.name!r} needs a composite index of kind {place.kind!r} "
                f"on {', '.join(names)}, which is not there or not built yet; put it in "
                "index.yaml, or give the index the policy encode, which needs none"
            )


def native_expiry(place: Place) -> NativeExpiry:
    """Datastore's own interface tells nothing about TTL policies."""
    command, kind = "gcloud firestore fields ttls", f"--collection-group={place.kind}"
    return NativeExpiry(
        None,
        f"only Google's admin interface tells whether a TTL policy removes entities of kind "
        f"{place.kind!r}: `{command} list {kind}`; `{command} update {place.ttl or 'PROPERTY'} "
        f"{kind} --enable-ttl` turns one on, --disable-ttl off",
    )


def _is_ours(place: Place, native: Message) -> bool:
    try:
        return place.key_of(native) is not None
    except InvalidKey:
        return False


def _keys_query(connection: Connection, place: Place) -> Message:
    request = kind_query(connection, place)
    request.query.projection.add().property.name = KEY
    return request


def drop(connection: Connection, place: Place) -> None:
    """Delete all entities of the collection, and what was kept about its scans."""
    request = _keys_query(connection, place)
    for batch, _ in batches(connection, request):
        keys = [r.entity.key for r in batch.entity_results if _is_ours(place, r.entity.key)]
        for start in range(0, len(keys), COMMIT_ITEMS):
            _delete(connection, keys[start : start + COMMIT_ITEMS])
    _drop_splits(connection, place)


def _delete(connection: Connection, keys: list[Message]) -> None:
    request = connection.request(CommitRequest)
    make_atomic(request)
    for key in keys:
        request.mutations.add().delete.CopyFrom(key)
    connection.commit(request)


def _drop_splits(connection: Connection, place: Place) -> None:
    request = _keys_query(connection, place)
    request.query.kind[0].name = SPLITS
    for batch, _ in batches(connection, request):
        keys = [r.entity.key for r in batch.entity_results]
        ours = [key for key in keys if key.path[-1].name.partition("/")[2] == place.kind]
        if ours:
            _delete(connection, ours)
