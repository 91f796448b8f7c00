"""Drivers without transactions: one that is honest, and two that claim something else."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from polystore.capabilities import Capabilities, Transactions
from polystore.driver import Check, Committed, Driver, Rejected, Write
from polystore.drivers.memory import MemoryDriver
from polystore.schema import Collection


class WithoutTransactions(MemoryDriver):
    """It claims none, and refuses them by name: nothing is wrong with it."""

    def capabilities(self, collection: Collection) -> Capabilities:
        return attrs.evolve(super().capabilities(collection), transactions=Transactions())

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return Driver.commit(self, writes, checks)


class ClaimsWhatItRefuses(MemoryDriver):
    """It claims transactions over the store, and has none."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return Driver.commit(self, writes, checks)


class DoesWhatItDoesNotClaim(WithoutTransactions):
    """It claims none, and writes all the same."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return MemoryDriver.commit(self, writes, checks)


class RefusesAndWrites(WithoutTransactions):
    """It claims none and refuses them, after the first write."""

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        for write in writes:
            self.write(write)
        return super().commit(writes, checks)
