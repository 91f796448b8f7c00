"""Stores of one collection with an index, on each driver; on the engines with names of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TypeAlias

import pytest

import polystore
from polystore import Collection, Store
from polystore_engines import Engine

LOCAL = ("memory", "sqlite")
ENGINES = (
    pytest.param("datastore", marks=pytest.mark.engine),
    pytest.param("dynamodb", marks=pytest.mark.engine),
)
Open: TypeAlias = Callable[..., Store]

_numbers = count()


@pytest.fixture
def url_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """The URL of a database, by name of its driver."""

    def url(driver: str) -> str:
        if driver == "memory":
            return f"memory://{tmp_path}"
        if driver == "sqlite":
            return f"sqlite:///{tmp_path}/app.db"
        engine: Engine = request.getfixturevalue(f"{driver}_engine")
        patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        for name, value in engine.env.items():
            patch.setenv(name, value)
        return engine.url

    return url


@pytest.fixture(params=LOCAL)
def local_url(request: pytest.FixtureRequest, url_of: Callable[[str], str]) -> str:
    """The URL of a database that needs no engine."""
    return url_of(request.param)


@pytest.fixture(params=(*LOCAL, *ENGINES))
def every_url(request: pytest.FixtureRequest, url_of: Callable[[str], str]) -> str:
    """The URL of a database of each kind."""
    return url_of(request.param)


def orders() -> Collection:
    """A collection whose name no other test has."""
    return Collection(
        f"orders{next(_numbers)}",
        ["customer:str", "order:int"],
        indexes={"by_state": ["state", "total"]},
    )


def _opened(url: str) -> Iterator[Store]:
    with polystore.open(url, [orders()]) as store:
        store.create()
        yield store


@pytest.fixture
def local(local_url: str) -> Iterator[Store]:
    """A store with one collection; memory and SQLite."""
    yield from _opened(local_url)


@pytest.fixture
def every(every_url: str) -> Iterator[Store]:
    """A store with one collection; all four drivers."""
    yield from _opened(every_url)
