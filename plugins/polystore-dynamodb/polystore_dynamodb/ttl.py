"""Whether DynamoDB removes items by itself, and letting it."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from polystore.driver import NativeExpiry
from polystore.errors import ConfigError
from polystore_dynamodb.connection import Connection
from polystore_dynamodb.faults import code_of
from polystore_dynamodb.placement import Table

_UNTOLD = ("AccessDeniedException", "UnknownOperationException")


def native_expiry(connection: Connection, table: Table) -> NativeExpiry:
    """What DynamoDB says of the table, whatever the placement says."""
    try:
        found = _described(connection, table)
    except ClientError as error:
        if code_of(error) not in _UNTOLD:
            raise
        return NativeExpiry(
            None,
            f"whether table {table.name!r} removes items by itself is not told: it takes the "
            "permission dynamodb:DescribeTimeToLive",
        )
    if found["TimeToLiveStatus"] == "DISABLED":
        return NativeExpiry(False, f"table {table.name!r} removes no items by itself")
    attribute = found["AttributeName"]
    return NativeExpiry(
        True,
        f"table {table.name!r} removes items by the attribute {attribute!r} "
        f"({found['TimeToLiveStatus']}); `aws dynamodb update-time-to-live --table-name "
        f"{table.name} --time-to-live-specification Enabled=false,AttributeName={attribute}` turns "
        "that off, which takes up to an hour",
    )


def expire_natively(connection: Connection, table: Table) -> bool:
    """Let DynamoDB remove items by the attribute of the placement; whether there is one.

    Raises:
        ConfigError: it removes them by another attribute already.
    """
    if table.ttl is None:
        return False
    found = _described(connection, table)
    if found["TimeToLiveStatus"] in ("ENABLED", "ENABLING"):
        if found["AttributeName"] != table.ttl:
            raise ConfigError(
                f"table {table.name!r} removes items by the attribute {found['AttributeName']!r}, "
                f"not {table.ttl!r}: name that one as the placement's ttl, or turn it off",
                collection=table.collection.name,
                driver="dynamodb",
            )
        return True
    connection.call(
        "update_time_to_live",
        TableName=table.name,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": table.ttl},
    )
    return True


def _described(connection: Connection, table: Table) -> dict[str, Any]:
    reply = connection.call("describe_time_to_live", TableName=table.name)
    found: dict[str, Any] = reply["TimeToLiveDescription"]
    return found
