"""The URL: where the server is, and how to speak to it."""

from __future__ import annotations

import os
import re
from typing import Any

import attrs

from polystore.driver.options import is_loopback, timeout_of, wrong_url
from polystore.plugin.specs import DriverURL

DRIVER = "postgresql"
PORT = 5432
SSL_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")


@attrs.frozen(kw_only=True)
class Settings:
    """What a URL says.

    Attributes:
        schema: where the tables are.
        timeout: seconds that one call may take.
        connections: most connections at once.
        conninfo: what libpq is given. ``repr`` shows none of it: it may hold a password.
    """

    schema: str
    timeout: float
    connections: int
    conninfo: dict[str, Any] = attrs.field(repr=False)


def settings_of(url: DriverURL) -> Settings:
    """What a URL says; the password is ``PGPASSWORD``, or where libpq finds it.

    Raises:
        ConfigError: something is missing, unknown or wrong.
    """
    where, _, database = url.place.partition("/")
    host, _, port = where.rpartition(":") if re.search(r":\d+\Z", where) else (where, "", "")
    if not (host and database):
        raise wrong_url(DRIVER, "expected postgresql://HOST:PORT/DATABASE")
    options = dict(url.options)
    timeout = timeout_of(DRIVER, options.pop("timeout", "5"))
    schema = options.pop("schema", "public")
    connections = _count(options.pop("connections", "20"))
    mode = options.pop("sslmode", "prefer" if is_loopback(host) else "verify-full")
    if mode not in SSL_MODES:
        raise wrong_url(DRIVER, f"sslmode is one of {', '.join(SSL_MODES)}")
    conninfo: dict[str, Any] = {
        "host": host,
        "port": int(port or PORT),
        "dbname": database,
        "sslmode": mode,
        "connect_timeout": max(2, round(timeout)),  # libpq waits for two seconds at least
        "tcp_user_timeout": round(timeout * 1000),
        "options": f"-c statement_timeout={round(timeout * 1000)} -c timezone=UTC",
        "application_name": "polystore",
    }
    user = options.pop("user", None)
    certificate = options.pop("sslrootcert", "system" if mode == "verify-full" else None)
    if certificate is not None:
        conninfo["sslrootcert"] = certificate
    if options:
        known = "user, schema, timeout, connections, sslmode, sslrootcert"
        raise wrong_url(DRIVER, f"unknown options {sorted(options)}; there are: {known}")
    secret = os.environ.get("PGPASSWORD")  # now: it may be gone when a connection is needed
    if secret:
        conninfo["password"] = secret
    if user is not None:
        conninfo["user"] = user
    return Settings(schema=schema, timeout=timeout, connections=connections, conninfo=conninfo)


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 1000):
        raise wrong_url(DRIVER, "connections is a number from 1 to 1000")
    return int(text)
