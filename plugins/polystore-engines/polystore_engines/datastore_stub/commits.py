"""The calls BeginTransaction, Commit and Rollback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import grpc

from polystore_engines.datastore_stub.appengine import Message, datastore_pbs, gd, validator
from polystore_engines.datastore_stub.database import Database
from polystore_engines.datastore_stub.entities import (
    VALIDATOR,
    birth,
    check_key,
    pad_key,
    to_v1_key,
    to_v3_entity,
    to_v3_key,
    v1_message,
)
from polystore_engines.datastore_stub.errors import ApiError, need
from polystore_engines.datastore_stub.limits import MAX_TRANSFORMS
from polystore_engines.datastore_stub.masks import copy_paths
from polystore_engines.datastore_stub.ordering import KeyValue, key_value
from polystore_engines.datastore_stub.service import Service
from polystore_engines.datastore_stub.timestamps import now_micros, to_micros, to_timestamp
from polystore_engines.datastore_stub.transactions import Transaction
from polystore_engines.datastore_stub.transforms import transform

FORBIDDEN_SEQUENCES = frozenset(
    {("insert", "insert"), ("update", "insert"), ("upsert", "insert"), ("delete", "update")}
)
"""Mutations of one entity that may not follow each other in one commit."""

MODES: Any = gd.CommitRequest


def begin_transaction(service: Service, request: Message) -> Message:
    """Begins a transaction."""
    token = service.begin(service.database(request), request.transaction_options)
    return gd.BeginTransactionResponse(transaction=token)


def rollback(service: Service, request: Message) -> Message:
    """Ends a transaction without its writes."""
    service.close(service.database(request), request.transaction).Rollback()
    return gd.RollbackResponse()


def commit(service: Service, request: Message) -> Message:
    """Writes: all mutations at once, or, non-transactionally, each on its own."""
    database = service.database(request)
    selector = request.WhichOneof("transaction_selector")
    alone = request.mode == MODES.NON_TRANSACTIONAL
    if alone:
        need(not selector, "Non-transactional commit cannot specify a transaction.")
    else:
        need(selector, "Transactional commit requires a transaction.")
    _check_mutations(service, request, alone)
    response = gd.CommitResponse()
    if alone:
        for mutation in request.mutations:
            Writing(database, database.begin(), request, response).apply([mutation])
    else:
        begun = selector == "transaction"
        transaction = service.close(database, request.transaction) if begun else database.begin()
        Writing(database, transaction, request, response).apply(request.mutations)
    stamp = database.last_commit if request.mutations else now_micros()
    response.commit_time.CopyFrom(to_timestamp(stamp))
    return response


def _check_mutations(service: Service, request: Message, alone: bool) -> None:
    last: dict[KeyValue, str] = {}
    for mutation in request.mutations:
        kind = mutation.WhichOneof("operation")
        need(kind, "mutation lacks required op")
        key = mutation.delete if kind == "delete" else getattr(mutation, kind).key
        pad_key(key, service.project, request.database_id)
        need(key.path, "Key path is empty.")
        check_key(key)
        _check_transforms(mutation, kind)
        if not datastore_pbs.is_complete_v1_key(key):
            _check_incomplete(mutation, kind)
            continue
        VALIDATOR.validate_key(validator.DELETE, key)
        name = key_value(key)
        if name in last:
            _check_sequence(last[name], kind, alone)
        last[name] = kind


def _check_transforms(mutation: Message, kind: str) -> None:
    given = len(mutation.property_transforms)
    need(given <= MAX_TRANSFORMS, f"A mutation takes at most {MAX_TRANSFORMS} property transforms.")
    need(kind != "delete" or not given, "A delete takes no transforms.")


def _check_incomplete(mutation: Message, kind: str) -> None:
    need(kind in ("insert", "upsert"), "Key path is incomplete.")
    need(
        mutation.WhichOneof("conflict_detection_strategy") is None,
        "conflict detection is not allowed for incomplete keys",
    )


def _check_sequence(before: str, kind: str, alone: bool) -> None:
    need(
        not alone,
        "A non-transactional commit may not contain multiple mutations affecting the same entity.",
    )
    need(
        (before, kind) not in FORBIDDEN_SEQUENCES,
        f"{kind} may not follow {before} of the same entity in one commit.",
    )


class Outcome(NamedTuple):
    """What one mutation came to.

    Attributes:
        result: the message to fill.
        ref: the entity's v3 key.
        kept: the version that a conflict left as it was; None without a conflict.
    """

    result: Message
    ref: Message
    kept: int | None


class Writing:
    """One transaction's mutations on their way into the database.

    Args:
        database: where they go.
        transaction: open, and closed by `apply`.
        request: for the database's name in keys.
        response: gets one result for each mutation.
    """

    def __init__(
        self, database: Database, transaction: Transaction, request: Message, response: Message
    ) -> None:
        self._database = database
        self._transaction = transaction
        self._database_id = request.database_id
        self._response = response
        self._now = max(database.last_commit + 1, now_micros())
        self._pending: dict[KeyValue, bytes | None] = {}

    def apply(self, mutations: Sequence[Message]) -> None:
        """Writes all of them, or raises and has written none."""
        outcomes = [self._mutate(mutation) for mutation in mutations]
        self._transaction.Commit()
        for outcome in outcomes:
            self._fill(outcome)

    def _mutate(self, mutation: Message) -> Outcome:
        """Puts one mutation into the transaction, seeing what earlier ones will have done."""
        result, kind = self._response.mutation_results.add(), mutation.WhichOneof("operation")
        entity = None if kind == "delete" else getattr(mutation, kind)
        key = mutation.delete if entity is None else entity.key
        if not datastore_pbs.is_complete_v1_key(key):
            self._complete(key, result)
        ref = to_v3_key(key)
        name = key_value(ref)
        record = self._database.read(name)
        if name in self._pending:
            current = self._pending[name]
        else:
            current = v1_message(record.entity) if record else None
            version = record.metadata.updated_version if record else 0
            if _conflict(mutation, kind, version):
                result.conflict_detected = True
                return Outcome(result, ref, version)
        _check_existence(kind, key, current)
        if entity is None:
            self._transaction.Delete(ref, [])
            self._pending[name] = None
        else:
            self._put(mutation, entity, current, name, result)
        return Outcome(result, ref, None)

    def _complete(self, key: Message, result: Message) -> None:
        """Gives an incomplete key its id."""
        full = self._database.allocate([to_v3_key(key)])[0]
        key.CopyFrom(to_v1_key(full, self._database_id))
        result.key.CopyFrom(key)

    def _put(
        self,
        mutation: Message,
        entity: Message,
        current: bytes | None,
        name: KeyValue,
        result: Message,
    ) -> None:
        if mutation.HasField("property_mask"):
            base = gd.Entity.FromString(current or b"")
            base.key.CopyFrom(entity.key)
            copy_paths(entity, base, mutation.property_mask)
            entity.CopyFrom(base)
        for change in mutation.property_transforms:
            result.transform_results.append(transform(entity, change, self._now))
        stored = to_v3_entity(entity)
        self._transaction.Put(stored, False, [])
        self._pending[name] = v1_message(stored)

    def _fill(self, outcome: Outcome) -> None:
        result, ref, kept = outcome
        result.version = self._transaction.GetMutationVersion(ref) if kept is None else kept
        record = self._database.read(key_value(ref))
        if record is not None:
            result.create_time.CopyFrom(to_timestamp(birth(record.entity)))
            result.update_time.CopyFrom(to_timestamp(record.metadata.updated_version))


def _check_existence(kind: str, key: Message, current: bytes | None) -> None:
    if kind == "insert" and current is not None:
        text = datastore_pbs.v1_key_to_string(key)
        raise ApiError(grpc.StatusCode.ALREADY_EXISTS, f"entity already exists: {text}")
    if kind == "update" and current is None:
        text = datastore_pbs.v1_key_to_string(key)
        raise ApiError(grpc.StatusCode.NOT_FOUND, f"no entity to update: {text}")


def _conflict(mutation: Message, kind: str, version: int) -> bool:
    """Whether a mutation expects another version than the stored one, and is to be dropped.

    Raises:
        ApiError: it expects what cannot be, or it asked to fail.
    """
    field = mutation.WhichOneof("conflict_detection_strategy")
    if field is None:
        return False
    given = mutation.base_version if field == "base_version" else to_micros(mutation.update_time)
    expected = int(given)
    _check_expected(kind, expected, version)
    if version == expected:
        return False
    if mutation.conflict_resolution_strategy == gd.Mutation.FAIL:
        raise ApiError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"the stored version ({version}) does not match the required base version ({expected})",
        )
    return True


def _check_expected(kind: str, expected: int, version: int) -> None:
    need(expected >= 0, f"Invalid base_version: {expected}, it should be >= 0")
    need(
        kind != "insert" or expected == 0,
        "Cannot insert an entity with a base version greater than zero",
    )
    need(
        kind != "update" or expected != 0, "Cannot update an entity with a base version set to zero"
    )
    need(
        not version or expected <= version,
        "Invalid base version, it is greater than the stored version",
    )
