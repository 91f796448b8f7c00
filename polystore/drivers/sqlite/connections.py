"""Connections to one file: one for each thread, made when first needed, and anew after a fork."""

from __future__ import annotations

import os
import sqlite3
import threading
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
_ABANDONED: list[sqlite3.Connection] = []
"""Connections of the process that this one was forked from: they must not be closed here."""


class NoFile(Exception):
    """The file is not there; nothing makes it but ``create``."""


class Connections:
    """The connections of one driver.

    Args:
        path: the file.
        synchronous: ``FULL`` (what is acknowledged is on the disk) or ``NORMAL``.
        timeout: seconds to wait for another writer.
    """

    def __init__(self, path: Path, synchronous: str, timeout: float) -> None:
        self.path = path
        self._synchronous = synchronous
        self._timeout = timeout
        self._lock = threading.Lock()
        self._here = threading.local()
        self._all: dict[int, sqlite3.Connection] = {}
        self._process = os.getpid()
        self._closed = False

    def get(self) -> sqlite3.Connection:
        """This thread's connection.

        Raises:
            NoFile: there is no such file.
            ConfigError: there is no such folder, or the file is something else.
            Unavailable: the driver is closed, or the file cannot be opened.
        """
        if self._process == os.getpid():
            found: sqlite3.Connection | None = getattr(self._here, "connection", None)
            if found is not None:
                return found
        return self._opened("rw")

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
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def close(self) -> None:
        """Close all. A second call does nothing."""
        with self._lock:
            self._closed = True
            mine = self._process == os.getpid()
            for connection in self._all.values() if mine else ():
                connection.close()
            self._all.clear()
            self._here = threading.local()

    def _opened(self, mode: str) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise closed(DRIVER)
            if self._process != os.getpid():
                _ABANDONED.extend(self._all.values())
                self._all.clear()
                self._here = threading.local()
                self._process = os.getpid()
            self._forget_ended_threads()
            connection = self._connected(mode)
            self._here.connection = connection
            self._all[threading.get_ident()] = connection
            return connection

    def _forget_ended_threads(self) -> None:
        alive = {thread.ident for thread in threading.enumerate()}
        for ident in [ident for ident in self._all if ident not in alive]:
            self._all.pop(ident).close()

    def _connected(self, mode: str) -> sqlite3.Connection:
        folder = self.path.absolute().parent
        if not folder.is_dir():
            raise ConfigError(f"the folder {folder} is not there: make it first", driver=DRIVER)
        if mode == "rw" and not self.path.exists():
            raise NoFile
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.create_function(SEGMENT, -1, _segment, deterministic=True)
        except sqlite3.DatabaseError as error:
            connection.close()
            if error.sqlite_errorname == "SQLITE_NOTADB":
                raise ConfigError(f"{self.path} is no SQLite database", driver=DRIVER) from error
            raise Unavailable(
                f"{self.path} cannot be opened ({error.sqlite_errorname})", driver=DRIVER
            ) from error
        return connection


def _segment(count: int, *key: KeyPart) -> int:
    """The segment of a key, of ``count``."""
    return crc32(encode_key(key).encode()) % count
