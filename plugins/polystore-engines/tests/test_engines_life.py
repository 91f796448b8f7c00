"""No engine outlives the process that started it, however that process ends."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import polystore_engines
from polystore_engines.process import ServerProcess

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc"),
]

PATIENCE_SECONDS = 10.0

START_BOTH = """
import json, sys, polystore_engines
with polystore_engines.start_many("datastore", "dynamodb") as engines:
    print(json.dumps([engine.pid for engine in engines.values()]), flush=True)
    sys.stdin.read()
"""

START_AND_FORK = """
import json, os, sys, time, polystore_engines
engine = polystore_engines.start("datastore")
sibling = os.fork()
if sibling == 0:
    time.sleep(60)  # holds a copy of everything that its parent had open
    os._exit(0)
print(json.dumps([engine.pid, sibling]), flush=True)
sys.stdin.read()
"""


def running(pid: int) -> bool:
    """Whether a process is there and not only waiting to be buried."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def parent_of(pid: int) -> int:
    """The process id of a process's parent: for an engine, its supervisor."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def gone(pids: list[int]) -> bool:
    """Whether all these processes end within the time that is allowed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(running(pid) for pid in pids)


@contextlib.contextmanager
def process(script: str) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """A Python process that runs a script, and the process ids that it prints."""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        try:
            yield parent, json.loads(parent.stdout.readline())
        finally:
            parent.kill()


@pytest.mark.rule("SEC-1")
def test_engines_end_when_their_parent_is_killed() -> None:
    with process(START_BOTH) as (parent, engines):
        everything = engines + [parent_of(pid) for pid in engines]
        assert all(running(pid) for pid in everything)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert gone(everything)


def test_an_engine_ends_although_a_forked_sibling_of_its_parent_lives_on() -> None:
    with process(START_AND_FORK) as (parent, [engine, sibling]):
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        try:
            assert gone([engine])
            assert running(sibling)
        finally:
            os.kill(sibling, signal.SIGKILL)


def test_an_engine_ends_when_its_supervisor_is_killed() -> None:
    with polystore_engines.start("datastore") as engine:
        os.kill(parent_of(engine.pid), signal.SIGKILL)
        assert gone([engine.pid])
        assert not engine.alive


def test_an_engine_ends_when_its_supervisor_is_asked_to() -> None:
    with polystore_engines.start("datastore") as engine:
        os.kill(parent_of(engine.pid), signal.SIGTERM)
        assert gone([engine.pid])


def test_an_engine_outlives_the_thread_that_started_it() -> None:
    started: list[ServerProcess] = []
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    thread = threading.Thread(target=lambda: started.append(ServerProcess("test", command)))
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert started[0].alive
    started[0].stop()
    assert gone([started[0].pid])


def test_nothing_is_left_behind_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with polystore_engines.start("datastore"):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.rule("SEC-1")
def test_the_folder_of_postgresql_goes_with_it() -> None:
    with polystore_engines.start("postgresql") as engine:
        data = Path(f"/proc/{engine.pid}/cwd").readlink()
        folder = data.parent
        assert folder.is_dir()
        assert "password" not in {file.name for file in folder.iterdir()}
        assert Path(f"/proc/{engine.pid}").stat().st_uid != 0
        assert engine.env["PGPASSWORD"] not in repr(engine)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(engine.url, password="another")
    assert gone([engine.pid])
    assert not folder.exists()


def test_postgresql_ends_when_its_supervisor_is_killed() -> None:
    with polystore_engines.start("postgresql") as engine:
        folder = Path(f"/proc/{engine.pid}/cwd").readlink().parent
        os.kill(parent_of(engine.pid), signal.SIGKILL)
        assert gone([engine.pid])
    shutil.rmtree(folder)  # what removes it was killed
