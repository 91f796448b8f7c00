"""Connections to one server; nothing is repeated below the core."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from polystore.driver.absence import closed
from polystore.errors import ConfigError
from polystore_redis.faults import NotSent
from polystore_redis.settings import DRIVER, Settings


class Connections(redis.BlockingConnectionPool):
    """The connections of one driver, made when first needed; redis-py makes them anew after a fork.

    Args:
        settings: of its URL.
    """

    def __init__(self, settings: Settings) -> None:
        self._closed = False
        super().__init__(  # type: ignore[no-untyped-call]  # redis-py has no types here
            connection_class=redis.SSLConnection if settings.tls else redis.Connection,
            retry=Retry(NoBackoff(), 0),
            **settings.client,
        )

    def get_connection(self, *command: Any, **options: Any) -> Any:
        """A connection for one command.

        Raises:
            NotSent: none could be made, or all stay in use.
            Unavailable: the driver is closed.
        """
        self.check_open()
        try:
            return super().get_connection()  # type: ignore[no-untyped-call]  # nor here
        except (redis.RedisError, OSError) as error:
            raise NotSent from error

    def check_open(self) -> None:
        """Raise Unavailable where the driver is closed."""
        if self._closed:
            raise closed(DRIVER)

    def release(self, connection: Any) -> None:
        """Keep a connection for the next command, or close it where the driver is closed."""
        if self._closed:
            connection.disconnect()
        super().release(connection)  # type: ignore[no-untyped-call]  # nor here

    def close(self) -> None:
        """Close what is idle; a call that runs closes its own when it ends."""
        self._closed = True
        self.disconnect(inuse_connections=False)


def refuse_forgetful(client: redis.Redis) -> None:
    """Refuse a server that forgets records when it is full. Raises ConfigError."""
    memory: Any = client.info("memory")
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and memory.get("maxmemory"):
        raise ConfigError(
            f"the server forgets records when it is full (maxmemory-policy {policy}): set that to "
            "noeviction",
            driver=DRIVER,
        )
