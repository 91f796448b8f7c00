"""A running engine, as its user sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import attrs

from polystore_engines.process import ServerProcess


@attrs.define(kw_only=True, eq=False)
class Engine:
    """A real database that this process started and that ends with it.

    It is a context manager: leaving the block stops it.

    Attributes:
        name: what it was started by, such as `datastore`.
        product: what reports name, with version.
        url: what `polystore.open` takes.
        port: TCP port of its API.
        env: environment variables that a process needs to use it with the official client.
        notices: what its user should know, as sentences.
    """

    name: str
    product: str
    url: str
    port: int
    env: Mapping[str, str] = attrs.field(repr=False)  # may hold a password
    notices: tuple[str, ...] = ()
    _process: ServerProcess = attrs.field(repr=False)
    _empty: Callable[[], None] = attrs.field(repr=False)
    _again: Callable[[], ServerProcess] | None = attrs.field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """Process id of the database itself."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it is still running."""
        return self._process.alive

    def reset(self) -> None:
        """Empties it: every collection, table, index and open transaction is gone."""
        self._empty()

    def restart(self) -> None:
        """Kills it and starts it again on its port, with the data that it had written.

        Raises:
            ValueError: its data is in memory: it was started without a folder.
            EngineStartFailed: it did not come up again.
        """
        if self._again is None:
            raise ValueError(f"{self.product} keeps its data in memory: start it with a folder")
        self._process.stop()
        self._process = self._again()

    def stop(self) -> None:
        """Ends it, with all its data; further calls do nothing."""
        self._process.stop()

    def log(self) -> str:
        """What it has written to its output; only while it has not been stopped."""
        return self._process.output()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
