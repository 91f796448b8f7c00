"""Starting engines by name."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import attrs

from polystore_engines import datastore, dynamodb, postgresql, redis
from polystore_engines.engine import Engine
from polystore_engines.errors import Missing

START_SECONDS = 60.0


@attrs.frozen
class _Kind:
    missing: Callable[[], list[Missing]]
    start: Callable[[float], Engine]


_KINDS = {
    datastore.NAME: _Kind(datastore.missing, datastore.start),
    dynamodb.NAME: _Kind(dynamodb.missing, dynamodb.start),
    postgresql.NAME: _Kind(postgresql.missing, postgresql.start),
    redis.NAME: _Kind(redis.missing, redis.start),
}

NAMES = tuple(_KINDS)
"""The names that `start` knows."""


def _kind(name: str) -> _Kind:
    if name not in _KINDS:
        raise ValueError(f"There is no engine {name!r}; there are: {', '.join(NAMES)}.")
    return _KINDS[name]


def available(name: str) -> list[Missing]:
    """What is missing on this machine for an engine, and how to get it; empty when nothing.

    Raises:
        ValueError: there is no engine of this name.
    """
    return _kind(name).missing()


def start(name: str, *, timeout: float = START_SECONDS) -> Engine:
    """Starts one engine, empty, on a free port; it ends with this process at the latest.

    Args:
        name: `datastore`, `dynamodb`, `postgresql` or `redis`. DynamoDB Local listens on all
            interfaces: see `polystore_engines.dynamodb`.
        timeout: seconds until it must have answered. Installing DynamoDB Local, on the
            first start of a machine, does not count.

    Raises:
        EngineUnavailable: something has to be installed first.
        EngineStartFailed: it did not come up; the error carries the end of its log.
        ValueError: there is no engine of this name.
    """
    return _kind(name).start(timeout)


@cache
def shared(name: str) -> Engine:
    """The one engine of this name for all who ask in this process; it ends with the process.

    Raises:
        EngineUnavailable, EngineStartFailed, ValueError: as `start` does.
    """
    engine = start(name)
    atexit.register(engine.stop)
    return engine


@contextlib.contextmanager
def start_many(*names: str, timeout: float = START_SECONDS) -> Iterator[dict[str, Engine]]:
    """Starts several engines at once; leaving the block stops them all.

    If one of them does not start, the others are stopped and its error is raised.

    Args:
        names: as for `start`, each once.
        timeout: seconds for each of them.

    Raises:
        EngineUnavailable, EngineStartFailed, ValueError: as `start` does.
    """
    kinds = {name: _kind(name) for name in names}
    with contextlib.ExitStack() as running:
        with ThreadPoolExecutor(max(1, len(kinds))) as pool:
            futures = {name: pool.submit(kind.start, timeout) for name, kind in kinds.items()}
            for future in futures.values():
                if future.exception() is None:
                    running.enter_context(future.result())
        yield {name: future.result() for name, future in futures.items()}
