"""The calls AllocateIds and ReserveIds."""

from __future__ import annotations

from polystore_engines.datastore_stub.appengine import Message, gd, validator
from polystore_engines.datastore_stub.entities import VALIDATOR, pad_key, to_v1_key, to_v3_key
from polystore_engines.datastore_stub.service import Service


def allocate_ids(service: Service, request: Message) -> Message:
    """Completes incomplete keys with ids that nobody else gets."""
    database = service.database(request)
    _check_keys(service, request, validator.ALLOCATE_KEY_ID)
    response = gd.AllocateIdsResponse()
    for key in request.keys:
        full = database.allocate([to_v3_key(key)])[0]
        response.keys.add().CopyFrom(to_v1_key(full, request.database_id))
    return response


def reserve_ids(service: Service, request: Message) -> Message:
    """Takes the ids of complete keys out of allocation."""
    database = service.database(request)
    _check_keys(service, request, validator.READ)
    database.allocate(to_v3_key(key) for key in request.keys)
    return gd.ReserveIdsResponse()


def _check_keys(service: Service, request: Message, purpose: object) -> None:
    for key in request.keys:
        pad_key(key, service.project, request.database_id)
    VALIDATOR.validate_keys(purpose, request.keys)
