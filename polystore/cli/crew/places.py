"""The two databases of the demo: engines that it starts, files that it makes, or URLs as given."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs

from polystore.errors import ConfigError, Unavailable
from polystore.plugin.registry import default_registry

ENGINES = ("datastore", "dynamodb")
"""Drivers whose database the demo starts by itself."""

OPTIONS = {"dynamodb": "&bulk=transaction&wire=lean"}
"""What the demo adds to an engine's URL.

DynamoDB Local takes bulk writes best as transactions, and the lean wire leaves the CPU to it.
"""


@attrs.frozen
class Place:
    """One side: its URL, and what to call its product."""

    url: str
    product: str


@contextmanager
def places(names: tuple[str, str], folder: Path) -> Iterator[tuple[Place, Place]]:
    """Source and target, ready for use, as long as the context lasts.

    Args:
        names: for each side the name of a driver, or a URL.
        folder: where files may be made.

    Raises:
        ConfigError: a driver that cannot serve several processes, or two sides that are one.
        UnknownDriver: no such driver is installed.
        Unavailable: an engine cannot be had here; the message says how to get it, or go without.
    """
    if names[0] == names[1] and "sqlite" not in names:
        raise ConfigError(f"source and target are both {names[0]}: take two different places")
    for name in names:
        scheme = name.partition("://")[0]
        default_registry().spec(scheme)
        if scheme == "memory":
            raise ConfigError("memory is private to one process; the demo runs several: use sqlite")
    wanted = tuple(name for name in names if name in ENGINES)
    with _engines(wanted) as started:
        yield (
            _place(names[0], started, folder / "source.db"),
            _place(names[1], started, folder / "target.db"),
        )


@contextmanager
def _engines(names: tuple[str, ...]) -> Iterator[Mapping[str, Place]]:
    if not names:
        yield {}
        return
    try:
        import polystore_engines
    except ImportError:
        raise _no_engines(
            "the package polystore-engines is missing: pip install 'polystore-core[demo]'"
        ) from None
    try:
        starting = polystore_engines.start_many(*names)
        with starting as engines:
            for engine in engines.values():
                os.environ.update(engine.env)
            yield {
                name: Place(engine.url + OPTIONS.get(name, ""), engine.product)
                for name, engine in engines.items()
            }
    except polystore_engines.EngineError as error:
        raise _no_engines(str(error)) from error


def _no_engines(reason: str) -> Unavailable:
    return Unavailable(
        f"{reason}\nWithout engines the demo runs on two files: "
        "polystore demo --source sqlite --target sqlite"
    )


def _place(name: str, started: Mapping[str, Place], file: Path) -> Place:
    if name in started:
        return started[name]
    if "://" in name:
        return Place(name, name.partition("://")[0])
    if name == "sqlite":
        return Place(f"sqlite:///{file}", "SQLite")
    raise ConfigError(f"the demo cannot start {name} by itself: give its URL instead of its name")
