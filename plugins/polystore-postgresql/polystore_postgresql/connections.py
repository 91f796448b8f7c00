"""Connections: one for each call that runs, kept for the next; anew after a fork.

psycopg closes a connection only in the process that made it, so that a child which forgets its
parent's connections leaves them as they are.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import psycopg

from polystore.driver.absence import closed
from polystore.errors import Unavailable
from polystore_postgresql.faults import NotSent
from polystore_postgresql.settings import DRIVER, Settings

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"


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
        self._free: list[Connection] = []
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
            try:
                yield connection
            finally:
                self._given_back(connection)
        finally:
            room.release()

    def connected(self) -> Connection:
        """One more connection; it prepares no statements.

        Of those that a pipeline has not prepared because it failed, psycopg thinks that it has.

        Raises:
            NotSent: none can be made.
        """
        try:
            return psycopg.connect(
                autocommit=True, prepare_threshold=None, **self._settings.conninfo
            )
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

    def _taken(self) -> Connection | None:
        with self._lock:
            while self._free:
                connection = self._free.pop()
                if not connection.closed:
                    return connection
        return None

    def _given_back(self, connection: Connection) -> None:
        status = psycopg.pq.TransactionStatus
        if connection.info.transaction_status in (status.INERROR, status.INTRANS):
            with suppress(psycopg.Error):
                connection.execute(b"ROLLBACK")
        with self._lock:
            if not self._closed and connection.info.transaction_status == status.IDLE:
                self._free.append(connection)
                return
        connection.close()
