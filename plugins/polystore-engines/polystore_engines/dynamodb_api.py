"""The few DynamoDB calls that starting and emptying need, without an AWS SDK."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

import attrs

from polystore_engines.errors import EngineError

Reply = dict[str, Any]

REQUEST_SECONDS = 10.0
EMPTYING_SECONDS = 20.0
HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    # DynamoDB Local reads the key id and the region here and never checks the signature.
    "Authorization": "AWS4-HMAC-SHA256 Credential=polystore/20260101/us-east-1/dynamodb/"
    "aws4_request, SignedHeaders=host, Signature=0",
}


class CallRefused(EngineError):
    """The engine refused a call.

    Attributes:
        kind: the exception's name in the API, such as `ResourceInUseException`.
    """

    def __init__(self, action: str, reply: Reply) -> None:
        self.kind = str(reply.get("__type", "")).rpartition("#")[2]
        message = reply.get("message") or reply.get("Message") or ""
        super().__init__(f"{action} was refused: {self.kind}: {message}")


@attrs.frozen
class DynamoDBApi:
    """Calls to an engine on this machine, past any proxy of the environment."""

    port: int

    def call(self, action: str, **request: Any) -> Reply:
        """One call.

        Raises:
            CallRefused: the engine answered with an error.
            OSError: it cannot be reached.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS)
        headers = {**HEADERS, "X-Amz-Target": f"DynamoDB_20120810.{action}"}
        try:
            connection.request("POST", "/", json.dumps(request), headers)
            response = connection.getresponse()
            reply: Reply = json.loads(response.read() or b"{}")
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise CallRefused(action, reply)
        return reply

    def delete_all_tables(self) -> None:
        """Deletes every table, protected ones too, and waits until they are gone.

        Raises:
            CallRefused: a table could not be deleted.
        """
        deadline = time.monotonic() + EMPTYING_SECONDS
        while names := self.call("ListTables")["TableNames"]:
            for name in names:
                self._delete(name, deadline)

    def _delete(self, table: str, deadline: float) -> None:
        try:
            self.call("DeleteTable", TableName=table)
        except CallRefused as refused:
            if refused.kind == "ValidationException":  # what a protected table answers
                self.call("UpdateTable", TableName=table, DeletionProtectionEnabled=False)
            elif refused.kind == "ResourceInUseException" and time.monotonic() < deadline:
                time.sleep(0.02)  # an index is being built; the caller's loop comes back to it
            elif refused.kind != "ResourceNotFoundException":
                raise
