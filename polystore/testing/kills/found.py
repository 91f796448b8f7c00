"""What a run found, and how its history is judged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from typing import Any

import attrs

from polystore.testing.history import Operation, linearizable
from polystore.testing.kills.work import model

LAST = "the end"
"""Process of the reads after everything."""


@attrs.define(kw_only=True)
class Found:
    """What a run found.

    Attributes:
        seed: of the run.
        operations: how many were answered; ``errors``: those with an error, by its code.
        faults: what was done to the processes, connections and engines, by kind.
        steps: settings that the operator brought about; ``stages``: how often into which stage.
        keys: how many keys had a history; ``most`` is the longest.
        lost: cells whose last state lacks an acknowledged write.
        resurrected: cells that hold what an acknowledged delete took away.
        impossible: cells whose answers no order explains, whatever they hold now.
        different: keys that the sides do not agree on at rest.
        discrepancies: what verifications reported meanwhile.
        story: operations of the cells that are wrong.
    """

    seed: int
    operations: int = 0
    errors: Counter[str] = attrs.field(factory=Counter)
    unknown: int = 0
    faults: Counter[str] = attrs.field(factory=Counter)
    steps: int = 0
    stages: Counter[str] = attrs.field(factory=Counter)
    keys: int = 0
    most: int = 0
    lost: int = 0
    resurrected: int = 0
    impossible: int = 0
    different: list[Any] = attrs.field(factory=list)
    discrepancies: list[str] = attrs.field(factory=list)
    missing: list[str] = attrs.field(factory=list)
    story: list[str] = attrs.field(factory=list)

    @property
    def clean(self) -> bool:
        """Whether every promise held."""
        wrong = self.lost + self.resurrected + self.impossible + len(self.different)
        return wrong + len(self.discrepancies) + len(self.missing) == 0

    def summary(self) -> str:
        """What must be nothing, in one line."""
        return (
            f"{self.lost} lost, {len(self.different)} different, {self.resurrected} resurrected, "
            f"{self.impossible} impossible"
        )

    def told(self) -> str:
        """All of it in a few lines; the cells that are wrong with their histories."""
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        worked = (
            f"seed {self.seed}: {self.operations} operations on {self.keys} keys (≤ {self.most} "
            f"each), {self.unknown} without an answer, {dict(self.errors)} failed; {self.steps} "
            f"settings ({dict(self.stages)}); {faults}"
        )
        lines = [
            worked,
            self.summary(),
            *(f"different: {place}" for place in self.different),
            *(f"discrepancy: {text}" for text in self.discrepancies),
            *(f"not at rest: {text}" for text in self.missing),
            *self.story,
        ]
        return "\n".join(lines)

    def judge(self, history: Iterable[Operation]) -> None:
        """Judge a history whose last reads are those of :data:`LAST`."""
        cells: defaultdict[Hashable, list[Operation]] = defaultdict(list)
        for operation in history:
            cells[operation.cell].append(operation)
            self.operations += not operation.open
            self.unknown += operation.open
        self.keys = len(cells)
        self.most = max(map(len, cells.values()), default=0)
        for cell, operations in cells.items():
            if not linearizable(operations, model(cell)):
                self._blame(cell, operations)

    def _blame(self, cell: Hashable, operations: list[Operation]) -> None:
        before = [o for o in operations if o.process != LAST]
        if not linearizable(before, model(cell)):
            self.impossible += 1
        elif any(o.process == LAST and _taken(o.outcome, before) for o in operations):
            self.resurrected += 1
        else:
            self.lost += 1
        ordered = sorted(operations, key=lambda o: o.invoked)
        self.story.append(f"no order explains {cell!r}, of which the last:")
        self.story += [f"  {operation}" for operation in ordered[-60:]]


def _taken(value: Any, operations: list[Operation]) -> bool:
    """Whether an acknowledged delete began after what wrote this value had been answered."""
    wrote = [o for o in operations if not o.open and o.outcome == "done" and _wrote(o) == value]
    deleted = [o for o in operations if o.verb in ("delete", "remove") and o.outcome == "done"]
    return any(d.invoked > w.returned for w in wrote for d in deleted)


def _wrote(operation: Operation) -> Any:
    if operation.verb == "replace":
        return operation.argument[1]
    return operation.argument if operation.verb in ("put", "insert") else ()
