"""The driver. Each method is memory's at first: replace them one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polystore.capabilities import Capabilities
from polystore.driver import (
    Check,
    Committed,
    Consistency,
    Description,
    Driver,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Sizes,
    Unprocessed,
    Write,
    Written,
)
from polystore.errors import ConfigError, DriverError, PolystoreError
from polystore.plugin.registry import default_registry
from polystore.plugin.specs import DriverURL
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key


def open_example(url: DriverURL) -> Driver:
    """Open ``example://place``.

    Raises:
        ConfigError: the URL has options; there are none.
    """
    if url.options:
        raise ConfigError("example:// takes no options", driver="example")
    return ExampleDriver(url.place)


class ExampleDriver(Driver):
    """What it does and what it promises; polystore.driver.contract says what each method must."""

    name = "example"

    def __init__(self, place: str) -> None:
        self._memory = default_registry().open(f"memory://example-{place}")

    def capabilities(self, collection: Collection) -> Capabilities:
        return self._memory.capabilities(collection)

    def measure(self, write: Write) -> Sizes:
        return self._memory.measure(write)

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        return self._memory.read(collection, keys, consistency)

    def write(self, write: Write) -> Written | Refused:
        return self._memory.write(write)

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        return self._memory.write_many(writes)

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return self._memory.commit(writes, checks)

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        return self._memory.query(collection, plan, after, limit)

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        return self._memory.scan(collection, segment, cursor, limit)

    def translate(self, error: Exception) -> PolystoreError:
        if isinstance(error, PolystoreError):
            return error
        # Never the text of a native error: it may hold the value of a field.
        return DriverError(f"example failed with {type(error).__name__}", driver=self.name)

    def create(self, collection: Collection) -> None:
        self._memory.create(collection)

    def drop(self, collection: Collection) -> None:
        self._memory.drop(collection)

    def describe(self, collection: Collection) -> Description:
        return self._memory.describe(collection)

    def native(self, collection: Collection | None = None) -> Any:
        return self._memory.native(collection)

    def close(self) -> None:
        self._memory.close()
