"""The URL: where the server is, and how to speak to it."""

from __future__ import annotations

import os
from typing import Any

import attrs

from polystore.driver.options import Options, is_loopback, server_of
from polystore.plugin.specs import DriverURL

DRIVER = "redis"
OPTIONS = ("user", "prefix", "timeout", "connections", "tls")


@attrs.frozen(kw_only=True)
class Settings:
    """What a URL says.

    Attributes:
        prefix: what all keys of the database begin with.
        tls: whether the connection is encrypted and the server's certificate checked.
        client: what redis-py's pool is given. ``repr`` shows none of it: it may hold a password.
    """

    prefix: str
    tls: bool
    client: dict[str, Any] = attrs.field(repr=False)


def settings_of(url: DriverURL) -> Settings:
    """What a URL says; the password is ``REDIS_PASSWORD``.

    Raises:
        ConfigError: something is missing, unknown or wrong.
    """
    given = Options(DRIVER, url.place, url.options, OPTIONS, "the password is REDIS_PASSWORD")
    host, port, number = server_of(url.place, 6379)
    if not host or not (number or "0").isdecimal():
        raise given.wrong("expected redis://HOST:PORT/NUMBER")
    timeout = given.timeout()
    client = {
        "host": host,
        "port": port,
        "db": int(number or 0),
        "username": given.get("user"),
        "password": os.environ.get("REDIS_PASSWORD"),  # now: it may be gone when it is needed
        "max_connections": given.number("connections", 50, 10_000),
        "timeout": timeout,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
    }
    return Settings(
        prefix=given.text("prefix", "ps"),
        tls=given.yes("tls", default=not is_loopback(host)),
        client=client,
    )
