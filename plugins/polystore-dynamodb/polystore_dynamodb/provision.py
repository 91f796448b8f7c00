"""Makes, removes and compares tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from polystore.driver import Description
from polystore.errors import Unavailable
from polystore_dynamodb.connection import Connection
from polystore_dynamodb.faults import code_of
from polystore_dynamodb.placement import Table, TableIndex

PATIENCE = 300.0
"""Seconds that ``create`` and ``drop`` wait for DynamoDB."""

NO_TABLE = "ResourceNotFoundException"


def create(connection: Connection, table: Table) -> None:
    """Make the table and its indexes, or the indexes that are missing; wait until they serve.

    An index that is added to a table with records holds only records that polystore writes from
    then on: write the others again to bring them into it.
    """
    found = _described(connection, table)
    if found is None:
        _create_table(connection, table)
    _wait(table, lambda: _is_active(connection, table))
    there = {index["IndexName"] for index in _indexes(_described(connection, table))}
    for index in table.indexes:
        if index.name not in there:  # DynamoDB adds one at a time
            _add_index(connection, table, index)
            _wait(table, lambda: _is_active(connection, table))


def drop(connection: Connection, table: Table) -> None:
    """Remove the table with all its items, and wait until it is gone."""
    try:
        connection.call("delete_table", TableName=table.name)
    except ClientError as error:
        if code_of(error) != NO_TABLE:
            raise
        return
    _wait(table, lambda: _described(connection, table) is None)


def describe(connection: Connection, table: Table) -> Description:
    """What is really there, compared with the declaration."""
    found = _described(connection, table)
    if found is None:
        problem = f"table {table.name!r} is not there; run store.create()"
        return Description(exists=False, problems=(problem,))
    kinds = {a["AttributeName"]: a["AttributeType"] for a in found["AttributeDefinitions"]}
    problems = _key_problems(table, found, kinds)
    there = {index["IndexName"]: index for index in _indexes(found)}
    for index in table.indexes:
        problems += _index_problems(table, index, there.get(index.name), kinds)
    if found["TableStatus"] not in ("ACTIVE", "UPDATING"):
        problems.append(f"table {table.name!r} is {found['TableStatus']}; wait until it is ACTIVE")
    return Description(exists=True, problems=tuple(problems))


def _described(connection: Connection, table: Table) -> dict[str, Any] | None:
    try:
        reply = connection.call("describe_table", TableName=table.name)
    except ClientError as error:
        if code_of(error) != NO_TABLE:
            raise
        return None
    found: dict[str, Any] = reply["Table"]
    return found


def _indexes(found: dict[str, Any] | None) -> list[dict[str, Any]]:
    indexes: list[dict[str, Any]] = (found or {}).get("GlobalSecondaryIndexes", [])
    return indexes


def _is_active(connection: Connection, table: Table) -> bool:
    found = _described(connection, table)
    return (
        found is not None
        and found["TableStatus"] == "ACTIVE"
        and all(index["IndexStatus"] == "ACTIVE" for index in _indexes(found))
    )


def _wait(table: Table, ready: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + PATIENCE, 0.02
    while not ready():
        if time.monotonic() > deadline:
            raise Unavailable(
                f"table {table.name!r} is not ready after {PATIENCE:.0f} s; DynamoDB goes on with "
                "it, so run store.create() again later",
                collection=table.collection.name,
                driver="dynamodb",
            )
        time.sleep(pause)
        pause = min(pause * 2, 2.0)


def _create_table(connection: Connection, table: Table) -> None:
    request: dict[str, Any] = {
        "TableName": table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": _key_schema(*(key.name for key in table.keys)),
        "AttributeDefinitions": [
            *({"AttributeName": key.name, "AttributeType": key.kind} for key in table.keys),
            *(definition for index in table.indexes for definition in _definitions(index)),
        ],
    }
    if table.indexes:
        request["GlobalSecondaryIndexes"] = [_index_request(index) for index in table.indexes]
    try:
        connection.call("create_table", **request)
    except ClientError as error:
        if code_of(error) != "ResourceInUseException":  # another process was faster
            raise


def _add_index(connection: Connection, table: Table, index: TableIndex) -> None:
    connection.call(
        "update_table",
        TableName=table.name,
        AttributeDefinitions=[
            *({"AttributeName": key.name, "AttributeType": key.kind} for key in table.keys),
            *_definitions(index),
        ],
        GlobalSecondaryIndexUpdates=[{"Create": _index_request(index)}],
    )


def _definitions(index: TableIndex) -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": "S"} for name in (index.hash, index.range)]


def _index_request(index: TableIndex) -> dict[str, Any]:
    return {
        "IndexName": index.name,
        "KeySchema": _key_schema(index.hash, index.range),
        "Projection": {"ProjectionType": "ALL"},
    }


def _key_schema(*names: str) -> list[dict[str, str]]:
    kinds = ("HASH", "RANGE")
    return [
        {"AttributeName": name, "KeyType": kind} for name, kind in zip(names, kinds, strict=False)
    ]


def _key_problems(table: Table, found: dict[str, Any], kinds: dict[str, str]) -> list[str]:
    wanted = [(key.name, key.kind) for key in table.keys]
    names = [element["AttributeName"] for element in found["KeySchema"]]
    real = [(name, kinds[name]) for name in names]
    if real == wanted:
        return []
    problem = (
        f"table {table.name!r} has the key {_spelled(real)}, and the collection needs "
        f"{_spelled(wanted)}; correct the placement's hash and range, the key's types, or the table"
    )
    return [problem]


def _spelled(key: list[tuple[str, str]]) -> str:
    return " + ".join(f"{name} ({kind})" for name, kind in key)


def _index_problems(
    table: Table, index: TableIndex, found: dict[str, Any] | None, kinds: dict[str, str]
) -> list[str]:
    where = f"index {index.name!r} of table {table.name!r}"
    if found is None:
        return [f"{where} is not there; run store.create()"]
    problems = []
    real = [(e["AttributeName"], kinds.get(e["AttributeName"], "?")) for e in found["KeySchema"]]
    wanted = [(index.hash, "S"), (index.range, "S")]
    if real != wanted:
        problems.append(
            f"{where} has the key {_spelled(real)}, and polystore needs {_spelled(wanted)}; "
            "give the collection's index another name"
        )
    if found["Projection"]["ProjectionType"] != "ALL":
        problems.append(f"{where} does not project all attributes; make it again with ALL")
    if found.get("IndexStatus", "ACTIVE") != "ACTIVE":
        problems.append(f"{where} is {found['IndexStatus']}; wait until it is ACTIVE")
    return problems
