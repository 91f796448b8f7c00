"""Calls of the Datastore API: opened at the first one, opened again after a fork, never retried."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import attrs
import grpc
from google.cloud.datastore_v1 import DatastoreClient
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport

from polystore.driver.absence import closed
from polystore_datastore.faults import call_error, is_refusal
from polystore_datastore.messages import (
    CommitRequest,
    CommitResponse,
    LookupRequest,
    LookupResponse,
    Message,
    RunQueryRequest,
    RunQueryResponse,
)
from polystore_datastore.settings import Settings

_SERVICE = "/google.datastore.v1.Datastore/"
_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A repeat may be refused by the first try's own success.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # Opened again after a fork, it must not share the parent's sockets.
    ("grpc.use_local_subchannel_pool", 1),
)

_OPEN: weakref.WeakSet[Connection] = weakref.WeakSet()
_LEFT: list[Any] = []
"""Channels of the parent of a fork; closing one in the child would hang."""


def _forget_all() -> None:
    for connection in list(_OPEN):
        connection.forget()


os.register_at_fork(after_in_child=_forget_all)


@attrs.frozen
class Calls:
    """An open channel and what is called over it."""

    channel: grpc.Channel
    lookup: Callable[..., Message]
    run_query: Callable[..., Message]
    commit: Callable[..., Message]


class Connection:
    """Calls of one place; many threads may use it at once. ``repr`` shows no credentials."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout = settings.timeout
        self._lock = threading.Lock()
        self._calls: Calls | None = None
        self._closed = False
        params = f"project_id={quote(settings.project, safe='')}"
        if settings.database:
            params += f"&database_id={quote(settings.database, safe='')}"
        self._metadata = (("x-goog-request-params", params),)
        _OPEN.add(self)

    def lookup(self, request: Message) -> Message:
        """Entities by key."""
        return self._send("Lookup", (self._calls or self._open()).lookup, request)

    def run_query(self, request: Message) -> Message:
        """One batch of a query."""
        return self._send("RunQuery", (self._calls or self._open()).run_query, request)

    def commit(self, request: Message) -> Message | None:
        """Write; ``None`` where a condition was false, and nothing was written."""
        call = (self._calls or self._open()).commit
        try:
            return call(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            if is_refusal(error):
                return None
            raise call_error("Commit", error) from error
        except ValueError as error:
            raise self._unusable(error) from error

    def _send(self, method: str, call: Callable[..., Message], request: Message) -> Message:
        try:
            return call(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise call_error(method, error) from error
        except ValueError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: ValueError) -> Exception:
        """A channel that was closed meanwhile raises ValueError and nothing better."""
        return closed("datastore") if self._closed else error

    def request(self, kind: Any) -> Message:
        """An empty request for this project and database."""
        request = kind()
        request.project_id = self._settings.project
        if self._settings.database:
            request.database_id = self._settings.database
        return request

    def client(self) -> DatastoreClient:
        """Google's own client over this channel, for what polystore does not offer."""
        channel = (self._calls or self._open()).channel
        return DatastoreClient(transport=DatastoreGrpcTransport(channel=channel))

    def check_open(self) -> None:
        """Raises Unavailable once closed."""
        if self._closed:
            raise closed("datastore")

    def forget(self) -> None:
        """Leave the channel to the parent of a fork."""
        if self._calls is not None:
            _LEFT.append(self._calls)
        self._lock = threading.Lock()
        self._calls = None

    def close(self) -> None:
        """Close the channel; a second call does nothing."""
        with self._lock:
            self._closed = True
            calls, self._calls = self._calls, None
        if calls is not None:
            calls.channel.close()

    def _open(self) -> Calls:
        with self._lock:
            self.check_open()
            if self._calls is None:
                self._calls = _calls(_channel(self._settings))
            return self._calls


def _channel(settings: Settings) -> grpc.Channel:
    if settings.emulator is not None:
        return grpc.insecure_channel(settings.emulator, options=_CHANNEL_OPTIONS)
    make = DatastoreGrpcTransport.create_channel

    def channel(host: str, **options: Any) -> grpc.Channel:
        """As the client makes it, with credentials from Google's chain, and these options."""
        return make(host, **{**options, "options": _CHANNEL_OPTIONS})

    client = DatastoreClient(
        transport=lambda **given: DatastoreGrpcTransport(channel=channel, **given)
    )
    transport = client.transport
    assert isinstance(transport, DatastoreGrpcTransport)
    return transport.grpc_channel


def _calls(channel: grpc.Channel) -> Calls:
    def call(name: str, request: Any, response: Any) -> Callable[..., Message]:
        made: Callable[..., Message] = channel.unary_unary(
            _SERVICE + name, request.SerializeToString, response.FromString
        )
        return made

    return Calls(
        channel,
        call("Lookup", LookupRequest, LookupResponse),
        call("RunQuery", RunQueryRequest, RunQueryResponse),
        call("Commit", CommitRequest, CommitResponse),
    )
