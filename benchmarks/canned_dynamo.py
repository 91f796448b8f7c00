"""A server that answers DynamoDB's calls with prepared replies, so that only the client costs.

    python -m benchmarks.canned_dynamo

It listens on 127.0.0.1, prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zlib import crc32

from boto3.dynamodb.types import TypeSerializer

DOCUMENT: Mapping[str, Any] = MappingProxyType(
    {
        "pk": "user#00000001",
        "sk": "profile",
        "name": "Ada Lovelace",
        "email": "ada1@example.com",
        "age": 37,
        "balance": Decimal("1234.56"),
        "active": True,
        "tags": ["red", "green", "blue"],
        "address": {"street": "12 Long Street", "city": "London", "zip": "N1 9GU"},
        "notes": "x" * 140,
    }
)
"""The record of the figures: 10 fields, about 400 bytes, a list and a map among them."""

_HEAD = (
    "HTTP/1.1 200 OK\r\n"
    "Server: Server\r\n"
    "Date: Tue, 24 Nov 2026 22:00:00 GMT\r\n"
    "Content-Type: application/x-amz-json-1.0\r\n"
    "Content-Length: {length}\r\n"
    "Connection: keep-alive\r\n"
    "x-amzn-RequestId: 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123\r\n"
    "x-amz-crc32: {crc}\r\n\r\n"
)


def replies() -> dict[bytes, bytes]:
    """A whole HTTP reply for each operation. The item is as polystore would have written it."""
    serialize = TypeSerializer().serialize
    written = {**DOCUMENT, "_ps_w": "0123456789abcdef.1"}
    item = {name: serialize(value) for name, value in written.items()}
    found: dict[str, dict[str, Any]] = {
        "GetItem": {"Item": item},
        "PutItem": {},
        "UpdateItem": {},
        "DeleteItem": {},
        "TransactWriteItems": {},
    }
    return {name.encode(): _reply(body) for name, body in found.items()}


def _reply(body: dict[str, Any]) -> bytes:
    data = json.dumps(body, separators=(",", ":")).encode()
    return _HEAD.format(length=len(data), crc=crc32(data)).encode() + data


class Canned(asyncio.Protocol):
    """One connection: a reply for each whole request."""

    def __init__(self, prepared: Mapping[bytes, bytes]) -> None:
        self._prepared = prepared
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._data += data
        assert self._transport is not None
        while (reply := self._next()) is not None:
            self._transport.write(reply)

    def _next(self) -> bytes | None:
        """The reply to the next request; ``None`` until all of it is there."""
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._data[:end]
        whole = end + 4 + int(_header(head.lower(), b"content-length:") or b"0")
        if len(self._data) < whole:
            return None
        self._data = self._data[whole:]
        operation = _header(head, b"X-Amz-Target:").rpartition(b".")[2]
        return self._prepared[operation]


def _header(head: bytes, name: bytes) -> bytes:
    place = head.find(name)
    return head[place + len(name) :].split(b"\r\n", 1)[0].strip() if place >= 0 else b""


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    prepared = replies()
    server = await loop.create_server(lambda: Canned(prepared), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def running() -> Iterator[str]:
    """The server in a process of its own; its endpoint."""
    command = [sys.executable, "-m", "benchmarks.canned_dynamo"]
    root = Path(__file__).parents[1]
    with subprocess.Popen(
        command, cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


if __name__ == "__main__":
    asyncio.run(serve())
