"""Run a model: spin makes a verifier of it in C, which visits every state."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from spec.model.table import Run

HERE = Path(__file__).parent

MEMORY_MB = 9_000
"""Memory that one verifier may take; as many run at once as there are cores."""

SECONDS = 1_800
"""Time that one verifier may take; past it the run is incomplete, and so not as expected."""


class NoSpin(Exception):
    """The verifier cannot be had here; the message says how to install it."""


class Broken(Exception):
    """A model that spin or the compiler does not take; the message has their words."""


@attrs.frozen
class Verdict:
    """What came of one run.

    Attributes:
        run: the run.
        complete: whether all states were visited, or an error ended it.
        errors: assertions that failed: 0, or 1, at which it stops.
        states: states that were visited.
        seconds: of the search alone.
        why: the assertion that failed, or why the search was cut short.
        trace: the steps to the failure, where it was asked for.
    """

    run: Run
    complete: bool
    errors: int
    states: int
    seconds: float
    why: str
    trace: str = ""

    @property
    def expected(self) -> bool:
        """Whether a design held in all its states, or a removal was missed."""
        return self.complete and (self.errors == 0) is self.run.holds

    def __str__(self) -> str:
        kind = "design " if self.run.holds else "removed"
        switches = " ".join(self.run.switches) or "(as it is)"
        found = "holds" if not self.errors else "counterexample"
        if not self.complete:
            found = "INCOMPLETE"
        return (
            f"{'ok   ' if self.expected else 'WRONG'} {kind} {self.run.model:14} {switches:50} "
            f"{found:14} {self.states:>12,} states {self.seconds:7.1f} s  "
            + (", ".join(self.run.code) or self.why)
        )


def check_tools() -> None:
    """Look for spin and a C compiler.

    Raises:
        NoSpin: one is missing.
    """
    missing = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]
    if missing:
        raise NoSpin(
            f"the models need {' and '.join(missing)}: on Debian or Ubuntu, "
            "apt-get install spin gcc libc6-dev; elsewhere see https://spinroot.com"
        )


def verify(run: Run, *, trace: bool = False, quickly: bool = False) -> Verdict:
    """Visit every state of a model.

    Args:
        run: which model, with which switches.
        trace: look for the shortest way to a failure, and tell its steps.
        quickly: for a small model: the compiler does not optimise.

    Raises:
        Broken: spin or the compiler refuses it.
    """
    flags = [f"-D{switch}" for switch in run.switches]
    with tempfile.TemporaryDirectory(prefix="polystore-model-") as name:
        at = Path(name)
        shutil.copy(HERE / run.model, at / "model.pml")
        _call(at, ["spin", "-a", *flags, "model.pml"])
        options = ["-O0" if quickly else "-O2", "-w", "-DSAFETY", f"-DMEMLIM={MEMORY_MB}"]
        options.append("-DBFS" if trace else "-DCOLLAPSE")  # breadth first: the shortest way
        _call(at, ["gcc", *options, "-o", "pan", "pan.c"])
        began = time.monotonic()
        try:
            said = _call(at, ["./pan", "-E", "-m100000"], within=SECONDS)
        except subprocess.TimeoutExpired:
            return Verdict(run, False, 0, 0, SECONDS, f"not done after {SECONDS} s")
        seconds = time.monotonic() - began
        steps = ""
        if trace and any(at.glob("*.trail")):
            steps = _call(at, ["spin", "-t", "-p", "-g", *flags, "model.pml"])
    return _judged(run, said, seconds, steps)


def _call(at: Path, command: Sequence[str], within: float | None = None) -> str:
    done = subprocess.run(
        command, cwd=at, capture_output=True, text=True, timeout=within, check=False
    )
    said = done.stdout + done.stderr
    if done.returncode and command[0] != "./pan":
        raise Broken(f"{' '.join(command)} in {at}: {said[-600:]}")
    return said


_CUT_SHORT = re.compile(
    "max search depth too small|search not completed|out of memory", re.IGNORECASE
)


def _judged(run: Run, said: str, seconds: float, trace: str) -> Verdict:
    errors = re.search(r"errors: (\d+)", said)
    states = re.search(r"(\d+) states, stored", said)
    why = re.search(r"^pan:\d*:? (.*)", said, re.MULTILINE)
    count = int(errors[1]) if errors else 0
    complete = errors is not None and (count > 0 or not _CUT_SHORT.search(said))
    told = why[1] if why else ""
    return Verdict(run, complete, count, int(states[1]) if states else 0, seconds, told, trace)


def verify_all(
    runs: Sequence[Run], told: Callable[[Verdict], None] = lambda _: None
) -> list[Verdict]:
    """All of them, as many at once as there are cores.

    Args:
        runs: what to run.
        told: is given each verdict as it comes.

    Raises:
        NoSpin: the tools are missing.
        Broken: spin or the compiler refuses a model.
    """
    check_tools()

    def one(run: Run) -> Verdict:
        verdict = verify(run)
        told(verdict)
        return verdict

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(one, runs))
