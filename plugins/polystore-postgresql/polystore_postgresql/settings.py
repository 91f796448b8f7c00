"""The URL: where the server is, and how to speak to it."""

from __future__ import annotations

import os
from typing import Any

import attrs

from polystore.driver.options import Options, is_loopback, server_of
from polystore.plugin.specs import DriverURL

DRIVER = "postgresql"
OPTIONS = ("user", "schema", "timeout", "connections", "sslmode", "sslrootcert")
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
    given = Options(DRIVER, url.place, url.options, OPTIONS, "the password is PGPASSWORD")
    host, port, database = server_of(url.place, 5432)
    if not (host and database):
        raise given.wrong("expected postgresql://HOST:PORT/DATABASE")
    timeout = given.timeout()
    mode = given.word("sslmode", "prefer" if is_loopback(host) else "verify-full", SSL_MODES)
    certificate = given.get("sslrootcert") or ("system" if mode == "verify-full" else None)
    conninfo = {
        "host": host,
        "port": port,
        "dbname": database,
        "user": given.get("user"),
        "password": os.environ.get("PGPASSWORD") or None,  # now: it may be gone when it is needed
        "sslmode": mode,
        "sslrootcert": certificate,
        "connect_timeout": max(2, round(timeout)),  # libpq waits for two seconds at least
        "tcp_user_timeout": round(timeout * 1000),
        "options": f"-c statement_timeout={round(timeout * 1000)} -c timezone=UTC",
        "application_name": "polystore",
    }
    return Settings(
        schema=given.text("schema", "public"),
        timeout=timeout,
        connections=given.number("connections", 20, 1000),
        conninfo={name: value for name, value in conninfo.items() if value is not None},
    )
