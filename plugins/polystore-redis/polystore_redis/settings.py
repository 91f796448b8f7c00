"""The URL: where the server is, and how to speak to it."""

from __future__ import annotations

import os
import re
from typing import Any

import attrs

from polystore.driver.options import is_loopback, timeout_of, wrong_url
from polystore.plugin.specs import DriverURL

DRIVER = "redis"
PORT = 6379


@attrs.frozen(kw_only=True)
class Settings:
    """What a URL says.

    Attributes:
        prefix: what all keys of the database begin with.
        timeout: seconds that one call may take.
        tls: whether the connection is encrypted and the server's certificate checked.
        connections: most connections at once.
        client: what redis-py is given. ``repr`` shows none of it: it may hold a password.
    """

    prefix: str
    timeout: float
    tls: bool
    connections: int
    client: dict[str, Any] = attrs.field(repr=False)


def settings_of(url: DriverURL) -> Settings:
    """What a URL says; the password is ``REDIS_PASSWORD``.

    Raises:
        ConfigError: something is missing, unknown or wrong.
    """
    where, _, number = url.place.partition("/")
    host, _, port = where.rpartition(":") if re.search(r":\d+\Z", where) else (where, "", "")
    if not host or not (number or "0").isdecimal():
        raise wrong_url(DRIVER, "expected redis://HOST:PORT/NUMBER")
    options = dict(url.options)
    timeout = timeout_of(DRIVER, options.pop("timeout", "5"))
    tls = options.pop("tls", "no" if is_loopback(host) else "yes")
    if tls not in ("yes", "no"):
        raise wrong_url(DRIVER, "tls is yes or no")
    connections = options.pop("connections", "50")
    if not (connections.isdecimal() and 1 <= int(connections) <= 10_000):
        raise wrong_url(DRIVER, "connections is a number from 1 to 10000")
    prefix, user = options.pop("prefix", "ps"), options.pop("user", None)
    if options:
        known = "user, prefix, timeout, connections, tls"
        raise wrong_url(DRIVER, f"unknown options {sorted(options)}; there are: {known}")
    client: dict[str, Any] = {
        "host": host,
        "port": int(port or PORT),
        "db": int(number or 0),
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
    }
    if user is not None:
        client["username"] = user
    secret = os.environ.get("REDIS_PASSWORD")  # now: it may be gone when a connection is needed
    if secret:
        client["password"] = secret
    return Settings(
        prefix=prefix,
        timeout=timeout,
        tls=tls == "yes",
        connections=int(connections),
        client=client,
    )
