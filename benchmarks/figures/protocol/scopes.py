"""Small scopes explored completely: every order of the calls of the real code."""

from __future__ import annotations

from functools import partial

from benchmarks.figures.figure import Figure, Outcome
from polystore.testing.simulator.exhaustive import explore
from polystore.testing.simulator.scope import SCOPES, Scope, World


def scopes() -> list[Figure]:
    """The figures of exhaustive search."""
    return [
        Figure(
            f"all orders: {scope.name}",
            "complete, 0 violations; explored and pruned printed",
            "two processes, one key, one copier, at most one crash (its call dropped, or left on "
            "the wire) and its recovery, in dual-write; calls atomic, only conflicting calls "
            "reordered: sleep sets and states seen before",
            partial(_explored, scope),
        )
        for scope in SCOPES
    ]


def _explored(scope: Scope) -> Outcome:
    found = explore(partial(World, scope))
    value = (
        f"complete: {found.orders} orders judged, {found.steps} steps explored, {found.pruned} "
        f"pruned ({found.asleep} asleep, {found.seen} at a state seen before)"
    )
    return Outcome(value, found.orders > 0)
