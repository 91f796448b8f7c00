"""Runs one command and ends it when the process that asked for it is gone, even by SIGKILL.

Run as a file (``python -I -S supervisor.py PARENT_PID SIGNAL USER FOLDER COMMAND...``), so it
imports nothing but the standard library and is up in a few hundredths of a second. Its standard
input is a pipe that only the parent holds open, its standard output gets one line with the
command's process id, its standard error is the command's log.

Three ties, because each alone has a hole: the pipe stays open while a forked sibling holds a
copy of it, a pidfd exists on Linux only, and PR_SET_PDEATHSIG acts when the *thread* that
forked ends, so it ties the command to this process, which has one thread, and not to the
parent, which may have many.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 5.0
"""How long a command may take to end by its own signal before it is killed."""
POLL_SECONDS = 0.2
"""How often to look where nothing reports the end of a process (no pidfd: not Linux)."""


def _die_with_supervisor(stop: int) -> None:
    """Runs in the child before exec, as its user: the kernel ends it when this supervisor ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, stop)


def _exit_event(pid: int) -> list[int]:
    """A descriptor that is readable once the process has ended, where the system has such."""
    try:
        return [os.pidfd_open(pid)] if sys.platform == "linux" else []
    except OSError:
        return []


def _terminated(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's way
    sys.exit(128 + number)


def supervise(
    parent: int, command: list[str], stop: int, user: int | None, folder: str | None
) -> int:
    """Runs the command until it ends, or until the parent does.

    Args:
        parent: process id of the process whose life bounds that of the command.
        stop: number of the signal that ends the command; SIGKILL follows if it does not act.
        user: user and group id that the command runs with; None for this process's.
        folder: is removed once the command has ended; None for nothing to remove.
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
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        preexec_fn=lambda: _die_with_supervisor(stop),  # noqa: PLW1509 - one thread here
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
        status = _end(child, stop)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return 128 - status if status < 0 else status


def _end(child: subprocess.Popen[bytes], stop: int) -> int:
    """Ends the command: there is nothing to save, but its signal may let it clean up."""
    child.send_signal(stop)
    try:
        return child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def main() -> int:
    """Entry point: ``supervisor.py PARENT_PID SIGNAL USER FOLDER COMMAND...``; - for no value."""
    signal.signal(signal.SIGTERM, _terminated)
    parent, stop, user, folder = sys.argv[1:5]
    return supervise(
        int(parent),
        sys.argv[5:],
        int(stop),
        None if user == "-" else int(user),
        None if folder == "-" else folder,
    )


if __name__ == "__main__":
    sys.exit(main())
