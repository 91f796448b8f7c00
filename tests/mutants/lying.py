"""A driver that claims all that capabilities can say, and keeps none of it; the plugin of it.

``lying?all`` lies about every claim, ``lying?reads.index`` about that one. With this plugin a run
of the suite tries on each what is said to be untrue there, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import attrs
import pytest

from polystore.capabilities import (
    Capabilities,
    EmptyIndexed,
    Expiry,
    Indexes,
    Removal,
    Scope,
    Transactions,
)
from polystore.capabilities.algebra import leaves
from polystore.driver import (
    Check,
    Committed,
    Consistency,
    OlderThan,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    Token,
    Unprocessed,
    Write,
    Written,
)
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.driver import Space
from polystore.drivers.memory.table import Table
from polystore.errors import Unsupported
from polystore.plugin.registry import default_registry
from polystore.plugin.specs import DriverSpec, hookimpl
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.testing.harnesses.memory import MemoryHarness
from polystore.values import RESERVED, Key, canonical, depth
from tests.mutants.there import create_unfilled

CLAIMS = tuple(path for path, _ in leaves(Capabilities()))
"""Everything that a driver can lie about."""

ALL = "all"
"""The option for them together."""


def _bytes(parts: Sequence[Any]) -> int:
    return sum(len(canonical(part)) for part in parts)


def _indexed(write: Write) -> list[list[Any]]:
    fields = write.fields or {}
    return [[fields.get(name) for name in index.fields] for index in write.collection.indexes]


def _texts(value: Any) -> Iterator[str | bytes]:
    if isinstance(value, str | bytes):
        yield value
    for inner in value.values() if isinstance(value, dict) else ():
        yield from _texts(inner)
    for inner in value if isinstance(value, list) else ():
        yield from _texts(inner)


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else ():
        yield from _names(inner)
    for inner in value if isinstance(value, list) else ():
        yield from _names(inner)


TOO_MUCH: Mapping[str, Callable[[Write], bool]] = {
    "keys.partition": lambda w: _bytes(w.key[: w.collection.partition]) > 900,
    "keys.sort": lambda w: _bytes(w.key[w.collection.partition :]) > 900,
    "keys.part": lambda w: max(map(len, map(canonical, w.key))) > 900,
    "keys.whole": lambda w: _bytes(w.key) > 900,
    "keys.empty": lambda w: any(part in ("", b"") for part in w.key),
    "keys.int_min": lambda w: any(type(part) is int and part < -(2**31) for part in w.key),
    "keys.int_max": lambda w: any(type(part) is int and part > 2**31 for part in w.key),
    "records.size": lambda w: len(canonical(w.fields or {})) > 400_000,
    "records.depth": lambda w: max(map(depth, (w.fields or {}).values()), default=0) > 5,
    "records.name": lambda w: max(map(len, _names(w.fields)), default=0) > 900,
    "values.size": lambda w: max(map(len, _texts(w.fields)), default=0) > 400_000,
    "writes.conditions": lambda w: isinstance(w.condition, OlderThan),
    "indexes.value": lambda w: any(_bytes(values) > 900 for values in _indexed(w)),
    "indexes.first": lambda w: any(_bytes(values[:1]) > 900 for values in _indexed(w)),
    "indexes.rest": lambda w: any(_bytes(values[1:]) > 900 for values in _indexed(w)),
}
"""What of a write the database refuses, though there is no such limit in what is claimed."""

MARK = f"{RESERVED}d"


class Lying(MemoryDriver):
    """Memory, with a promise broken for each claim.

    Args:
        space: the collections.
        untrue: the claims.
    """

    def __init__(self, space: Space, untrue: Sequence[str]) -> None:
        super().__init__(space)
        self.untrue = frozenset(untrue)

    def capabilities(self, collection: Collection) -> Capabilities:
        """All there is."""
        empty = {index.name: EmptyIndexed.INDEXED for index in collection.indexes}
        return Capabilities(
            transactions=Transactions(scope=Scope.STORE),
            indexes=Indexes(empty=empty),
            expiry=Expiry(
                removal=Removal.DATABASE if self.lies("expiry.removal") else Removal.PURGE
            ),
        )

    def lies(self, path: str) -> bool:
        """Whether this claim is not true."""
        return path in self.untrue

    def _refuse(self, path: str, *, where: bool = True) -> None:
        if where and self.lies(path):
            raise Unsupported(f"this database keeps no promise of {path}", driver=self.name)

    def _allow(self, write: Write) -> None:
        for path, beyond in TOO_MUCH.items():
            self._refuse(path, where=self.lies(path) and beyond(write))

    def write(self, write: Write) -> Written | Refused:
        self._allow(write)
        return super().write(write)

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        self._refuse("batches.write_items", where=len(writes) > 50)
        return super().write_many(writes)

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        for write in writes:
            self._allow(write)
        parts: list[Write | Check] = [*writes, *checks]
        self._refuse("transactions.scope", where=len({p.collection.name for p in parts}) > 1)
        self._refuse("transactions.items", where=len(parts) > 50)
        size = sum(self.measure(write).record for write in writes)
        self._refuse("transactions.size", where=size > 2**20)
        return super().commit(writes, checks)

    def _apply(self, table: Table, write: Write) -> Token:
        if self.lies("values.native") and write.fields is not None:
            marked: dict[str, Any] = {
                name: {MARK: str(v)} if type(v) is Decimal else v
                for name, v in write.fields.items()
            }
            write = attrs.evolve(write, fields=marked)
        late: dict[Any, Any] = self._space.__dict__.setdefault("late", {})
        late[write.collection.name] = (self, write.key, table.rows.get(write.key))
        return super()._apply(table, write)

    def _late(self, collection: Collection, path: str) -> tuple[Key, Any] | None:
        """What the last write of another opening did, which the first look does not see."""
        late: dict[Any, Any] = self._space.__dict__.get("late", {})
        writer, key, before = late.get(collection.name, (self, None, None))
        if not self.lies(path) or writer is self or not isinstance(key, tuple):
            return None
        del late[collection.name]
        return key, before

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        self._refuse("batches.read_keys", where=len(keys) > 50)
        reply = super().read(collection, keys, consistency)
        late = self._late(collection, "reads.point")
        for n, record in enumerate(reply.records):
            if late is not None and keys[n] == late[0]:
                reply.records[n] = None if late[1] is None else late[1].stored(keys[n])
            if self.lies("values.native") and record is not None and record.fields is not None:
                record.fields = {
                    name: Decimal(v[MARK]) if isinstance(v, dict) and MARK in v else v  # type: ignore[arg-type]
                    for name, v in record.fields.items()
                }
        return reply

    def create(self, collection: Collection) -> None:
        lies = self.lies("indexes.filled")
        create_unfilled(self, collection, lambda before, kept: lies and before != kept)

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page = super().query(collection, plan, after, limit)
        late = self._late(collection, "reads.query" if plan.index is None else "reads.index")
        omits = plan.index is not None and self.lies("indexes.empty")
        page.records = [
            record
            for record in page.records
            if (late is None or record.key != late[0])
            and not (omits and any(value in ("", None, b"") for value in plan.equals))
        ]
        return page


class LyingHarness(MemoryHarness):
    """Memory's harness, with that driver on it: its option is what it lies about."""

    def __init__(self, options: str = "") -> None:
        super().__init__()
        self._untrue = CLAIMS if options in ("", ALL) else (options,)

    def open(self) -> Lying:
        return Lying(self._space, self._untrue)


class Plugin:
    """The driver, and what is tried on it."""

    @hookimpl
    def polystore_register_drivers(self) -> list[DriverSpec]:
        """The driver can be named."""
        harness = f"{__name__}:LyingHarness"
        return [DriverSpec(name="lying", factory="-:-", summary="", url="", harness=harness)]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A lie about one claim meets the tests of that claim."""
    items[:] = [item for item in items if _about(item)]


def _about(item: pytest.Item) -> bool:
    call, promise = getattr(item, "callspec", None), item.get_closest_marker("promise")
    named: str = call.params.get("harness", "") if call else ""
    driver, _, claim = named.partition("?")
    tried = promise.args[0] if promise else ""
    return driver != "lying" or claim in (ALL, tried)


def pytest_configure() -> None:
    """It is registered as an installed one would be."""
    default_registry().register(Plugin(), "lying")
