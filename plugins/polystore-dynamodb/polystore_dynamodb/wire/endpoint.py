"""Where calls go: host, port, TLS; and what the lean wire leaves to boto3."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import attrs

from polystore.errors import ConfigError

PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Endpoint:
    """A server.

    Attributes:
        url: as botocore has it, for messages.
        header: the Host header: the port is in it unless it is the scheme's own.
        tls: how certificates are checked; ``None`` for plain text.
    """

    url: str
    host: str
    port: int
    header: str
    tls: ssl.SSLContext | None


def endpoint_of(url: str, ca_bundle: str | None) -> Endpoint:
    """The server of a URL.

    Args:
        ca_bundle: file of certificate authorities, ``None`` for those of the system.

    Raises:
        ConfigError: a proxy stands before it, or it has a path: both need boto3's own wire.
    """
    parts = urlsplit(url)
    if parts.path not in ("", "/") or parts.query:
        raise _leave_to_boto3("the endpoint has a path")
    if parts.scheme in getproxies() and not proxy_bypass(parts.netloc):
        raise _leave_to_boto3("the environment names a proxy for the endpoint")
    host = parts.hostname or ""
    port = parts.port or PORTS[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    return Endpoint(
        url,
        host,
        port,
        shown if port == PORTS[parts.scheme] else f"{shown}:{port}",
        ssl.create_default_context(cafile=ca_bundle) if parts.scheme == "https" else None,
    )


def _leave_to_boto3(reason: str) -> ConfigError:
    return ConfigError(
        f"dynamodb URL: wire=lean cannot go there, as {reason}; use wire=boto3", driver="dynamodb"
    )
