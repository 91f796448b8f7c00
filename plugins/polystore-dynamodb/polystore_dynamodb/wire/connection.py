"""Calls over the lean wire, with the identity, region and endpoint that botocore finds."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import NoCredentialsError

from polystore_dynamodb.connection import CONNECTIONS, Connection
from polystore_dynamodb.settings import Settings
from polystore_dynamodb.wire.bodies import reply_of, request_body
from polystore_dynamodb.wire.channels import Channels
from polystore_dynamodb.wire.endpoint import endpoint_of
from polystore_dynamodb.wire.signing import Signer


class LeanConnection(Connection):
    """A connection whose calls bypass the SDK's client; that is opened for what it knows."""

    def __init__(self, settings: Settings) -> None:
        self._wire: _Wire | None = None
        super().__init__(settings)

    def forget(self) -> None:
        """Leave the sockets and threads to the parent of a fork."""
        self._wire = None
        super().forget()

    def _opened(self, session: botocore.session.Session) -> Any:
        client = super()._opened(session)
        self._wire = _Wire(session, client.meta, self.settings.timeout)
        return client

    def _exchange(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        while (wire := self._wire) is None:
            self.client()
        return wire.call(_target(operation), request)

    def close(self) -> None:
        """Close sockets, end threads; a second call does nothing."""
        super().close()
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()


class _Wire:
    """An identity, a server, and connections to it."""

    def __init__(self, session: botocore.session.Session, meta: Any, timeout: float) -> None:
        """``meta`` is that of a client of the session."""
        endpoint = endpoint_of(meta.endpoint_url, session.get_config_variable("ca_bundle"))
        self._credentials = session.get_credentials()
        self._signer = Signer(endpoint.header, meta.region_name)
        self._channels = Channels(endpoint, timeout, CONNECTIONS)

    def call(self, target: str, request: dict[str, Any]) -> dict[str, Any]:
        if self._credentials is None:
            raise NoCredentialsError
        body = request_body(request)
        identity = self._credentials.get_frozen_credentials()
        headers = self._signer.headers(identity, target, body, time.time())
        head = f"POST / HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        status, answer = self._channels.exchange(head.encode("ascii") + body)
        return reply_of(target, status, answer)

    def close(self) -> None:
        self._channels.close()


@cache
def _target(operation: str) -> str:
    """``GetItem`` of ``get_item``."""
    return "".join(word.capitalize() for word in operation.split("_"))
