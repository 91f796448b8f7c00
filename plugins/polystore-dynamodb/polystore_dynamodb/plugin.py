"""What polystore loads first: the driver's name and where its code is, no SDK."""

from __future__ import annotations

from collections.abc import Iterable

from polystore.plugin.specs import DriverSpec, hookimpl

SPEC = DriverSpec(
    name="dynamodb",
    factory="polystore_dynamodb.driver:open_dynamodb",
    summary="Amazon DynamoDB, through boto3",
    url="dynamodb://eu-central-1?endpoint=https://…&prefix=app_&bulk=single&timeout=5&insecure=no",
    harness="polystore_dynamodb.harness:DynamoDBHarness",
)


@hookimpl
def polystore_register_drivers() -> Iterable[DriverSpec]:
    """The one driver of this distribution."""
    return [SPEC]
