"""A driver with which nothing is wrong, and the plugin that names it ``least``.

It promises as little as a driver may, and does no more than it must: what the suite wanted beyond
that would be no rule.
"""

from __future__ import annotations

import attrs

from polystore.capabilities import Capabilities, Filling
from polystore.driver import QueryPage, Refused, ScanPage, Segment, Write, Written
from polystore.plugin.registry import default_registry
from polystore.plugin.specs import DriverSpec, hookimpl
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.testing.harnesses.memory import MemoryHarness
from tests.mutants.claims import WithoutTransactions
from tests.mutants.there import create_unfilled


class Least(WithoutTransactions):
    """No transactions, no words about refusals, no halves; short pages; unfilled indexes."""

    def write(self, write: Write) -> Written | Refused:
        outcome = super().write(write)
        return Refused() if isinstance(outcome, Refused) else outcome

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        return super().query(collection, plan, after, max(1, limit // 2))

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        page = super().scan(collection, segment, cursor or None, max(1, limit // 2))
        return page if cursor is not None else ScanPage([], "")

    def capabilities(self, collection: Collection) -> Capabilities:
        promised = super().capabilities(collection)
        indexes = attrs.evolve(promised.indexes, filled=Filling.WRITTEN)
        return attrs.evolve(promised, indexes=indexes)

    def create(self, collection: Collection) -> None:
        create_unfilled(self, collection, lambda before, kept: before != kept)

    def halve(self, collection: Collection, segment: Segment) -> bool:
        return False


class LeastHarness(MemoryHarness):
    """Memory's harness, with that driver on it."""

    def open(self) -> Least:
        return Least(self._space)


class Plugin:
    """The driver can be named."""

    @hookimpl
    def polystore_register_drivers(self) -> list[DriverSpec]:
        """The driver."""
        harness = f"{__name__}:LeastHarness"
        return [DriverSpec(name="least", factory="-:-", summary="", url="", harness=harness)]


def pytest_configure() -> None:
    """It is registered as an installed one would be."""
    default_registry().register(Plugin(), "least")
