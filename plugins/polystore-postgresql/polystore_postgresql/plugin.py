"""What polystore loads first: the driver's name and where its code is, no client library."""

from __future__ import annotations

from collections.abc import Iterable

from polystore.plugin.specs import DriverSpec, hookimpl

SPEC = DriverSpec(
    name="postgresql",
    factory="polystore_postgresql.driver:open_postgresql",
    summary="PostgreSQL 14 or later, a table for each collection",
    url="postgresql://HOST:5432/DATABASE?user=NAME&schema=public&timeout=5&connections=20"
    "&sslmode=verify-full&sslrootcert=system",
    harness="polystore_postgresql.harness:PostgresqlHarness",
)


@hookimpl
def polystore_register_drivers() -> Iterable[DriverSpec]:
    """The one driver of this distribution."""
    return [SPEC]
