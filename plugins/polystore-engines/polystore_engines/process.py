"""A server process that ends with this process, whose log is kept, and that can be waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from polystore_engines import supervisor
from polystore_engines.errors import EngineStartFailed

T = TypeVar("T")

LOG_TAIL_BYTES = 4_000
PROBE_SECONDS = 0.01
STOP_SECONDS = 10.0


class ServerProcess:
    """One command under a supervisor; see `polystore_engines.supervisor` for how it is tied.

    The log is a file without a name: it needs no cleaning up, and nobody can find it.

    Args:
        engine: name of the engine, for errors.
        command: program and arguments.
        env: the whole environment of the command; None inherits this process's.
        cwd: working directory of the command; None inherits this process's.
        stop: the signal that ends it; SIGKILL follows if that does not.
        user: user and group id that it runs with; None for this process's.
        folder: is removed when it has ended, unless its supervisor is killed; None for none.

    Raises:
        EngineStartFailed: the command cannot be executed.
    """

    def __init__(
        self,
        engine: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop: signal.Signals = signal.SIGKILL,
        user: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.engine = engine
        self._stopping = threading.Lock()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives until stop()
        self._supervisor = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", supervisor.__file__),
                *(str(os.getpid()), str(int(stop)), "-" if user is None else str(user)),
                *(str(folder or "-"), *command),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=env,
            cwd=cwd,
            start_new_session=True,  # Ctrl-C is for the parent, which then stops its engines
        )
        assert self._supervisor.stdout is not None
        with self._supervisor.stdout as first_line:
            pid = first_line.readline()
        if not pid:
            failure = self.failure("its command cannot be executed")
            self.stop()
            raise failure
        self.pid = int(pid)

    @property
    def alive(self) -> bool:
        """Whether the command is still running."""
        return self._supervisor.poll() is None

    def output(self) -> str:
        """Everything the command has written so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def failure(self, reason: str) -> EngineStartFailed:
        """The error for a start that did not succeed, with the end of the log."""
        return EngineStartFailed(self.engine, reason, self.output()[-LOG_TAIL_BYTES:].strip())

    def wait_for(self, probe: Callable[[], T | None], what: str, deadline: float) -> T:
        """Asks again and again until there is an answer.

        Args:
            probe: returns None for "not yet".
            what: what is being waited for, for the error.
            deadline: on the `time.monotonic` clock, in seconds.

        Raises:
            EngineStartFailed: the process ended, or the deadline passed.
        """
        while (answer := probe()) is None:
            if not self.alive:
                status = self._supervisor.returncode
                raise self.failure(f"it ended with status {status} before {what}")
            if time.monotonic() > deadline:
                raise self.failure(f"it ran out of time before {what}")
            time.sleep(PROBE_SECONDS)
        return answer

    def stop(self) -> None:
        """Ends the command and waits until it is gone; further calls do nothing."""
        with self._stopping:
            if self._log.closed:
                return
            assert self._supervisor.stdin is not None
            self._supervisor.stdin.close()
            self._supervisor.wait(STOP_SECONDS)
            self._log.close()
