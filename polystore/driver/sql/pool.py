"""Connections to a server: one for each call that runs, kept for the next; anew after a fork.

A child forgets its parent's connections and leaves them as they are, if the client library closes a
connection only in the process that made it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from polystore.driver.absence import closed
from polystore.errors import Unavailable


class Pool:
    """The connections of one driver.

    Args:
        driver: name of the driver.
        connect: makes a connection, in autocommit.
        clean: makes a connection fit for the next call; whether that was possible.
        most: connections at once.
        seconds: to wait for one where all are in use.
    """

    def __init__(
        self,
        driver: str,
        connect: Callable[[], Any],
        clean: Callable[[Any], bool],
        most: int,
        seconds: float,
    ) -> None:
        self._driver = driver
        self._connect = connect
        self._clean = clean
        self._most = most
        self._seconds = seconds
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.RLock()  # a handler of a signal may close while its thread is here
        self._free: list[Any] = []
        self._room = threading.Semaphore(self._most)

    @contextmanager
    def call(self) -> Iterator[Any]:
        """A connection for one call; one that failed on the way is not kept.

        Raises:
            Unavailable: the driver is closed, or all connections stay in use.
        """
        if self._process != os.getpid():
            self._start()
        self.check_open()
        room = self._room
        if not room.acquire(timeout=self._seconds):
            raise Unavailable("all connections are in use", driver=self._driver)
        try:
            connection = self._taken() or self._connect()
            try:
                yield connection
            finally:
                self._given_back(connection)
        finally:
            room.release()

    def check_open(self) -> None:
        """Raise Unavailable where the driver is closed."""
        if self._closed:
            raise closed(self._driver)

    def close(self) -> None:
        """Close what is idle; a call that runs closes its own when it ends."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        if self._process == os.getpid():
            for connection in free:
                connection.close()

    def _taken(self) -> Any:
        with self._lock:
            while self._free:
                connection = self._free.pop()
                if not connection.closed:
                    return connection
        return None

    def _given_back(self, connection: Any) -> None:
        clean = self._clean(connection)
        with self._lock:
            if not self._closed and clean:
                self._free.append(connection)
                return
        connection.close()
