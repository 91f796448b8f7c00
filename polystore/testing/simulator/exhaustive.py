"""Small scopes, completely: all orders of the calls of a few real procedures, and every crash.

A call is one step: sent, applied and answered at once. Orders that differ only in calls that do
not touch the same record, or only read it, are the same, and one of them is run: sleep sets, and
states that were seen before. A procedure cannot be copied, but it is a function of the replies it
got, so that an order is tried by starting anew. Nothing is random, and no clock is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import attrs

from polystore.testing.simulator.scope import Step, World

Start = Callable[[], World]
"""Makes a world at its beginning; the same one each time."""


@attrs.define
class Explored:
    """What a search has seen.

    Attributes:
        orders: runs to the end that were judged.
        steps: steps in which they differ.
        asleep: steps that were not tried because they change nothing where they are.
        seen: times at which a state was met that had been met before.
    """

    orders: int = 0
    steps: int = 0
    asleep: int = 0
    seen: int = 0

    @property
    def pruned(self) -> int:
        """Ways that were not gone to their end."""
        return self.asleep + self.seen


class _Node(NamedTuple):
    """A place where the search can still go elsewhere."""

    steps: Mapping[Step, Any]
    todo: list[Step]
    asleep: set[Step]


def explore(start: Start) -> Explored:
    """Run every order that differs from the others.

    Raises:
        Violation, NotLinearizable: an order breaks a promise; a note names its steps.
    """
    found = Explored()
    known: dict[int, list[frozenset[Step]]] = {}
    way: list[Step] = []
    nodes: list[_Node] = []
    world = start()
    asleep: set[Step] = set()
    try:
        while True:
            node = _arrived(found, known, world, asleep)
            if node is not None:
                nodes.append(node)
            elif not _back(nodes, way):
                return found
            else:
                world.close()
                world = start()
                for step in way:
                    world.take(step)
            asleep = _taken(nodes[-1], way)
            found.steps += 1
            world.take(way[-1])
    except AssertionError as error:
        error.add_note("after " + ", ".join(map(str, way)))
        raise
    finally:
        world.close()


def _arrived(
    found: Explored, known: dict[int, list[frozenset[Step]]], world: World, asleep: set[Step]
) -> _Node | None:
    """What can be done here; ``None`` where there is nothing new to do."""
    steps = world.steps()
    if not steps:
        world.judge()
        found.orders += 1
        return None
    state = world.state()
    before = known.setdefault(state, [])
    if any(others <= asleep for others in before):
        found.seen += 1
        return None
    before.append(frozenset(asleep))
    todo = [step for step in steps if step not in asleep]
    found.asleep += len(steps) - len(todo)
    return _Node(steps, todo, set(asleep)) if todo else None


def _back(nodes: list[_Node], way: list[Step]) -> bool:
    """Go back to the last place where something is left to do; whether there is one."""
    while nodes and not nodes[-1].todo:
        nodes.pop()
    del way[max(len(nodes) - 1, 0) :]
    return bool(nodes)


def _taken(node: _Node, way: list[Step]) -> set[Step]:
    """Choose the next step; which others need not be tried right after it."""
    step = node.todo.pop(0)
    way.append(step)
    left = {other for other in node.asleep if _apart(node.steps, other, step)}
    node.asleep.add(step)
    return left


def _apart(steps: Mapping[Step, Any], one: Step, other: Step) -> bool:
    """Whether two steps may change places."""
    if one.actor == other.actor or (one.crash and other.crash):
        return False
    return not _touch(steps[one], steps[other])


def _touch(one: Iterable[Any], other: Iterable[Any]) -> bool:
    return any(
        a[:2] == b[:2] and (None in (a[2], b[2]) or a[2] == b[2]) and (a[3] or b[3])
        for a in one
        for b in other
    )
