"""The group that a command works on, open; and the command as a member of its fleet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polystore.config import Config, load
from polystore.databases import Databases
from polystore.errors import ConfigError, Unavailable
from polystore.membership import Membership
from polystore.migration.session import Session
from polystore.plugin.registry import default_registry
from polystore.runner import SyncRunner

JOIN_SECONDS = 10.0
"""How long a command waits until it is a member: a few calls of the control store."""


@contextmanager
def opened(config: Path | Config, group: str | None) -> Iterator[Membership]:
    """The group that the options name, open; the command takes part once it joins.

    Raises:
        ConfigError: no group is declared, or several and none was named.
        PolystoreError: a database cannot be opened.
    """
    registry = default_registry()
    loaded = config if isinstance(config, Config) else load(config, registry.names())
    if not loaded.groups:
        raise ConfigError("no [groups.NAME] is declared, so nothing can migrate")
    if group is None and len(loaded.groups) > 1:
        raise ConfigError(f"say which group with --group: {', '.join(loaded.groups)}")
    databases = Databases(loaded, registry, "the command line")
    try:
        yield databases.member(group or next(iter(loaded.groups)))
    finally:
        databases.close()


@contextmanager
def joined(membership: Membership) -> Iterator[Session]:
    """Take part in the fleet, and leave at the end.

    Raises:
        PolystoreError: the control store cannot be reached.
    """
    runner = SyncRunner()
    membership.enter()
    try:
        session = membership.session
        deadline = time.monotonic() + JOIN_SECONDS
        runner.run(session.join())
        while not _is_member(session):  # the background is joining just now
            runner.run(session.wait_joined(deadline))
            if time.monotonic() > deadline:
                raise Unavailable("could not join the fleet: does the control store answer?")
            runner.run(session.join())
        yield session
    finally:
        membership.leave(runner)
        runner.close()


def _is_member(session: Session) -> bool:
    return session.incarnation is not None
