"""The four conditions of a write as DynamoDB's condition expressions. No I/O."""

from __future__ import annotations

from typing import Any, TypeAlias

from polystore.driver import Anything, Condition, Nothing, OlderThan, Token
from polystore.driver.bookkeeping import STAMP, WRITE_ID
from polystore.errors import Unsupported
from polystore_dynamodb.codec import Item
from polystore_dynamodb.placement import Table

COMPARED = 100
"""Most attributes that the token of an item without a write id compares (PROTOCOL 1)."""

Expression: TypeAlias = dict[str, Any]
"""``ConditionExpression`` with its names and values, and what a refusal shall return."""


def expression(table: Table, condition: Condition) -> Expression:
    """The arguments of a request that make it conditional; empty without a condition.

    Raises:
        Unsupported: an item without a write id has too many attributes to compare.
    """
    if isinstance(condition, Anything):
        return {}
    if isinstance(condition, Nothing):
        return _made("attribute_not_exists(#k)", {"#k": table.hash.name}, {})
    if isinstance(condition, OlderThan):
        text = "attribute_not_exists(#v) OR #v < :v"
        return _made(text, {"#v": STAMP}, {":v": {"N": str(condition.stamp)}})
    return _unchanged(table, condition.token)


def _made(text: str, names: dict[str, str], values: Item) -> Expression:
    made: Expression = {
        "ConditionExpression": text,
        "ExpressionAttributeNames": names,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if values:
        made["ExpressionAttributeValues"] = values
    return made


def _unchanged(table: Table, token: Token) -> Expression:
    if type(token) is tuple:
        kind, mark = token
        if kind == "w":
            return _made("#w = :w", {"#w": WRITE_ID}, {":w": {"S": mark}})
        names = {"#w": WRITE_ID, "#v": STAMP}
        text = "attribute_not_exists(#w) AND #v = :v"
        return _made(text, names, {":v": {"N": str(mark)}})
    return _as_read(table, token.attributes)


def _as_read(table: Table, attributes: Item) -> Expression:
    """Every attribute that was read is still there and equal, and no write id has come."""
    keys = {attribute.name for attribute in table.keys}
    compared = [name for name in attributes if name not in keys]
    if len(attributes) > COMPARED:
        raise Unsupported(
            f"the item was not written by polystore and has {len(attributes)} attributes; a "
            f"conditional write compares at most {COMPARED}: write it once without a condition",
            collection=table.collection.name,
            key=table.key_of(attributes),
            driver="dynamodb",
        )
    tests = ["attribute_exists(#k)", "attribute_not_exists(#w)"]
    names = {"#k": table.hash.name, "#w": WRITE_ID}
    values: Item = {}
    for i, name in enumerate(compared):
        tests.append(f"#a{i} = :a{i}")
        names[f"#a{i}"] = name
        values[f":a{i}"] = attributes[name]
    return _made(" AND ".join(tests), names, values)
