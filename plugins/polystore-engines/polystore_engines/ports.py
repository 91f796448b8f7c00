"""Free ports, and proof of who listens on one."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from polystore_engines.errors import EngineStartFailed

T = TypeVar("T")

TRIES = 3
"""Ports that are tried: another process may take one between the look and the start."""

TCP_LISTEN = "0A"
"""State of a listening socket in /proc/net/tcp (Linux, include/net/tcp_states.h)."""


def free_port() -> int:
    """A port that nothing listened on a moment ago. Another process may take it first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def on_free_port(start: Callable[[int], T], taken: str) -> T:
    """What ``start`` makes of a free port; on another one where somebody was quicker.

    Args:
        start: starts a server on the port that it is given.
        taken: what the server writes into its log where the port is in use.

    Raises:
        EngineStartFailed: it failed for another reason, or the third time for this one.
    """
    for _ in range(TRIES - 1):
        try:
            return start(free_port())
        except EngineStartFailed as failed:
            if taken not in failed.log:
                raise
    return start(free_port())


def listens(pid: int, port: int) -> bool:
    """Whether it is this process that listens on the port.

    Where the system cannot tell (no /proc: not Linux), the answer is True, and the caller has
    only the fact that the process is alive.
    """
    if sys.platform != "linux":
        return True
    inodes = _listening_inodes(pid, port)
    return any(f"socket:[{inode}]" in _open_files(pid) for inode in inodes)


def _listening_inodes(pid: int, port: int) -> set[str]:
    """Inodes of the sockets that listen on a port, in the network namespace of a process."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:  # the process ended, or the kernel has no IPv6
            continue
        for columns in map(str.split, lines):
            address, state, inode = columns[1], columns[3], columns[9]
            if state == TCP_LISTEN and int(address.rpartition(":")[2], 16) == port:
                found.add(inode)
    return found


def _open_files(pid: int) -> set[str]:
    """What the descriptors of a process point to; empty once it has ended."""
    targets = set()
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as links:
        for link in links:
            with suppress(OSError):  # this one was closed while we looked
                targets.add(os.readlink(link.path))  # noqa: PTH115 - scandir gives paths as text
    return targets
