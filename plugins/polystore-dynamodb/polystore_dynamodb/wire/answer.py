"""Heads of HTTP answers: a status line and a Content-Length, and nothing cleverer."""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

from botocore.exceptions import HTTPClientError

HEAD_BYTES = 65_536
"""The most that a head may have; DynamoDB's have about 300."""

_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [^\r\n]*)?\Z")
BODILESS = (204, 304)


class Head(NamedTuple):
    """What a head says.

    Attributes:
        length: bytes of the body.
        crc32: checksum of the body, ``None`` if there is none.
        last: whether the server closes the connection after it.
    """

    status: int
    length: int
    crc32: int | None
    last: bool


def head_of(raw: bytes) -> Head:
    """A head, without the empty line after it.

    Raises:
        HTTPClientError: it is none, or one that this wire does not read.
    """
    first, *lines = raw.split(b"\r\n")
    status = _STATUS.match(first)
    if status is None or (number := int(status[1])) in BODILESS:
        raise no_answer("another status line than an answer of HTTP/1.1 has")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or (name in headers and name == b"content-length"):
            raise no_answer("a header that is none, or twice a length")
        headers[name] = value.strip()
    if b"transfer-encoding" in headers or b"content-encoding" in headers:
        raise no_answer("an encoded body")
    return Head(
        number,
        _number(headers.get(b"content-length", b"")),
        _number(headers[b"x-amz-crc32"], 10) if b"x-amz-crc32" in headers else None,
        headers.get(b"connection", b"").lower() == b"close",
    )


def _number(text: bytes, most_digits: int = 9) -> int:
    if not text.isdigit() or len(text) > most_digits:
        raise no_answer("a length or checksum that is no number")
    return int(text)


def checked(head: Head, body: bytes) -> bytes:
    """The body, if it is the one that was sent. Raises HTTPClientError otherwise."""
    if len(body) != head.length:
        raise no_answer("more bytes than the answer has")
    if head.crc32 is not None and zlib.crc32(body) != head.crc32:
        raise no_answer("a body with another checksum than x-amz-crc32")
    return body


def no_answer(problem: str) -> HTTPClientError:
    """The server sent something, but nothing that tells what became of the call."""
    return HTTPClientError(error=problem)
