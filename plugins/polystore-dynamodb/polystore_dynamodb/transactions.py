"""Commits as TransactWriteItems, and what their cancellations say. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias
from uuid import uuid4

import attrs

from polystore.driver import Check, Committed, Refused, Rejected, Token, Write, Written
from polystore.schema import Collection
from polystore_dynamodb.codec import Item
from polystore_dynamodb.conditions import expression
from polystore_dynamodb.faults import INVALID
from polystore_dynamodb.items import stored, written_token
from polystore_dynamodb.placement import Table
from polystore_dynamodb.writes import Prepared, refusal, write_request

Tables: TypeAlias = Callable[[Collection], Table]
Action: TypeAlias = dict[str, Any]

REFUSED = "ConditionalCheckFailed"
_ACTIONS = {"put_item": "Put", "delete_item": "Delete"}


@attrs.frozen
class Transaction:
    """One TransactWriteItems: its arguments, and the token that each write leaves behind."""

    request: dict[str, Any]
    tokens: tuple[Token, ...]


def transaction(tables: Tables, writes: Sequence[Write], checks: Sequence[Check]) -> Transaction:
    """The request of a commit. Raises Unsupported if a token cannot be compared."""
    return joined(writes, [write_request(tables(w.collection), w) for w in writes], tables, checks)


def joined(
    writes: Sequence[Write],
    requests: Sequence[Prepared],
    tables: Tables,
    checks: Sequence[Check] = (),
) -> Transaction:
    """The request of a commit whose writes have their requests already."""
    actions: list[Action] = []
    tokens: list[Token] = []
    for write, (operation, request, item) in zip(writes, requests, strict=True):
        actions.append({_ACTIONS[operation]: request})
        tokens.append(written_token(write, item))
    actions.extend(_check(tables(check.collection), check) for check in checks)
    request = {"TransactItems": actions, "ClientRequestToken": _request_token(writes, actions)}
    return Transaction(request, tuple(tokens))


def _check(table: Table, check: Check) -> Action:
    request = {"TableName": table.name, "Key": table.key_item(check.key)}
    return {"ConditionCheck": request | expression(table, check.condition)}


def _request_token(writes: Sequence[Write], actions: list[Action]) -> str:
    """The same for a repeat of the same attempt, so that DynamoDB applies it once.

    Only write ids make an attempt unlike all others: without one a repeat is another commit,
    whose conditions must be looked at again.
    """
    if all(write.write_id is None for write in writes):
        return str(uuid4())
    return blake2b(repr(actions).encode(), digest_size=16).hexdigest()


def rejection(
    tables: Tables,
    writes: Sequence[Write],
    checks: Sequence[Check],
    reasons: Sequence[dict[str, Any]],
    tokens: tuple[Token, ...],
) -> Committed | Rejected | None:
    """What a cancellation means; ``None`` where not a false condition decides.

    A record with one of the commit's own write ids says that an earlier sending was applied.
    """
    codes = {reason.get("Code") for reason in reasons}
    if REFUSED not in codes or codes & INVALID:
        return None
    refusals: list[Refused | None] = []
    for write, reason in zip(writes, reasons, strict=False):
        outcome = _outcome(tables(write.collection), write, reason)
        if isinstance(outcome, Written):
            return Committed(tokens)
        refusals.append(outcome)
    for check, reason in zip(checks, reasons[len(writes) :], strict=False):
        refusals.append(_check_refusal(tables(check.collection), reason))
    return Rejected(tuple(refusals))


def _outcome(table: Table, write: Write, reason: dict[str, Any]) -> Written | Refused | None:
    if reason.get("Code") != REFUSED:
        return None
    return refusal(table, write, reason.get("Item"))


def _check_refusal(table: Table, reason: dict[str, Any]) -> Refused | None:
    if reason.get("Code") != REFUSED:
        return None
    found: Item | None = reason.get("Item")
    return Refused(told=True, current=stored(table, found) if found else None)
