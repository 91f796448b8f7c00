"""Mutations for writes and checks. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polystore.driver import Anything, Check, Condition, Nothing, Token, Unchanged, Write
from polystore_datastore.entities import fill_entity
from polystore_datastore.marks import passed_on
from polystore_datastore.messages import (
    FAIL,
    NON_TRANSACTIONAL,
    TRANSACTIONAL,
    Message,
)
from polystore_datastore.placement import Place

_KEY_ONLY = "__key__"


def is_delete(write: Write) -> bool:
    """Whether a write leaves nothing behind."""
    return write.fields is None and write.stamp is None


def make_atomic(request: Message) -> None:
    """Make a commit all or nothing, in a transaction of its own."""
    request.mode = TRANSACTIONAL
    request.single_use_transaction.read_write.SetInParent()


def make_single(request: Message) -> None:
    """Make a commit of one mutation, which needs no transaction."""
    request.mode = NON_TRANSACTIONAL


def add_write(place: Place, write: Write, condition: Condition, request: Message) -> int:
    """Add the mutation of a write under ``condition``, which is not ``OlderThan``; its size."""
    mutation = request.mutations.add()
    if is_delete(write):
        place.fill_key(mutation.delete, write.key)
        if isinstance(condition, Nothing):
            _require(mutation, 0)
    elif isinstance(condition, Anything):
        fill_entity(place, write, mutation.upsert)
    elif isinstance(condition, Nothing):
        fill_entity(place, write, mutation.insert)
    elif isinstance(condition, Unchanged):
        fill_entity(place, write, mutation.update, condition.token)
    if isinstance(condition, Unchanged):
        _require(mutation, condition.token)
    size: int = mutation.ByteSize()
    return size


def add_check(place: Place, check: Check, request: Message) -> None:
    """Add a mutation that changes nothing, and fails the commit where a check is false."""
    mutation = request.mutations.add()
    if isinstance(check.condition, Nothing):
        place.fill_key(mutation.delete, check.key)
        _require(mutation, 0)
    else:
        place.fill_key(mutation.update.key, check.key)
        mutation.property_mask.paths.append(_KEY_ONLY)
        _require(mutation, check.condition.token)


def _require(mutation: Message, version: int) -> None:
    mutation.base_version = version
    # By default a mutation that meets another version is dropped, and the commit succeeds.
    mutation.conflict_resolution_strategy = FAIL


def tokens(writes: Sequence[Write], results: Iterable[Message]) -> tuple[Token, ...]:
    """The tokens that the results of a commit's writes bring; ``None`` for a delete."""
    return tuple(
        None if is_delete(write) else passed_on(result.version, _seen(write))
        for write, result in zip(writes, results, strict=False)
    )


def _seen(write: Write) -> Token:
    """The token of the state that a put takes the place of, where it was seen."""
    condition = write.condition
    return condition.token if isinstance(condition, Unchanged) and write.fields else None
