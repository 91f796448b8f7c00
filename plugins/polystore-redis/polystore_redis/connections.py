"""Connections, and commands sent over them once: nothing is repeated below the core."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from polystore.driver.absence import closed
from polystore.errors import ConfigError, Unavailable
from polystore_redis.faults import NotSent, Silent
from polystore_redis.settings import DRIVER, Settings


class Connections:
    """The connections of one driver; redis-py's pool makes them anew after a fork.

    Args:
        settings: of its URL.
    """

    def __init__(self, settings: Settings) -> None:
        self._closed = False
        self._checked = False
        make: Any = redis.BlockingConnectionPool  # without annotations
        self._pool: Any = make(
            connection_class=redis.SSLConnection if settings.tls else redis.Connection,
            max_connections=settings.connections,
            timeout=settings.timeout,
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
            **settings.client,
        )

    def read(self, *command: Any) -> Any:
        """Send a command that changes nothing.

        Raises:
            Silent: no answer came.
            NotSent, redis.RedisError, Unavailable, ConfigError: as :meth:`send`.
        """
        try:
            return self.send(*command)
        except (redis.TimeoutError, redis.ConnectionError, OSError) as error:
            raise Silent from error

    def send(self, *command: Any) -> Any:
        """Send a command once, and take its answer.

        Raises:
            NotSent: no connection could be made.
            redis.RedisError: the server refused it, or no answer came.
            Unavailable: the driver is closed, or all connections stay in use.
            ConfigError: the server may forget records.
        """
        if self._closed:
            raise closed(DRIVER)
        if not self._checked:
            self._check()
        return self._exchanged(*command)

    def client(self) -> redis.Redis:
        """A client of the same connections."""
        if self._closed:
            raise closed(DRIVER)
        return redis.Redis(connection_pool=self._pool)

    def close(self) -> None:
        """Close what is idle; a call that runs closes its own when it ends."""
        self._closed = True
        self._pool.disconnect(inuse_connections=False)

    def _exchanged(self, *command: Any) -> Any:
        try:
            connection: Any = self._pool.get_connection()
        except (redis.RedisError, OSError) as error:
            if "No connection available" in str(error):
                raise Unavailable("all connections are in use", driver=DRIVER) from None
            raise NotSent from error
        try:
            connection.send_command(*command)
            return connection.read_response()
        except redis.ResponseError:
            raise  # an answer: the connection is as good as before
        except BaseException:
            connection.disconnect()
            raise
        finally:
            if self._closed:
                connection.disconnect()
            self._pool.release(connection)

    def _check(self) -> None:
        """Refuse a server that forgets records when it is full."""
        told = self._exchanged("INFO", "memory")
        text = told if isinstance(told, str) else told.decode()
        policy = text.partition("maxmemory_policy:")[2].split("\r\n")[0]
        limit = text.partition("maxmemory:")[2].split("\r\n")[0]
        if policy != "noeviction" and limit not in ("", "0"):
            raise ConfigError(
                f"the server forgets records when it is full (maxmemory-policy {policy}): set "
                "that to noeviction",
                driver=DRIVER,
            )
        self._checked = True
