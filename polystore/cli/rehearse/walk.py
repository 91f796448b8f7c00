"""One walk through the stages: what it takes to get into each, and what the processes saw."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from polystore.cli.crew.journal import Entry
from polystore.cli.crew.phases import Phases
from polystore.cli.crew.processes import Crew
from polystore.cli.output import Output
from polystore.cli.place import joined, opened
from polystore.cli.rehearse.load import Place, State, Task
from polystore.cli.rehearse.worker import known_of
from polystore.config import Config
from polystore.membership import Membership
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.fleet import Fleet
from polystore.migration.request import Request
from polystore.migration.verify import Verifier
from polystore.migration.walk import Verified
from polystore.runner import SyncRunner

Step = tuple[str, Callable[["Leg"], object]]
"""The name of a stage or dial step, and what it takes to get there."""


@attrs.frozen
class Plan:
    """What to rehearse.

    Attributes:
        config: the configuration file.
        group: the group's name; ``None`` where there is only one.
        records: of each collection, at most.
        rate: records a second that are read of the real source; ``None`` for no limit.
        operations: that are waited for in each stage.
        processes: application processes.
        source, target: names of drivers or URLs of places to use in place of local engines.
    """

    config: Path
    group: str | None
    records: int
    rate: float | None
    operations: int
    processes: int
    source: str | None = None
    target: str | None = None


class Leg:
    """One walk through stages, with processes of its own, and what it saw.

    Args:
        config: the rehearsal's configuration.
        member: its group, open.
        task: what its processes work with.
        folder: an empty folder for their files.
        output: where to print.
        plan: what to rehearse.
    """

    def __init__(
        self,
        config: Config,
        member: Membership,
        task: Task,
        folder: Path,
        output: Output,
        plan: Plan,
    ) -> None:
        self._config = config
        self._member = member
        self._task = task
        self._folder = folder
        self._output = output
        self._plan = plan
        self._run = SyncRunner().run
        self._coordinator = Coordinator(member.group)
        self._request = Request("rehearsal", "polystore rehearse", confirm=task.group, sole=True)
        self.rows: list[dict[str, Any]] = []
        self.operations: list[Entry] = []
        self.printed = ""
        self.discrepancies: list[str] = []

    def walk(self, steps: Sequence[Step]) -> dict[Place, Sequence[State]]:
        """Take the group through stages under load; what may be in each record then.

        Raises:
            PolystoreError: a step could not be taken, or a process has died.
        """
        self._folder.mkdir()
        worker = ("polystore.cli.rehearse.worker",)
        crew = Crew(worker, self._folder, self._task, self._plan.processes, rate=8.0)
        phases = Phases(self._output, len(steps), self._plan.operations)
        try:
            crew.go()
            for name, enter in steps:
                with phases.stage(name, crew) as phase:
                    verified = phases.beside(phase, crew, partial(enter, self))
                    if isinstance(verified, dict):
                        self._verified(verified)
                        phase.found = sum(len(v.discrepancies) for v in verified.values())
                        phase.repaired = sum(v.repaired for v in verified.values())
        finally:
            crew.stop()
        self.printed = crew.printed()
        self.operations = crew.operations()
        self.rows = phases.rows(self.operations)
        return self._known()

    def _verified(self, verified: Mapping[str, Verified]) -> None:
        for found in verified.values():
            self.discrepancies += [
                f"{d.collection} {d.key!r}: {d.kind}" for d in found.discrepancies
            ]

    def _known(self) -> dict[Place, Sequence[State]]:
        found: dict[Place, Sequence[State]] = {}
        for number in range(self._plan.processes):
            with known_of(self._folder, f"p{number}").open("rb") as file:
                found.update(pickle.load(file))  # noqa: S301 - written by our own process
        return found

    # -- what it takes to get into a stage ------------------------------------------------------

    def nothing(self) -> None:
        """Stay where the group is."""

    def start(self) -> None:
        """Begin a run, and go to prepare."""
        self._run(self._coordinator.preflight(self._request))
        self._run(self._coordinator.start(self._request))
        self.on()

    def on(self) -> None:
        """The next stage."""
        self._run(self._coordinator.advance(self._request))

    def back(self) -> None:
        """The stage before."""
        self._run(self._coordinator.back(self._request))

    def copied(self) -> None:
        """The next stage, and the copy."""
        self.on()
        self._run(Copier(self._member.group).run())

    def compared(self) -> dict[str, Verified]:
        """The next stage, and a verification in full."""
        self.on()
        return self.verified()

    def verified(self) -> dict[str, Verified]:
        """A verification in full."""
        with opened(self._config, self._task.group) as member, joined(member) as session:
            return self._run(Verifier(session, Fleet(member.group)).run())

    def dialled(self, percent: float) -> None:
        """Move the dial."""
        self._run(self._coordinator.dial(percent, self._request))


def _dial(percent: float) -> Step:
    return (f"dial {percent:g} %", lambda leg: leg.dialled(percent))


def _turned(leg: Leg) -> dict[str, Verified]:
    leg.dialled(100)
    return leg.verified()


def there_and_back(*, parts: bool) -> list[Step]:
    """Every stage from which there is a way back, and that way.

    Args:
        parts: whether the dial stops on the way; it needs a colocation key.
    """
    return [
        ("source-only", Leg.nothing),
        ("prepare", Leg.start),
        ("dual-write", Leg.copied),
        ("dual-read", Leg.compared),
        *([_dial(10), _dial(50)] if parts else []),
        ("dial 100 %", _turned),
        _dial(0),
        ("back: dual-write", Leg.back),
        ("back: prepare", Leg.back),
        ("back: source-only", Leg.back),
    ]


ALL_THE_WAY: Sequence[Step] = (
    ("source-only", Leg.nothing),
    ("prepare", Leg.start),
    ("dual-write", Leg.copied),
    ("dual-read", Leg.compared),
    ("dial 100 %", _turned),
    ("target-only", Leg.on),
    ("clean", Leg.on),
    ("detached", Leg.on),
)
"""From the source to the target, and what the run has left is removed."""
