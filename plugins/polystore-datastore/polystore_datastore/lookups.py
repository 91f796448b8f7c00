"""Records by key."""

from __future__ import annotations

from collections.abc import Sequence

from polystore.driver import ReadReply, Stored
from polystore.errors import Throttled
from polystore.values import Key
from polystore_datastore.connection import Connection
from polystore_datastore.entities import stored
from polystore_datastore.messages import EVENTUAL, LookupRequest
from polystore_datastore.placement import Place


def look(
    connection: Connection, place: Place, keys: Sequence[Key], strong: bool = True
) -> ReadReply:
    """One Lookup of at most 1000 keys; what the service defers is unprocessed."""
    records: list[Stored | None] = [None] * len(keys)
    if not keys:
        return ReadReply(records)
    request = connection.request(LookupRequest)
    if not strong:
        request.read_options.read_consistency = EVENTUAL
    for key in keys:
        place.fill_key(request.keys.add(), key)
    reply = connection.lookup(request)
    if len(keys) == 1:
        if reply.found:
            records[0] = stored(place, reply.found[0])
        return ReadReply(records, (0,) if reply.deferred else ())
    at = {key: i for i, key in enumerate(keys)}
    for result in reply.found:
        record = stored(place, result)
        if record is not None:
            records[at[record.key]] = record
    left = [place.key_of(native) for native in reply.deferred]
    return ReadReply(records, tuple(sorted(at[key] for key in left if key is not None)))


def look_at_all(connection: Connection, place: Place, keys: Sequence[Key]) -> list[Stored | None]:
    """All of at most 1000 records, read strongly; deferred ones are asked for again.

    Raises:
        Throttled: the service defers the same keys again and again.
    """
    reply = look(connection, place, keys)
    records, missing = reply.records, reply.unprocessed
    while missing:
        again = look(connection, place, [keys[i] for i in missing])
        left = set(again.unprocessed)
        if len(left) == len(missing):
            raise Throttled(f"{len(left)} keys were deferred twice", driver="datastore")
        for i, record in zip(missing, again.records, strict=True):
            records[i] = record
        missing = tuple(i for n, i in enumerate(missing) if n in left)
    return records
