"""Figures of what is the same on every two databases: records that were moved, and orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from itertools import permutations

from benchmarks.figures.figure import Figure, Outcome
from benchmarks.figures.main_job import DRIVERS, urls
from polystore.driver.side import Side, declared
from polystore.plugin.registry import default_registry
from polystore.testing.orders import Compared, index_orders, key_orders
from polystore.testing.round_trips import Example, drawn, round_trip

EXAMPLES = 10_000
"""Of each pair; each is one record that Hypothesis drew by itself. All pairs take the same ones."""

SPARE = 1.5
"""More are drawn than wanted: DynamoDB refuses some, such as those with empty key parts."""

OPTIONS = {
    "dynamodb": "&bulk=transaction&wire=lean&timeout=60",
    "datastore": "&namespace=figures&timeout=60",
}
KEYS, VALUES = 110, 55
"""Of each type of key, and of value: their pairs are over 10,000."""


def alike() -> Iterator[Figure]:
    """The figures of this module."""
    for source, target in permutations(DRIVERS, 2):
        yield Figure(
            f"round trips {source} → {target} → {source}",
            f"0 differences in ≥ {EXAMPLES:,} examples",
            "polystore/testing/round_trips.py: random records of every type, five shapes of key, "
            "policies of indexes; as the copier and converge take them; compared by fields, types, "
            "version, expiry; a record is an example",
            partial(_round_trip, source, target),
        )
    yield Figure(
        "order of keys inside a partition",
        "equal on every driver, ≥ 10,000 random pairs",
        "polystore/testing/orders.py: five types of sort key, queried both ways on all four",
        partial(_order, key_orders, KEYS),
    )
    yield Figure(
        "order of index entries",
        "equal on every driver, ≥ 10,000 random pairs",
        "polystore/testing/orders.py: ten families of values, policy encode, both ways on all four",
        partial(_order, index_orders, VALUES),
    )


@cache
def _examples() -> list[Example]:
    return drawn(int(EXAMPLES * SPARE))


@contextmanager
def _sides(*names: str) -> Iterator[Mapping[str, Side]]:
    with urls(*names) as found, ExitStack() as stack:
        sides = {}
        for name in names:
            driver = default_registry().open(found[name] + OPTIONS.get(name, ""))
            stack.callback(driver.close)
            sides[name] = Side(name, driver, declared)
        yield sides


def _round_trip(source: str, target: str) -> Outcome:
    with _sides(source, target) as sides:
        trip = round_trip(sides[source], sides[target], _examples())
    value = f"{len(trip.differences)} differences in {trip.examples:,} examples"
    return Outcome(
        f"{value}; {trip.refused:,} refused, nothing of them written",
        not trip.differences and trip.examples >= EXAMPLES,
    )


def _order(compare: Callable[[Mapping[str, Side], int], Compared], each: int) -> Outcome:
    with _sides(*DRIVERS) as sides:
        compared = compare(sides, each)
    value = f"{len(compared.differences)} differences in {compared.pairs:,} pairs"
    return Outcome(value, not compared.differences and compared.pairs >= 10_000)
