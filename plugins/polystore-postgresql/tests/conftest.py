"""A server for these tests; the plugin polystore-engines brings it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from polystore.driver import Driver
from polystore.plugin.registry import default_registry
from polystore.schema import Collection
from polystore_engines import Engine

_numbers = count(1)


@pytest.fixture
def opened(
    postgresql_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Driver]]:
    """Opens drivers on the server; all are closed in the end."""
    for name, value in postgresql_engine.env.items():
        monkeypatch.setenv(name, value)
    drivers: list[Driver] = []

    def open_(**options: object) -> Driver:
        more = "".join(f"&{name}={value}" for name, value in options.items())
        drivers.append(default_registry().open(postgresql_engine.url + more))
        return drivers[-1]

    yield open_
    for driver in drivers:
        driver.close()


@pytest.fixture
def made(opened: Callable[..., Driver]) -> Iterator[Callable[..., Collection]]:
    """Declares collections under new names, and makes their tables."""
    driver = opened()
    collections: list[Collection] = []

    def make(key: Any = ("id",), **declaration: Any) -> Collection:
        collection = Collection(f"pg{next(_numbers)}", key, **declaration)
        driver.create(collection)
        collections.append(collection)
        return collection

    yield make
    for collection in collections:
        driver.drop(collection)
