"""What does not apply is left out with its reason; an honest driver passes what takes its place."""

from __future__ import annotations

import pytest

from polystore.schema import Collection
from polystore.testing.claims import Bench, unclaimed
from polystore.testing.harnesses.memory import MemoryHarness
from polystore.testing.suite import test_commits as commits
from tests.mutants.claims import WithoutTransactions

STORE = "transactions over the store"


class Honest(MemoryHarness):
    def open(self) -> WithoutTransactions:
        return WithoutTransactions(self._space)


@pytest.mark.rule("CNF-4")
def test_what_is_not_claimed_is_the_reason() -> None:
    memory, honest = Bench(MemoryHarness(), None), Bench(Honest(), None)
    assert unclaimed(memory, [STORE]) is None
    assert unclaimed(honest, [STORE]) == f"not claimed: {STORE}"


@pytest.mark.rule("CNF-2")
def test_a_database_that_is_not_there_decides_nothing() -> None:
    """Its tests run, and fail with the reason."""
    assert unclaimed(Bench(Honest(), "it is switched off"), [STORE]) is None


@pytest.mark.rule("CNF-4", "DRV-3")
def test_an_honest_driver_without_transactions_passes() -> None:
    harness = Honest()
    driver = harness.open()
    two = Collection("things", ["id"]), Collection("others", ["p:int", "s:bytes"])
    for collection in two:
        driver.create(collection)
    commits.test_a_commit_is_refused_by_name_where_no_transactions_are_claimed(driver, harness, two)
