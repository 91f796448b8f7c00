"""What is there of a collection, and its removal. A kind needs no making."""

from __future__ import annotations

from polystore.driver import Description, NativeExpiry
from polystore.errors import InvalidKey
from polystore_datastore.connection import Connection
from polystore_datastore.limits import COMMIT_ITEMS
from polystore_datastore.messages import CommitRequest, Message
from polystore_datastore.placement import Place
from polystore_datastore.requests import KEY, batches, kind_query
from polystore_datastore.scans import SPLITS
from polystore_datastore.writes import make_atomic

_SAMPLE = 20


def describe(connection: Connection, place: Place) -> Description:
    """A kind is always there. Problems: entities of it that lie on another path."""
    request = _keys_query(connection, place)
    request.query.limit.value = _SAMPLE
    other = 0
    batch, _ = next(batches(connection, request))
    for result in batch.entity_results:
        other += not _is_ours(place, result.entity.key)
    if not other:
        return Description(exists=True)
    problem = (
        f"{other} of the first {len(batch.entity_results)} entities of kind {place.kind!r} lie on "
        "another path, or have another type of id; declare their path as the placement's path"
    )
    return Description(exists=True, problems=(problem,))


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
