"""A store whose wall clock stands still until it is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import attrs

from polystore import Collection, Config, OpenCollection, Store
from polystore.databases import Databases
from polystore.driver import Driver
from polystore.plugin.registry import default_registry
from tests.store.conftest import orders

DAWN = datetime(2099, 1, 15, 8, 0, 0, 1, tzinfo=UTC)
"""Far ahead: no engine removes what expires then."""

MICROSECOND = timedelta(microseconds=1)


class Clock:
    """A wall clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = DAWN
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        return (self.now - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND


@attrs.frozen
class Timed:
    """A store with one collection, and the clock that it looks at."""

    store: Store
    driver: Driver
    collection: Collection
    clock: Clock

    @property
    def orders(self) -> OpenCollection:
        return self.store[self.collection.name]


def timed(url: str) -> Iterator[Timed]:
    collection, clock = orders(), Clock()
    config = Config(url=url, collections={collection.name: collection})
    databases = Databases(config, default_registry(), "here", clock)
    with Store(databases) as store:
        store.create()
        yield Timed(store, databases.driver(url), collection, clock)
