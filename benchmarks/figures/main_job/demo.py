"""The demo, both ways, and with the copy killed twice."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import Any

from benchmarks.figures.figure import Figure, Outcome
from benchmarks.figures.ground import Ground

PAIRS = (("datastore", "dynamodb"), ("dynamodb", "datastore"))
KILLS = "30,70"
IN_FLIGHT = 4
"""Segments that the copy works on at once, in the command's default: as many pages are in flight."""

MOST_SECONDS = 120.0
GIVE_UP_SECONDS = 400.0


def demo(*arguments: str) -> dict[str, Any]:
    """Run the demo as anybody does; what it printed.

    Raises:
        RuntimeError: it printed no result; the message is the end of what it said instead.
    """
    command = [sys.executable, "-m", "polystore.cli", "demo", "--json", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=GIVE_UP_SECONDS
    )
    try:
        result = json.loads(done.stdout)
        assert isinstance(result, dict)
        assert "verdict" in result, result
    except (ValueError, AssertionError):
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-500:]}") from None
    return {**result, "exit_code": done.returncode}


def clean(result: dict[str, Any]) -> bool:
    """Whether a run of the demo shows what it must."""
    nothing = all(result[name] == 0 for name in ("errors", "lost", "different", "exit_code"))
    return nothing and result["verdict"] == "clean" and result["seconds"] <= MOST_SECONDS


def _text(result: dict[str, Any]) -> str:
    return (
        f"{result['verdict']}; {result['errors']} errors, {result['lost']} of "
        f"{result['acknowledged']} writes lost, {result['different']} different, "
        f"{result['seconds']:.0f} s"
    )


def _moved(_ground: Ground, source: str, target: str) -> Outcome:
    result = demo("--source", source, "--target", target)
    return Outcome(_text(result), clean(result))


def _killed(_ground: Ground, source: str, target: str) -> Outcome:
    result = demo("--source", source, "--target", target, "--kill-backfill", KILLS)
    kills, twice = len(result["backfill"]), result["pages_twice"]
    most = IN_FLIGHT * kills
    text = f"{_text(result)}; {kills} kills, {twice} pages sent twice"
    holds = clean(result) and kills == len(KILLS.split(",")) and twice <= most
    return Outcome(text, holds)


GOAL = "clean, 0 errors, 0 lost, 0 different, ≤ 120 s"
FIGURES = (
    *(
        Figure(f"demo {s} → {t}", GOAL, f"polystore demo --source {s} --target {t}",
               partial(_moved, source=s, target=t))
        for s, t in PAIRS
    ),
    *(
        Figure(f"demo {s} → {t}, copy killed", f"{GOAL}; ≤ {IN_FLIGHT} pages twice a kill",
               f"polystore demo --source {s} --target {t} --kill-backfill {KILLS}: SIGKILL to the "
               "process that copies, at that share of the records, then started again",
               partial(_killed, source=s, target=t))
        for s, t in PAIRS
    ),
)  # fmt: skip
