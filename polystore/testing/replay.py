"""Traces once more: on the drivers where a promise was broken, or on any others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from uuid import uuid4

from polystore.driver import Driver
from polystore.errors import ConfigError, Unavailable
from polystore.schema import Collection
from polystore.testing.claims import Bench
from polystore.testing.machines import Broken, TracedMachine, replayed
from polystore.testing.pairs import Pair
from polystore.testing.suite.machine import ContractMachine
from polystore.testing.suite.pairs.machine import ENTRIES, PairMachine
from polystore.testing.traces import Trace


@contextmanager
def tried(name: str) -> Iterator[tuple[Driver, Driver, Collection, Collection]]:
    """Two drivers on the database of a harness, and two empty collections, for a while.

    Args:
        name: of the driver, with its options after a ``?``.

    Raises:
        ConfigError: there is no such driver, or it has no harness.
        Unavailable: its database cannot be reached.
    """
    bench = available(name)
    with closing(bench.harness.open()) as one, closing(bench.harness.open()) as another:
        names = (f"r{uuid4().hex[:8]}{suffix}" for suffix in "ab")
        a, b = (bench.harness.placed(Collection(name, ["id"])) for name in names)
        with ExitStack() as made:
            for collection in (a, b):
                one.create(collection)
                made.callback(one.drop, collection)
            yield one, another, a, b


@contextmanager
def migrated(source: str, target: str, place: str) -> Iterator[PairMachine]:
    """Two clients, an operator and a copier between two databases, for a while.

    Args:
        source, target: names of drivers.
        place: where on the way they begin.

    Raises:
        ConfigError: there is no such driver or place.
        Unavailable: a database cannot be reached.
    """
    machine = between((source, target), place)
    try:
        yield machine
    except BaseException:
        machine.leave()
        raise
    machine.teardown()


def between(names: Sequence[str], place: str) -> PairMachine:
    """The machine of a pair. Raises as :func:`migrated`."""
    if place not in ENTRIES:
        raise ConfigError(f"a pair cannot begin at {place!r}: {', '.join(ENTRIES)}")
    source, target = names
    first = available(source)
    benches = (first, first if source == target else available(target))
    return PairMachine(Pair((source, target), benches), place, Counter(), Broken())


def available(name: str) -> Bench:
    """The bench of a driver whose database answers. Raises as :func:`tried`."""
    bench = Bench.of(name)
    if bench.unavailable is not None:
        raise Unavailable(f"{name} is unavailable: {bench.unavailable}", driver=name)
    return bench


@contextmanager
def interpreter(trace: Trace, drivers: Sequence[str]) -> Iterator[TracedMachine]:
    """The machine that takes the steps of a trace, on these drivers. Raises as :func:`tried`."""
    if trace.place is not None:
        yield between(drivers, trace.place)
        return
    (name,) = drivers
    with tried(name) as (one, another, a, b):
        yield ContractMachine(name, [one, another], [a, b], Counter(), Broken())


def replay(trace: Trace, drivers: Sequence[str]) -> Iterator[list[str]]:
    """The lines of its program, as its steps are taken; raises what breaks a promise.

    Raises:
        ConfigError: a driver, the place, or a step is not known.
        Unavailable: a database cannot be reached.
    """
    with interpreter(trace, drivers) as machine:
        yield from replayed(machine, trace)
