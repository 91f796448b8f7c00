"""What a driver claims, by the names that tests ask for, and the bench that it is tried on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ParamSpec, TypeVar

import attrs

from polystore.capabilities import Capabilities, Freshness, Scope
from polystore.driver import Driver
from polystore.schema import Collection
from polystore.testing.harness import Harness, harness_of

P = ParamSpec("P")
T = TypeVar("T")

CLAIMS: Mapping[str, Callable[[Capabilities], bool]] = {
    "transactions over the store": lambda c: c.transactions.scope is Scope.STORE,
    "strong reads": lambda c: c.reads.point is Freshness.STRONG,
    "strong queries": lambda c: c.reads.query is Freshness.STRONG,
    "strong indexes": lambda c: c.reads.index is Freshness.STRONG,
}
"""What a mark ``claims`` may name."""

NEEDS: Mapping[str, tuple[Callable[[Harness], bool], str]] = {
    "address": (
        lambda harness: harness.address is not None,
        "no other process reaches its database (Harness.address)",
    ),
    "port": (
        lambda harness: harness.address is not None and harness.address.port is not None,
        "nothing can stand between it and its database (Harness.address has no port)",
    ),
    "refusing": (
        lambda harness: type(harness).refusing is not Harness.refusing,
        "its harness cannot make the database refuse writes (Harness.refusing)",
    ),
}
"""What a mark ``needs`` may name, each with what is said where it is not so."""

CALLS = ("read", "write", "write_many", "commit", "query", "scan")
"""Methods of a driver that are about data."""

PROBE = Collection("probe", ["p", "s:int"], indexes={"by_state": ["state"]})
"""The collection whose capabilities decide; it is never made."""


@attrs.define
class Bench:
    """One harness, asked once whether its database is there, and what its driver claims.

    Attributes:
        harness: what the tests use.
        unavailable: why the database cannot be reached, or ``None``.
        calls: of the drivers that it has opened since :meth:`count`.
    """

    harness: Harness
    unavailable: str | None
    calls: int = 0
    _claimed: Capabilities | None = attrs.field(default=None, init=False)

    @classmethod
    def of(cls, named: str) -> Bench:
        """The bench of ``driver`` or ``driver?options``. Raises as :func:`harness_of` does."""
        harness = harness_of(named)
        return cls(harness, harness.available())

    def count(self) -> None:
        """Count from now on what the drivers that the harness opens are asked."""
        opening = self.harness.open

        def opened() -> Driver:
            driver = opening()
            for name in CALLS:
                setattr(driver, name, self._counted(getattr(driver, name)))
            return driver

        self.harness.open = opened  # type: ignore[method-assign]

    def _counted(self, call: Callable[P, T]) -> Callable[P, T]:
        def counted(*arguments: P.args, **named: P.kwargs) -> T:
            self.calls += 1
            return call(*arguments, **named)

        return counted

    def claimed(self) -> Capabilities:
        """What the driver promises for the probe; its database must be available."""
        if self._claimed is None:
            driver = self.harness.open()
            try:
                self._claimed = driver.capabilities(self.harness.placed(PROBE))
            finally:
                driver.close()
        return self._claimed


def unclaimed(bench: Bench, names: Sequence[str]) -> str | None:
    """Why a test that needs these claims does not apply; ``None`` where it does.

    A database that is not there fails the test itself, with its reason.
    """
    if bench.unavailable is not None:
        return None
    lacking = [name for name in names if not CLAIMS[name](bench.claimed())]
    return f"not claimed: {', '.join(lacking)}" if lacking else None


def unmet(bench: Bench, names: Sequence[str]) -> str | None:
    """Why a test that needs these members of a harness does not apply; ``None`` where it does."""
    if bench.unavailable is not None:
        return None
    return next((NEEDS[name][1] for name in names if not NEEDS[name][0](bench.harness)), None)
