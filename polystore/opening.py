"""From the arguments of ``open`` to open databases; both facades begin here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import attrs

from polystore.config import Config, load
from polystore.databases import Databases
from polystore.errors import ConfigError
from polystore.plugin.registry import Registry, default_registry
from polystore.schema import Collection


def opened(
    where: str | os.PathLike[str] | Config,
    collections: Iterable[Collection] | None,
    registry: Registry | None,
    timeout: float | None,
    opened_at: str,
    *,
    check: bool,
) -> Databases:
    """The databases of a store, open and (unless told otherwise) compared with the declaration."""
    finder = registry or default_registry()
    config = configuration(where, collections, finder)
    if timeout is not None:
        config = attrs.evolve(config, timeout=timeout)
    databases = Databases(config, finder, opened_at)
    if not check:
        return databases
    try:
        databases.check()
    except BaseException:
        databases.close()
        raise
    return databases


def configuration(
    where: str | os.PathLike[str] | Config,
    collections: Iterable[Collection] | None,
    registry: Registry,
) -> Config:
    """The configuration that the arguments of ``open`` mean. Raises ConfigError."""
    if isinstance(where, str) and "://" in where:
        if collections is None:
            raise ConfigError("opening a URL needs collections=[Collection(...), …]")
        named = {collection.name: collection for collection in collections}
        return Config(url=where, collections=named)
    if collections is not None:
        raise ConfigError("collections= goes with a URL; a configuration declares its own")
    return where if isinstance(where, Config) else load(where, registry.names())


def opening_line() -> str:
    """File and line of the nearest caller that is no part of polystore."""
    frame = sys._getframe(1)  # noqa: SLF001  # the one way to know without making a traceback
    while (
        frame.f_back is not None
        and frame.f_globals.get("__name__", "").split(".")[0] == "polystore"
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
