"""Requests for writes, and what their refusals say. No I/O."""

from __future__ import annotations

from typing import Any, TypeAlias

from polystore.driver import Refused, Write, Written
from polystore.driver.bookkeeping import WRITE_ID
from polystore_dynamodb.codec import Item
from polystore_dynamodb.conditions import expression
from polystore_dynamodb.items import item_of, stored, written_token
from polystore_dynamodb.placement import Table

Request: TypeAlias = dict[str, Any]
Prepared: TypeAlias = tuple[str, Request, Item | None]
"""An operation, its arguments, and the item that it leaves behind (``None`` for a delete)."""


def is_delete(write: Write) -> bool:
    """Whether a write leaves nothing behind."""
    return write.fields is None and write.stamp is None


def write_request(table: Table, write: Write) -> Prepared:
    """The request of one write.

    Raises:
        Unsupported: its token cannot be compared.
    """
    request: Request = {"TableName": table.name}
    item = None
    if is_delete(write):
        operation = "delete_item"
        request["Key"] = table.key_item(write.key)
    else:
        operation = "put_item"
        request["Item"] = item = item_of(table, write)
    request.update(expression(table, write.condition))
    return operation, request, item


def refusal(table: Table, write: Write, found: Item | None) -> Written | Refused:
    """What a refused condition means, given the item that was there.

    An item with this write's own id was put there by this write: an earlier sending of it was
    applied, and the condition refused the repeat.
    """
    if not found:
        return Refused(told=True)
    if write.write_id is not None and found.get(WRITE_ID) == {"S": write.write_id}:
        return Written(written_token(write, found))
    return Refused(told=True, current=stored(table, found))
