"""What polystore loads first: the driver's name and where its code is, no client library."""

from __future__ import annotations

from collections.abc import Iterable

from polystore.plugin.specs import DriverSpec, hookimpl

SPEC = DriverSpec(
    name="redis",
    factory="polystore_redis.driver:open_redis",
    summary="Redis or Valkey, one server",
    url="redis://HOST:6379/0?user=NAME&prefix=ps&timeout=5&connections=50&tls=yes",
    harness="polystore_redis.harness:RedisHarness",
)


@hookimpl
def polystore_register_drivers() -> Iterable[DriverSpec]:
    """The one driver of this distribution."""
    return [SPEC]
