"""Where figures are measured: folders, files, and engines that start when they are asked for."""

from __future__ import annotations

import os
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import polystore_engines
from polystore_engines import Engine


class Ground:
    """Empty databases of each kind. A context manager; its end removes and stops them all."""

    def __init__(self) -> None:
        self._held = ExitStack()
        self._folder = Path(self._held.enter_context(TemporaryDirectory(prefix="figures-")))
        self._engines: dict[str, Engine] = {}
        self._numbers = count()

    def folder(self) -> Path:
        """An empty folder."""
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        return folder

    def url(self, driver: str) -> str:
        """The URL of an empty database. There is one of each engine: asking again empties it."""
        if driver == "memory":
            return f"memory://figure-{next(self._numbers)}"
        if driver == "sqlite":
            return f"sqlite:///{self.folder()}/figure.db"
        engine = self.engine(driver)
        engine.reset()
        return engine.url

    def engine(self, name: str) -> Engine:
        """An engine, started by now; its variables are in the environment.

        Raises:
            EngineError: it cannot be had here.
        """
        if name not in self._engines:
            self._engines[name] = self._held.enter_context(polystore_engines.start(name))
            os.environ.update(self._engines[name].env)
        return self._engines[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._held.close()
