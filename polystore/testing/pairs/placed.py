"""One side of a pair: a real driver, with collections that nothing else in its database has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from polystore.capabilities import Capabilities
from polystore.driver import (
    Check,
    Committed,
    Consistency,
    Description,
    Driver,
    NativeExpiry,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Sizes,
    Tariff,
    Unprocessed,
    Write,
    Written,
)
from polystore.errors import PolystoreError
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.testing.harness import Harness
from polystore.testing.simulator.database import Database
from polystore.values import Key


class Placed(Database):
    """The driver of a harness. Names of collections get a prefix, and the harness's placement.

    So both sides may be one database, and nothing is left of what was there before.

    Args:
        driver: what is called.
        harness: places the collections.
        prefix: of the names, so that nothing else has them.

    Attributes:
        calls: how many calls with data there were.
    """

    def __init__(self, driver: Driver, harness: Harness, prefix: str) -> None:
        self.name = driver.name
        self.calls = 0
        self._driver = driver
        self._harness = harness
        self._prefix = prefix
        self._placed: dict[str, Collection] = {}
        self._made: list[Collection] = []

    def at(self, collection: Collection) -> Collection:
        """The collection as it is in the database."""
        placed = self._placed.get(collection.name)
        if placed is None:
            named = attrs.evolve(collection, name=self._prefix + collection.name)
            placed = self._placed[collection.name] = self._harness.placed(named)
        return placed

    def settle(self) -> None:
        """Wait until reads that may lag see all writes."""
        self._harness.settle()

    def peek(self, collection: Collection, key: Key) -> Any:
        """What the database has under a key, read around the driver."""
        return self._harness.peek(self.at(collection), key)

    def capabilities(self, collection: Collection) -> Capabilities:
        return self._driver.capabilities(self.at(collection))

    def measure(self, write: Write) -> Sizes:
        return self._driver.measure(self._write(write))

    def tariff(self, collection: Collection) -> Tariff:
        return self._driver.tariff(self.at(collection))

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        self.calls += 1
        return self._driver.read(self.at(collection), keys, consistency)

    def write(self, write: Write) -> Written | Refused:
        self.calls += 1
        outcome = self._driver.write(self._write(write))
        self.changes += isinstance(outcome, Written)
        return outcome

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        self.calls += 1
        outcomes = self._driver.write_many([self._write(write) for write in writes])
        self.changes += sum(isinstance(outcome, Written) for outcome in outcomes)
        return outcomes

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        self.calls += 1
        outcome = self._driver.commit(
            [self._write(write) for write in writes],
            [attrs.evolve(check, collection=self.at(check.collection)) for check in checks],
        )
        self.changes += isinstance(outcome, Committed)
        return outcome

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        self.calls += 1
        return self._driver.query(self.at(collection), plan, after, limit)

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        self.calls += 1
        return self._driver.scan(self.at(collection), segment, cursor, limit)

    def translate(self, error: Exception) -> PolystoreError:
        return self._driver.translate(error)

    def create(self, collection: Collection) -> None:
        self._made.append(self.at(collection))
        self._driver.create(self._made[-1])

    def drop(self, collection: Collection) -> None:
        self._driver.drop(self.at(collection))

    def describe(self, collection: Collection) -> Description:
        return self._driver.describe(self.at(collection))

    def native_expiry(self, collection: Collection) -> NativeExpiry:
        return self._driver.native_expiry(self.at(collection))

    def expire_natively(self, collection: Collection) -> bool:
        return self._driver.expire_natively(self.at(collection))

    def native(self, collection: Collection | None = None) -> Any:
        return self._driver.native(None if collection is None else self.at(collection))

    def close(self) -> None:
        """Remove all that was made, where it would stay, and close the driver."""
        if self._harness.engine.real:  # an imitation goes with its process
            for collection in self._made:
                self._driver.drop(collection)
        self._driver.close()

    def _write(self, write: Write) -> Write:
        return attrs.evolve(write, collection=self.at(write.collection))
