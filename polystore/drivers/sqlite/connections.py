"""Connections to one file: one for each thread, made when first needed, and anew after a fork.

SQLite must not be carried over a fork, not even idle: the child would believe that it holds locks
which only its parent has, and its acknowledged writes could be lost when the parent closes
(https://sqlite.org/howtocorrupt.html, 2.6). So a fork waits for the calls that run, which are
short, and finds every connection closed.

Nor may one thread close what another is using: Python's `sqlite3` reads the memory that was given
back, and the process dies. A call that runs while the driver is closed closes its own connection.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from polystore.driver.absence import closed
from polystore.driver.keycodec import encode_key
from polystore.drivers.sqlite.statements import SEGMENT
from polystore.errors import ConfigError, Unavailable
from polystore.values import KeyPart

DRIVER = "sqlite"


class NoFile(Exception):
    """The file is not there; nothing makes it but ``create``."""


class Connections:
    """The connections of one driver.

    Args:
        path: the file, absolute.
        synchronous: ``FULL`` (what is acknowledged is on the disk) or ``NORMAL``.
        timeout: seconds to wait for another writer.
    """

    def __init__(self, path: Path, synchronous: str, timeout: float) -> None:
        self.path = path
        self._synchronous = synchronous
        self._timeout = timeout
        self._closed = False
        self._start()
        _EVERY.add(self)

    def _start(self) -> None:
        # A handler of a signal may close while its thread is in here.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._forking = False
        self._here = threading.local()
        self._all: dict[int, sqlite3.Connection] = {}
        self._running: set[int] = set()

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call that uses connections: a fork waits until it has ended, closing lets it end.

        Raises:
            Unavailable: the driver is closed; nothing was begun.
        """
        thread = threading.get_ident()
        with self._lock:
            self._changed.wait_for(lambda: not self._forking)
            if self._closed:
                raise closed(DRIVER)
            self._running.add(thread)
        try:
            yield
        finally:
            self._ended(thread)

    def _ended(self, thread: int) -> None:
        with self._lock:
            self._running.discard(thread)
            if self._closed and thread in self._all:
                self._all.pop(thread).close()
            if self._forking:
                self._changed.notify_all()

    def get(self) -> sqlite3.Connection:
        """This thread's connection.

        Raises:
            NoFile: there is no such file.
            ConfigError: there is no such folder, or the file is something else.
            Unavailable: the driver is closed, or the file cannot be opened.
        """
        found: sqlite3.Connection | None = getattr(self._here, "connection", None)
        return self._opened("rw") if found is None else found

    def make(self) -> sqlite3.Connection:
        """This thread's connection; the file is made if it is not there. Raises as :meth:`get`."""
        try:
            return self.get()
        except NoFile:
            return self._opened("rwc")

    @contextmanager
    def writing(self, connection: sqlite3.Connection) -> Iterator[None]:
        """One transaction, the only writer of the file; rolled back if anything is raised."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        finally:
            # A full disk has rolled back already; a COMMIT that was refused has not.
            if connection.in_transaction:
                connection.execute("ROLLBACK")

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

    def _opened(self, mode: str) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise closed(DRIVER)
            self._forget_ended_threads()
            connection = self._connected(mode)
            self._here.connection = connection
            # Asking for the thread makes it known to `threading`, whoever started it.
            self._all[threading.current_thread().ident or 0] = connection
            return connection

    def _forget_ended_threads(self) -> None:
        alive = {thread.ident for thread in threading.enumerate()}
        for ident in [ident for ident in self._all if ident not in alive]:
            self._all.pop(ident).close()

    def _connected(self, mode: str) -> sqlite3.Connection:
        folder = self.path.parent
        if not folder.is_dir():
            raise ConfigError(f"the folder {folder} is not there: make it first", driver=DRIVER)
        if mode == "rw" and not self.path.exists():
            raise NoFile
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode={mode}",
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.create_function(SEGMENT, -1, _segment, deterministic=True)
            (encoding,) = connection.execute("PRAGMA encoding").fetchone()
        except sqlite3.DatabaseError as error:
            connection.close()
            if error.sqlite_errorname == "SQLITE_NOTADB":
                raise ConfigError(f"{self.path} is no SQLite database", driver=DRIVER) from error
            raise Unavailable(
                f"{self.path} cannot be opened ({error.sqlite_errorname})", driver=DRIVER
            ) from error
        if encoding != "UTF-8":
            connection.close()
            raise ConfigError(
                f"{self.path} keeps text as {encoding}, in another order: copy it into a database "
                "of UTF-8",
                driver=DRIVER,
            )
        return connection


def _segment(count: int, *key: KeyPart) -> int:
    """The segment of a key, of ``count``."""
    return crc32(encode_key(key).encode()) % count


_EVERY: weakref.WeakSet[Connections] = weakref.WeakSet()
_FORKING: list[Connections] = []


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
