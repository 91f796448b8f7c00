"""Runs with real kills on real engines: ``python -m benchmarks.real_kills SOURCE TARGET``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import polystore_engines
from polystore.migration.stages import SOURCE, TARGET
from polystore.testing.kills import Found, Settings, kill_run
from polystore.testing.kills.killer import Server
from polystore_engines import Engine, dynamodb
from polystore_engines.registry import START_SECONDS


def real_kills(pair: tuple[str, str], settings: Settings) -> Found:
    """One run on engines of its own; DynamoDB Local keeps its data and is restarted too.

    Args:
        pair: names of the drivers of source and target: ``sqlite`` or names of engines.
        settings: of the run.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with engines(pair, folder) as (urls, servers):
            return kill_run(settings, folder, urls, servers)


@contextmanager
def engines(
    pair: tuple[str, str], folder: Path, *, lasting: bool = True
) -> Iterator[tuple[dict[str, str], list[Server]]]:
    """Engines for a pair: URLs of the sides and the control store, and what may be done to them.

    A side has an engine of its own, so that two sides of one kind share nothing.

    Args:
        pair: names of the drivers.
        folder: for data that stay.
        lasting: whether DynamoDB Local keeps its data in files, which makes it slow.
    """
    urls: dict[str, str] = {}
    servers = []
    with ExitStack() as stack:
        for side, name in zip((SOURCE, TARGET), pair, strict=True):
            if name == "sqlite":
                urls[side] = f"sqlite:///{folder}/{side}.db"
                continue
            engine = stack.enter_context(_started(name, folder / side if lasting else None))
            os.environ.update(engine.env)
            urls[side] = engine.url
            kept = lasting and name == dynamodb.NAME
            restart: Callable[[], None] | None = engine.restart if kept else None
            servers.append(
                Server(
                    port=engine.port,
                    pid=partial(getattr, engine, "pid"),
                    restart=restart,
                    lag=dynamodb.LAG if kept else 0.0,
                )
            )
        yield {**urls, "control": urls[SOURCE]}, servers


def _started(name: str, folder: Path | None) -> Engine:
    if folder is None or name != dynamodb.NAME:
        return polystore_engines.start(name)
    folder.mkdir()
    return dynamodb.start(START_SECONDS, folder)


def main(arguments: Sequence[str]) -> int:
    """Make one run and print what it found; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    settings = Settings(seconds=given.seconds, seed=given.seed)
    found = real_kills((given.source, given.target), settings)
    print(found.told())
    return int(not found.clean)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
