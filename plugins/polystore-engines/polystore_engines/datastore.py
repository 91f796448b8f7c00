"""Starts Google's own Datastore stub, served over gRPC to the official client."""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import sys
import time
from functools import partial
from typing import Any

from polystore_engines.engine import Engine
from polystore_engines.errors import EngineStartFailed, EngineUnavailable, Missing
from polystore_engines.process import ServerProcess

NAME = "datastore"
PROJECT = "polystore-test"
REQUIRED = ("appengine-python-standard", "google-cloud-datastore")
REQUEST_SECONDS = 30.0


def missing() -> list[Missing]:
    """What has to be installed before `start` can work; empty when nothing."""
    remedy = "pip install 'polystore-engines[datastore]'"
    return [
        Missing(f"the Python distribution {name}", remedy)
        for name in REQUIRED
        if _version(name) is None
    ]


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def start(timeout: float) -> Engine:
    """Starts the stub on 127.0.0.1, on ports that the system chooses.

    Args:
        timeout: seconds until it must have answered.

    Raises:
        EngineUnavailable: its packages are not installed.
        EngineStartFailed: it did not answer in time.
    """
    deadline = time.monotonic() + timeout
    if lacking := missing():
        raise EngineUnavailable(NAME, lacking)
    module = "polystore_engines.datastore_stub"
    process = ServerProcess(NAME, [sys.executable, "-P", "-m", module, "--project", PROJECT])
    try:
        ready = process.wait_for(partial(_ready, process), "it said that it serves", deadline)
        ask = partial(_http, ready["http"])
        process.wait_for(lambda: _answer(ask), "its health check answered", deadline)
    except BaseException:
        process.stop()
        raise
    return _engine(process, ready["host"], partial(ask, "POST", "/reset"))


def _engine(process: ServerProcess, host: str, empty: Any) -> Engine:
    return Engine(
        name=NAME,
        product=f"Google Cloud Datastore stub ({REQUIRED[0]} {_version(REQUIRED[0])})",
        url=f"datastore://{PROJECT}?emulator={host}",
        port=int(host.rpartition(":")[2]),
        env={"DATASTORE_EMULATOR_HOST": host, "DATASTORE_PROJECT_ID": PROJECT},
        process=process,
        empty=empty,
    )


def _ready(process: ServerProcess) -> dict[str, Any] | None:
    """The addresses that the stub printed once both its listeners were up.

    The system chose the ports and the stub itself says which, on a file that only it and we
    hold: so what answers there is the process that we started.
    """
    for line in process.output().splitlines(keepends=True):
        if line.startswith('{"host": ') and line.endswith("\n"):
            ready: dict[str, Any] = json.loads(line)
            return ready
    return None


def _answer(ask: Any) -> bool | None:
    try:
        ask("GET", "/")
    except OSError:
        return None
    return True


def _http(address: str, method: str, path: str) -> None:
    """One request past any proxy of the environment."""
    connection = http.client.HTTPConnection(address, timeout=REQUEST_SECONDS)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise EngineStartFailed(NAME, f"{method} {path} answered {response.status}")
