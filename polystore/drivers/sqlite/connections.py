"""A connection to the file, and what it is told first."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from zlib import crc32

import attrs

from polystore.driver.keycodec import encode_key
from polystore.driver.sql import NoDatabase
from polystore.errors import ConfigError, Unavailable
from polystore.values import KeyPart

DRIVER = "sqlite"

SEGMENT = "_ps_segment"
"""Name of the SQL function that tells a key's segment: (count, key part, …)."""


@attrs.frozen
class File:
    """The file of a URL; called for a connection to it.

    Attributes:
        path: the file, absolute.
        synchronous: ``full`` (what is acknowledged is on the disk) or ``normal``.
        timeout: seconds to wait for another writer.
    """

    path: Path
    synchronous: str
    timeout: float

    def __call__(self, make: bool) -> sqlite3.Connection:
        """One more connection, in autocommit.

        Args:
            make: whether the file is made where it is not there.

        Raises:
            NoDatabase: there is no such file.
            ConfigError: there is no such folder, or the file is something else.
            Unavailable: the file cannot be opened.
        """
        folder = self.path.parent
        if not folder.is_dir():
            raise ConfigError(f"the folder {folder} is not there: make it first", driver=DRIVER)
        if not make and not self.path.exists():
            raise NoDatabase
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode={'rwc' if make else 'rw'}",
            timeout=self.timeout,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self.synchronous}")
            connection.create_function(SEGMENT, -1, _segment, deterministic=True)
            (encoding,) = connection.execute("PRAGMA encoding").fetchone()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname == "SQLITE_NOTADB":
                raise ConfigError(f"{self.path} is no SQLite database", driver=DRIVER) from error
            raise Unavailable(
                f"{self.path} cannot be opened ({error.sqlite_errorname})", driver=DRIVER
            ) from error
        if encoding != "UTF-8":
            raise ConfigError(
                f"{self.path} keeps text as {encoding}, in another order: copy it into a database "
                "of UTF-8",
                driver=DRIVER,
            )


def _segment(count: int, *key: KeyPart) -> int:
    """The segment of a key, of ``count``."""
    return crc32(encode_key(key).encode()) % count
