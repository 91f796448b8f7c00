"""Makes, removes and compares tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from polystore.driver import Description
from polystore.errors import Unavailable
from polystore_dynamodb.connection import Connection
from polystore_dynamodb.faults import code_of
from polystore_dynamodb.indexes import TableIndex, is_reserved
from polystore_dynamodb.placement import Table

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
        problems += _index_problems(table, index, there.pop(index.name, None), kinds)
    problems += _undeclared(table, there.values(), kinds)
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
    known = found or {}
    local: list[dict[str, Any]] = known.get("LocalSecondaryIndexes", [])
    return [*known.get("GlobalSecondaryIndexes", []), *local]


def _is_active(connection: Connection, table: Table) -> bool:
    found = _described(connection, table)
    return (
        found is not None
        and found["TableStatus"] == "ACTIVE"
        and all(index.get("IndexStatus", "ACTIVE") == "ACTIVE" for index in _indexes(found))
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
        "AttributeDefinitions": _definitions(table, table.indexes),
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
        AttributeDefinitions=_definitions(table, (index,)),
        GlobalSecondaryIndexUpdates=[{"Create": _index_request(index)}],
    )


def _definitions(table: Table, indexes: Sequence[TableIndex]) -> list[dict[str, str]]:
    kinds = {key.name: key.kind for key in table.keys}
    for index in indexes:
        kinds.update(index.key)
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in kinds.items()]


def _index_request(index: TableIndex) -> dict[str, Any]:
    return {
        "IndexName": index.name,
        "KeySchema": _key_schema(*(name for name, _ in index.key)),
        "Projection": {"ProjectionType": "ALL"},
    }


def _key_schema(*names: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": name, "KeyType": "RANGE" if i else "HASH"} for i, name in enumerate(names)
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


def _undeclared(
    table: Table, found: Iterable[dict[str, Any]], kinds: dict[str, str]
) -> Iterator[str]:
    """Indexes of others over attributes that polystore would write whatever they hold.

    DynamoDB refuses a whole write that has an empty, null or other-typed value under an index, so
    the core has to know of each.
    """
    keys = {key.name for key in table.keys}
    for index in found:
        names = [element["AttributeName"] for element in index["KeySchema"]]
        if all(name in keys or is_reserved(name) for name in names):
            continue
        spelled = _spelled([(name, kinds.get(name, "?")) for name in names])
        yield (
            f"table {table.name!r} has the index {index['IndexName']!r} over {spelled}, which is "
            "not declared: DynamoDB refuses any write that is empty, null or of another type "
            "there. Declare an index of these fields, with their types and the policy native"
        )


def _index_problems(
    table: Table, index: TableIndex, found: dict[str, Any] | None, kinds: dict[str, str]
) -> list[str]:
    where = f"index {index.name!r} of table {table.name!r}"
    if found is None:
        return [f"{where} is not there; run store.create()"]
    problems = []
    real = [(e["AttributeName"], kinds.get(e["AttributeName"], "?")) for e in found["KeySchema"]]
    wanted = list(index.key)
    native = index.policed.native
    if real != wanted:
        remedy = (
            "declare its fields and their types in this order, or the name of another one as gsi"
            if native
            else "give the collection's index another name, or the policy native to use it as it is"
        )
        problems.append(
            f"{where} has the key {_spelled(real)}, and polystore needs {_spelled(wanted)}; "
            f"{remedy}"
        )
    if found["Projection"]["ProjectionType"] != "ALL" and not index.keys_only:
        remedy = f", or name {index.policed.index.name!r} in keys_only" if native else ""
        problems.append(f"{where} does not project all attributes; make it again with ALL{remedy}")
    if found.get("IndexStatus", "ACTIVE") != "ACTIVE":
        problems.append(f"{where} is {found['IndexStatus']}; wait until it is ACTIVE")
    return problems
