"""Connections to a database inside this process: one for each thread, and anew after a fork.

Such a connection must not be carried over a fork, not even idle: the child would believe that it
holds locks which only its parent has, and acknowledged writes could be lost when the parent closes
(https://sqlite.org/howtocorrupt.html, 2.6). So a fork waits for the calls that run, which are
short, and finds every connection closed.

Nor may one thread close what another is using. A call that runs while the driver is closed closes
its own connection.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from polystore.driver.absence import closed


class OnePerThread:
    """The connections of one driver.

    Args:
        driver: name of the driver.
        connect: makes a connection, which must allow that another thread closes it; is told
            whether to make the database where it is not there. Must not fork.
    """

    def __init__(self, driver: str, connect: Callable[[bool], Any]) -> None:
        self._driver = driver
        self._connect = connect
        self._closed = False
        self._start()
        _EVERY.add(self)

    def _start(self) -> None:
        # A handler of a signal may close while its thread is in here.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._forking = False
        self._here = threading.local()
        self._all: dict[int, Any] = {}
        self._running: set[int] = set()

    @contextmanager
    def call(self) -> Iterator[Any]:
        """This thread's connection for a call: a fork waits until it ends, closing lets it end.

        Raises:
            Unavailable: the driver is closed; nothing was begun.
        """
        thread = threading.get_ident()
        with self._lock:
            while self._forking:
                self._changed.wait()
            if self._closed:
                raise closed(self._driver)
            self._running.add(thread)
        try:
            yield self.get()
        finally:
            self._ended(thread)

    def _ended(self, thread: int) -> None:
        with self._lock:
            self._running.discard(thread)
            if self._closed and thread in self._all:
                self._all.pop(thread).close()
            if self._forking:
                self._changed.notify_all()

    def get(self, *, make: bool = False) -> Any:
        """This thread's connection; a fork closes it.

        Args:
            make: whether the database is made where it is not there.

        Raises:
            Unavailable: the driver is closed.
        """
        found = getattr(self._here, "connection", None)
        return self._opened(make) if found is None else found

    def close(self) -> None:
        """Close all, those of running calls when these end. A second call does nothing."""
        with self._lock:
            self._closed = True
            self._close_idle()

    def before_fork(self) -> None:
        """Wait for running calls, close everything, and let nothing begin until after the fork."""
        self._lock.acquire()
        self._forking = True
        self._changed.wait_for(lambda: not self._running)
        self._close_idle()

    def after_fork(self) -> None:
        """Go on in the parent."""
        self._forking = False
        self._changed.notify_all()
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Go on in the child, where no other thread is left."""
        self._start()

    def _close_idle(self) -> None:
        for thread in self._all.keys() - self._running:
            self._all.pop(thread).close()
        self._here = threading.local()

    def _opened(self, make: bool) -> Any:
        with self._lock:
            if self._closed:
                raise closed(self._driver)
            self._forget_ended_threads()
            connection = self._connect(make)
            self._here.connection = connection
            # Asking for the thread makes it known to `threading`, whoever started it.
            self._all[threading.current_thread().ident or 0] = connection
            return connection

    def _forget_ended_threads(self) -> None:
        alive = {thread.ident for thread in threading.enumerate()}
        for ident in [ident for ident in self._all if ident not in alive]:
            self._all.pop(ident).close()


_EVERY: weakref.WeakSet[OnePerThread] = weakref.WeakSet()
_FORKING: list[OnePerThread] = []


def _before_fork() -> None:
    _FORKING.extend(_EVERY)
    for connections in _FORKING:
        connections.before_fork()


def _after_fork() -> None:
    while _FORKING:
        _FORKING.pop().after_fork()


def _after_fork_in_child() -> None:
    while _FORKING:
        _FORKING.pop().after_fork_in_child()


if sys.platform != "win32":
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
    )
