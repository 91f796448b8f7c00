"""Sockets with one call each at a time, kept open for the next."""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque

from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from polystore_dynamodb.wire.answer import HEAD_BYTES, Head, checked, head_of, no_answer
from polystore_dynamodb.wire.endpoint import Endpoint

CHUNK = 65_536
"""Bytes asked of a socket at once."""

FRESH = 1.0
"""Seconds after which a kept socket is looked at before use: the server may have closed it."""


class Channel:
    """One connection. After any error it is of no use: close it."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        """Connect.

        Args:
            timeout: seconds for the connection, and then for each wait.

        Raises:
            EndpointConnectionError: nobody there, or not who the certificate has to name.
            ConnectTimeoutError: no connection in time.
        """
        self._url = endpoint.url
        self._used = time.monotonic()
        try:
            self._socket = _connected(endpoint, timeout)
        except TimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=endpoint.url) from error
        except OSError as error:
            raise EndpointConnectionError(endpoint_url=endpoint.url) from error

    def exchange(self, request: bytes) -> tuple[Head, bytes]:
        """One call and its answer.

        Raises:
            EndpointConnectionError: nothing was sent.
            HTTPClientError: something was sent, and no answer is known.
        """
        self._send(request)
        try:
            answer = self._answer()
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=self._url) from error
        except OSError as error:
            raise ConnectionClosedError(endpoint_url=self._url) from error
        self._used = time.monotonic()
        return answer

    def _send(self, request: bytes) -> None:
        sent = 0
        try:
            sent = self._socket.send(request)
            if sent < len(request):
                self._socket.sendall(memoryview(request)[sent:])
        except OSError as error:
            if not sent:
                raise EndpointConnectionError(endpoint_url=self._url) from error
            raise ConnectionClosedError(endpoint_url=self._url) from error

    def _answer(self) -> tuple[Head, bytes]:
        data = self._more()
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > HEAD_BYTES:
                raise no_answer("a head without an end")
            data += self._more()
        head = head_of(data[:end])
        body = data[end + 4 :]
        if len(body) < head.length:
            body = self._rest(body, head.length)
        return head, checked(head, body)

    def _rest(self, start: bytes, length: int) -> bytes:
        parts, there = [start], len(start)
        while there < length:
            parts.append(self._more())
            there += len(parts[-1])
        return b"".join(parts)

    def _more(self) -> bytes:
        data = self._socket.recv(CHUNK)
        if not data:
            raise ConnectionClosedError(endpoint_url=self._url)
        return data

    def is_usable(self) -> bool:
        """Whether the next call may go over it: used just now, or still silent and open."""
        if time.monotonic() - self._used < FRESH:
            return True
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            return not selector.select(0)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def _connected(endpoint: Endpoint, timeout: float) -> socket.socket:
    plain = socket.create_connection((endpoint.host, endpoint.port), timeout)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if endpoint.tls is None:
            return plain
        return endpoint.tls.wrap_socket(plain, server_hostname=endpoint.host)
    except BaseException:
        plain.close()
        raise


class Channels:
    """The connections of one place; threads may share them. A fork must make its own.

    Args:
        kept: the most that are kept open while nobody uses them.
    """

    def __init__(self, endpoint: Endpoint, timeout: float, kept: int) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._kept = kept
        self._idle: deque[Channel] = deque()
        self._closed = False

    def exchange(self, request: bytes) -> tuple[int, bytes]:
        """One call, once: the status and body of its answer.

        Raises:
            EndpointConnectionError: nothing was sent.
            ConnectTimeoutError: nothing was sent.
            HTTPClientError: something was sent, and no answer is known.
        """
        channel = self._usable() or Channel(self._endpoint, self._timeout)
        try:
            head, body = channel.exchange(request)
        except BaseException:
            channel.close()
            raise
        if head.last or len(self._idle) >= self._kept:
            channel.close()
        else:
            self._idle.append(channel)
        if self._closed:
            self.close()
        return head.status, body

    def _usable(self) -> Channel | None:
        """The one that was used last, if any can be used."""
        while self._idle:
            try:
                channel = self._idle.pop()
            except IndexError:  # another thread was faster
                return None
            if channel.is_usable():
                return channel
            channel.close()
        return None

    def close(self) -> None:
        """End the connections that nobody uses; the others end with their call."""
        self._closed = True
        while (channel := self._usable()) is not None:
            channel.close()
