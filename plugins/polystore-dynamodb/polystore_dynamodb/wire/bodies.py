"""Requests and answers as JSON; attribute values hold bytes on our side, base64 on the wire."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError


def _base64(value: Any) -> str:
    if type(value) is bytes:
        return b64encode(value).decode("ascii")
    raise TypeError(f"no part of a request is a {type(value).__name__}")


_encode = json.JSONEncoder(separators=(",", ":"), default=_base64, check_circular=False).encode


def request_body(request: dict[str, Any]) -> bytes:
    """A request as DynamoDB reads it."""
    return _encode(request).encode("ascii")


def reply_of(operation: str, status: int, body: bytes) -> dict[str, Any]:
    """What the service answered.

    Raises:
        ClientError: an error of the service, in the shape that botocore gives it.
        HTTPClientError: this is no answer of DynamoDB.
    """
    try:
        reply = _decode(body)
    except ValueError as error:
        if status == 200:
            raise HTTPClientError(error="the answer is no JSON") from error
        reply = {}
    if status == 200:
        return reply
    raise ClientError(_error_of(status, reply), operation)


def _decode(body: bytes) -> dict[str, Any]:
    """The object that a body holds. A body without B or BS is spared the look at each object."""
    binary = b'"B"' in body or b'"BS"' in body
    reply = json.loads(body, object_hook=_with_bytes if binary else None)
    if type(reply) is not dict:
        raise ValueError("not an object")
    return reply


def _with_bytes(found: dict[str, Any]) -> dict[str, Any]:
    """Base64 to bytes, if this is a B or BS; an attribute of that name holds an object."""
    if len(found) == 1:
        if type(text := found.get("B")) is str:
            return {"B": b64decode(text)}
        if type(texts := found.get("BS")) is list:
            return {"BS": [b64decode(text) for text in texts]}
    return found


def _error_of(status: int, reply: dict[str, Any]) -> dict[str, Any]:
    code = str(reply.pop("__type", status)).partition(":")[0].rpartition("#")[2]
    message = reply.pop("message", None) or reply.pop("Message", None) or ""
    return {
        **reply,
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
