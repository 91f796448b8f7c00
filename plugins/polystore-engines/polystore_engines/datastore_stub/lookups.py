"""The call Lookup."""

from __future__ import annotations

from polystore_engines.datastore_stub.appengine import Message, gd, validator
from polystore_engines.datastore_stub.entities import (
    VALIDATOR,
    check_key,
    fill_result,
    pad_key,
    to_v3_key,
    v1_message,
)
from polystore_engines.datastore_stub.errors import need
from polystore_engines.datastore_stub.limits import BATCH_BYTES, MAX_LOOKUP_KEYS
from polystore_engines.datastore_stub.ordering import KeyValue, key_value
from polystore_engines.datastore_stub.service import Service
from polystore_engines.datastore_stub.timestamps import now_micros, to_timestamp


def lookup(service: Service, request: Message) -> Message:
    """Entities by key; each key once, and those beyond the answer's size are deferred."""
    database = service.database(request)
    _check_keys(service, request)
    read = service.reading(database, request.read_options)
    version = database.last_commit if read.as_of is None else read.as_of
    response = gd.LookupResponse(transaction=read.token)
    mask = request.property_mask if request.HasField("property_mask") else None
    size, done = 0, set[KeyValue]()
    for key in request.keys:
        name = key_value(ref := to_v3_key(key))
        if name in done:
            continue
        if size > BATCH_BYTES:
            response.deferred.add().CopyFrom(key)
            continue
        done.add(name)
        if read.transaction:
            read.transaction.note_read(ref)
        record = database.read(name, read.as_of)
        if record is None:
            response.missing.add(version=version).entity.key.CopyFrom(key)
        else:
            fill_result(response.found.add(), record.entity, record.metadata.updated_version, mask)
            size += len(v1_message(record.entity) or b"")
    response.read_time.CopyFrom(to_timestamp(read.as_of or now_micros()))
    return response


def _check_keys(service: Service, request: Message) -> None:
    need(0 < len(request.keys) <= MAX_LOOKUP_KEYS, f"A lookup takes 1 to {MAX_LOOKUP_KEYS} keys.")
    for key in request.keys:
        pad_key(key, service.project, request.database_id)
        check_key(key)
    VALIDATOR.validate_keys(validator.READ, request.keys)
