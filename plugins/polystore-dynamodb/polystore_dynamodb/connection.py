"""The SDK's client: opened at the first call, opened again after a fork, never retrying."""

from __future__ import annotations

import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import HTTPClientError

from polystore.errors import Unavailable
from polystore_dynamodb.settings import Settings

CONNECTIONS = 32
"""Sockets that are kept open."""

IN_FLIGHT = 16
"""Calls of one ``write_many`` at once: the best of 4 to 64 in the trials of PROTOCOL 14."""

READS = frozenset({"get_item", "batch_get_item", "query", "scan", "describe_table"})
"""Calls that change nothing, so that one without an answer is simply not executed."""

_OPEN: weakref.WeakSet[Connection] = weakref.WeakSet()


def _forget_all() -> None:
    for connection in list(_OPEN):
        connection.forget()


os.register_at_fork(after_in_child=_forget_all)


class Connection:
    """Calls of one place; many threads may use it at once. ``repr`` shows no credentials."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closed = False
        self._lock = threading.Lock()
        self._client: Any = None
        self._pool: ThreadPoolExecutor | None = None
        _OPEN.add(self)

    def forget(self) -> None:
        """Leave the sockets and threads to the parent of a fork."""
        self._lock = threading.Lock()
        self._client = self._pool = None

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """One call, once.

        Raises:
            Unavailable: closed, or a read without an answer.
            Exception: whatever botocore raises.
        """
        try:
            return self._exchange(operation, request)
        except HTTPClientError as error:
            if operation in READS:
                raise Unavailable(
                    f"no answer to {operation}: {type(error).__name__}", driver="dynamodb"
                ) from error
            raise

    def _exchange(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = getattr(self._client or self.client(), operation)(**request)
        return reply

    def client(self) -> Any:
        """The boto3 client. Raises Unavailable once closed."""
        with self._lock:
            if self._closed:
                raise Unavailable("the store is closed", driver="dynamodb")
            if self._client is None:
                self._client = self._opened(botocore.session.Session())
            return self._client

    def _opened(self, session: botocore.session.Session) -> Any:
        return boto3.session.Session(botocore_session=session).client(
            "dynamodb",
            region_name=self.settings.region or None,
            endpoint_url=self.settings.endpoint,
            config=_config(self.settings),
        )

    def pool(self) -> ThreadPoolExecutor:
        """Threads for calls in flight. Raises Unavailable once closed."""
        with self._lock:
            if self._closed:
                raise Unavailable("the store is closed", driver="dynamodb")
            if self._pool is None:
                self._pool = ThreadPoolExecutor(IN_FLIGHT, "polystore-dynamodb")
            return self._pool

    def close(self) -> None:
        """Close sockets, end threads; a second call does nothing."""
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        if client is not None:
            client.close()


def _config(settings: Settings) -> Config:
    """No retries (a repeat may be refused by the first try's own success), and no idle work."""
    return Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=settings.timeout,
        read_timeout=settings.timeout,
        parameter_validation=False,
        tcp_keepalive=True,
        max_pool_connections=CONNECTIONS,
        disable_request_compression=True,
        account_id_endpoint_mode="disabled",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
