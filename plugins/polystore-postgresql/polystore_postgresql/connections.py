"""Connections: one for each call that runs, kept for the next; anew after a fork.

psycopg closes a connection only in the process that made it, so that a child which forgets its
parent's connections leaves them as they are.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import psycopg

from polystore.driver.absence import closed
from polystore.errors import Unavailable
from polystore_postgresql.faults import NotSent
from polystore_postgresql.settings import DRIVER, Settings

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"


GRACE = 1.0
"""Seconds that a call waits beyond the server's own time-out, whose refusal is sure."""


class Timed(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is closed when an answer does not come in time.

    psycopg waits for ever: ``statement_timeout`` is the server's, and the kernel's
    ``tcp_user_timeout`` sees only whether what was sent arrived.

    Attributes:
        seconds: to wait for each answer.
    """

    seconds = math.inf

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """As psycopg's, for as long as an answer may take."""
        return super().wait(self._in_time(gen), *arguments, **options)

    def _in_time(self, gen: Any) -> Generator[Any, Any, Any]:
        until = time.monotonic() + self.seconds
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > until:  # psycopg asks ten times a second
                    self.pgconn.finish()
                    raise psycopg.OperationalError("no answer in time")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value


class Connections:
    """The connections of one driver.

    Args:
        settings: of its URL.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.RLock()  # a handler of a signal may close while its thread is here
        self._free: list[Timed] = []
        self._room = threading.Semaphore(self._settings.connections)

    @contextmanager
    def call(self) -> Iterator[Connection]:
        """A connection in autocommit for one call; one that failed on the way is not kept.

        Raises:
            Unavailable: the driver is closed, all connections stay in use, or none can be made.
        """
        if self._process != os.getpid():
            self._start()
        if self._closed:
            raise closed(DRIVER)
        room = self._room
        if not room.acquire(timeout=self._settings.timeout):
            raise Unavailable("all connections are in use", driver=DRIVER)
        try:
            connection = self._taken() or self.connected()
            connection.seconds = self._settings.timeout + GRACE
            try:
                yield connection
            finally:
                self._given_back(connection)
        finally:
            room.release()

    def connected(self) -> Timed:
        """One more connection; it prepares no statements.

        Of those that a pipeline has not prepared because it failed, psycopg thinks that it has.

        Raises:
            NotSent: none can be made.
        """
        try:
            return Timed.connect(autocommit=True, prepare_threshold=None, **self._settings.conninfo)
        except psycopg.OperationalError as error:
            raise NotSent from error

    def close(self) -> None:
        """Close what is idle; a call that runs closes its own when it ends."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        if self._process == os.getpid():
            for connection in free:
                connection.close()

    def _taken(self) -> Timed | None:
        with self._lock:
            while self._free:
                connection = self._free.pop()
                if not connection.closed:
                    return connection
        return None

    def _given_back(self, connection: Timed) -> None:
        status = psycopg.pq.TransactionStatus
        if connection.info.transaction_status in (status.INERROR, status.INTRANS):
            with suppress(psycopg.Error):
                connection.execute(b"ROLLBACK")
        with self._lock:
            if not self._closed and connection.info.transaction_status == status.IDLE:
                self._free.append(connection)
                return
        connection.close()
