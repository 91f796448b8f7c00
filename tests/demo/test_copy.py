"""The demo's copy: what is told of a process that was to be killed."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from polystore.cli.demo.run import Demo, Plan
from polystore.cli.output import Output


class Process:
    """One that is running when it is looked at, and has ended when the kill arrives."""

    def __init__(self, status: int) -> None:
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.returncode = self._status

    def wait(self, seconds: float | None = None) -> int:
        if self.returncode is None:
            raise subprocess.TimeoutExpired("copy", seconds or 0.0)
        return self.returncode


@pytest.mark.parametrize(
    ("status", "ended", "told"),
    [(0, True, []), (-signal.SIGKILL, False, ["killed at 100 records"])],
)
def test_a_kill_is_told_only_if_it_killed(
    status: int, ended: bool, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo, process = Demo(Plan(), tmp_path, Output(as_json=True)), Process(status)
    group: Any = None  # only the progress needs it
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: process)
    monkeypatch.setattr(demo, "_scanned", lambda _: 100)
    assert ended == demo._copied(tmp_path / "polystore.toml", group, 50.0, lambda _: None)
    assert told == demo.copies
