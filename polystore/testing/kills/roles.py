"""The processes of a run beside the killer: applications, operator, copiers, verifiers.

Each works until the file ``stop`` is in its folder, or the process that started it is gone; each
may die at any moment.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polystore
from polystore.errors import PolystoreError
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.latch import Ticket
from polystore.migration.request import Request
from polystore.migration.stages import BUCKETS, Setting, Stage
from polystore.migration.verify import Verifier
from polystore.store import Store
from polystore.testing.kills.journal import Journal
from polystore.testing.kills.settings import GROUP, Settings
from polystore.testing.kills.work import orphaned, work

DIALS = (0.0, 6.25, 12.5, 25.0, 50.0, 75.0, 100.0)
"""Where the operator turns the dial to."""

PATIENCE = 20.0
"""Seconds that the operator waits for everybody before it tries something else."""

REQUEST = Request("kills", "a run under faults", sole=True)


class Log:
    """What a role did, a line each, for the report."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def __call__(self, what: str, **more: Any) -> None:
        self._file.write(json.dumps([time.monotonic_ns(), what, more]).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @staticmethod
    def lines(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Moment, what and more of each line; one that was cut by a kill is passed over."""
        for raw in path.read_bytes().splitlines(keepends=True):
            if raw.endswith(b"\n"):
                yield json.loads(raw)


class Operator:
    """Takes a group through its stages, forwards and backwards, and turns the dial both ways.

    Where things stand is in the control store alone: a new one goes on where another died.

    Args:
        store: an open store.
        log: told of each step.
        source: of its choices; ``None`` where it makes none.
        patience: seconds to wait for members.
    """

    def __init__(
        self,
        store: Store,
        log: Log,
        source: random.Random | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._member = store._databases.member(GROUP)
        self._run = store._databases.runner.run
        self._random = source or random.Random(0)
        self._coordinator = Coordinator(
            self._member.group, patience=patience, told=lambda s: log("at", **told(s))
        )

    def setting(self) -> Setting:
        """What holds."""
        return self._run(self._member.group.ledger.setting())

    def begin(self) -> None:
        """From source-only to prepare: a run is begun once."""
        self._run(self._coordinator.preflight(REQUEST))
        self._run(self._coordinator.start(REQUEST))
        self._run(self._coordinator.advance(REQUEST))

    def forward(self) -> None:
        """From prepare to dual-read, copied and verified."""
        self._run(self._coordinator.advance(REQUEST))
        self.copy()
        self._run(self._coordinator.advance(REQUEST))
        self.verify()

    def turn(self, percent: float) -> None:
        """Turn the dial."""
        self._run(self._coordinator.dial(percent, REQUEST))

    def step(self) -> None:
        """One step, wherever the group stands. Raises PolystoreError: it was not taken."""
        setting = self._run(self._coordinator.finish())
        match setting.stage:
            case Stage.DUAL_WRITE if self._random.random() < 0.25:
                self._run(self._coordinator.back(REQUEST))
            case Stage.DUAL_WRITE:
                self._run(Copier(self._member.group).run())
                self._run(self._coordinator.advance(REQUEST))
            case Stage.DUAL_READ if setting.moved == 0 and self._random.random() < 0.3:
                self._run(self._coordinator.back(REQUEST))
            case Stage.DUAL_READ:
                if setting.moved == 0 and not setting.verified:
                    self.verify()
                elsewhere = [d for d in DIALS if abs(d - setting.dial()) > 100 / BUCKETS]
                self._run(self._coordinator.dial(self._random.choice(elsewhere), REQUEST))
            case _:
                self._run(self._coordinator.advance(REQUEST))

    def verify(self) -> list[str]:
        """A full verification; what it found, as text."""
        self._member.enter()
        self._run(self._member.session.join())
        found = self._run(Verifier(self._member.session, self._coordinator.fleet).run())
        return [str(d) for one in found.values() for d in one.discrepancies]

    def copy(self) -> None:
        """A copy."""
        self._run(Copier(self._member.group).run())


def told(setting: Setting) -> dict[str, Any]:
    """A setting for a log."""
    return {"stage": setting.stage.value, "moved": setting.moved, "epoch": setting.epoch}


def serve(
    role: str, store: Store, log: Log, source: random.Random, running: Callable[[], bool]
) -> None:
    """Be operator, copier or verifier as long as ``running()``."""
    operator = Operator(store, log, source)
    while running():
        try:
            if role == "operator":
                operator.step()
            elif role == "copier" and operator.setting().stage is Stage.DUAL_WRITE:
                operator.copy()
                log("copied")
            elif role == "verifier" and operator.setting().stage is Stage.DUAL_READ:
                for discrepancy in operator.verify():
                    log("discrepancy", found=discrepancy)
                log("verified")
        except PolystoreError as error:
            log("error", code=error.code, text=str(error)[:300])
        time.sleep(0.3 * source.random())


HELD = 0.001
"""Seconds from which an admission counts as held."""


def _tell_holds(store: Store, log: Log) -> None:
    """Have each operation that waits for a stage change or a dial step write down how long."""
    latch = store._databases.member(GROUP).session.latch
    admit = latch.admit

    async def timed(buckets: tuple[int, int], deadline: float) -> Ticket:
        began = time.monotonic()
        ticket = await admit(buckets, deadline)
        waited = time.monotonic() - began
        if waited > HELD:
            log("held", seconds=waited, stage=ticket.setting.stage.value)
        return ticket

    vars(latch)["admit"] = timed


def main(role: str, config: Path, folder: Path, number: int, settings: Settings) -> None:
    """Be one process of a run."""
    parent = os.getppid()
    stop = folder / "stop"
    name = f"{role}{number}"

    def running() -> bool:
        return not stop.exists() and not orphaned(parent)

    while running():
        try:
            store = polystore.open(config, check=False)
        except PolystoreError as error:  # an engine stands still just now
            sys.stderr.write(f"{error}\n")
            time.sleep(0.2)
            continue
        with store:
            if role == "worker":
                with (
                    closing(Journal(folder / f"{name}.journal", name)) as journal,
                    closing(Log(folder / f"{name}.log")) as log,
                ):
                    _tell_holds(store, log)
                    work(store, journal, number, settings, running)
            else:
                source = random.Random(f"{settings.seed}.{name}")
                with closing(Log(folder / f"{name}.log")) as log:
                    serve(role, store, log, source, running)
