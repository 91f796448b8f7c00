"""Runs one command and ends it when the process that asked for it is gone, even by SIGKILL.

Run as a file (``python -I -S supervisor.py PARENT_PID COMMAND...``), so it imports nothing but
the standard library and is up in a few hundredths of a second. Its standard input is a pipe
that only the parent holds open, its standard output gets one line with the command's process
id, its standard error is the command's log.

Three ties, because each alone has a hole: the pipe stays open while a forked sibling holds a
copy of it, a pidfd exists on Linux only, and PR_SET_PDEATHSIG acts when the *thread* that
forked ends, so it ties the command to this process, which has one thread, and not to the
parent, which may have many.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.2
"""How often to look where nothing reports the end of a process (no pidfd: not Linux)."""


def _die_with_supervisor() -> None:
    """Runs in the child before exec: the kernel kills it when this supervisor ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _exit_event(pid: int) -> list[int]:
    """A descriptor that is readable once the process has ended, where the system has such."""
    try:
        return [os.pidfd_open(pid)] if sys.platform == "linux" else []
    except OSError:
        return []


def _terminated(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's way
    sys.exit(128 + number)


def supervise(parent: int, command: list[str]) -> int:
    """Runs the command until it ends, or until the parent does.

    Args:
        parent: process id of the process whose life bounds that of the command.
        command: program and arguments.

    Returns:
        The command's exit status; 128 + the signal's number when a signal ended it.
    """
    parent_end = [sys.stdin.fileno(), *_exit_event(parent)]
    log = sys.stderr.fileno()
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        preexec_fn=_die_with_supervisor,  # noqa: PLW1509 - this process has one thread
    )
    try:
        sys.stdout.write(f"{child.pid}\n")
        sys.stdout.flush()
        watched = [*parent_end, *_exit_event(child.pid)]
        while child.poll() is None and os.getppid() == parent:
            ready = select.select(watched, [], [], POLL_SECONDS if len(watched) < 3 else None)[0]
            if set(ready) & set(parent_end):
                break
    finally:
        child.kill()  # everything it holds is in memory: there is nothing to save
        status = child.wait()
    return 128 - status if status < 0 else status


def main() -> int:
    """Entry point: ``supervisor.py PARENT_PID COMMAND...``."""
    signal.signal(signal.SIGTERM, _terminated)
    return supervise(int(sys.argv[1]), sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
