"""This process in the fleet of one group: its session, its route, and the tasks that they need."""

from __future__ import annotations

import logging
import os
import socket
import threading
from importlib.metadata import PackageNotFoundError, version

from polystore.errors import PolystoreError
from polystore.identity import new_identity
from polystore.migration.group import OpenGroup
from polystore.migration.keeper import Keeper
from polystore.migration.route import MigratingRoute
from polystore.migration.session import Session
from polystore.plugin.registry import CORE
from polystore.route.bound import Bound
from polystore.runner import Background, SyncRunner, ThreadSignal
from polystore.values import Fields

_log = logging.getLogger("polystore.membership")


class Membership:
    """One group as this process takes part in it. It joins with the first operation.

    Args:
        group: the open group.
    """

    def __init__(self, group: OpenGroup) -> None:
        self.group = group
        self.session = Session(group, ThreadSignal(), new_identity, about_process())
        self.keeper = Keeper(self.session)
        self.route = MigratingRoute(self.session, self.keeper.suspect)
        self._lock = threading.Lock()
        self._tasks: tuple[Background, ...] = ()

    def enter(self) -> None:
        """Start the tasks of a member, once."""
        if self._tasks:
            return
        with self._lock:
            if not self._tasks:
                name = f"polystore-{self.group.config.name}"
                self._tasks = (
                    Background(f"{name}-session", self.session.run),
                    Background(f"{name}-beat", self.session.beat),
                    Background(f"{name}-keeper", self.keeper.run),
                )

    def bound(self, collection: str) -> Bound:
        """What keys and records of a collection are checked against just now."""
        bounds = self.group.bounds[collection]
        setting = self.session.latch.setting
        return bounds.source if setting is None else bounds.during(setting.stage)

    def stop(self) -> None:
        """End the tasks at their next look; waits for nothing."""
        self.session.stop()
        self.keeper.stop()
        for task in self._tasks:
            task.stop()

    def leave(self, runner: SyncRunner) -> None:
        """End the tasks, and leave the fleet. What cannot be finished others will recover."""
        self.stop()
        for task in self._tasks:
            task.ended_within(self.group.config.call_timeout)
        try:
            runner.run(self.session.leave())
        except PolystoreError as error:
            _log.warning("group %s: left without finishing: %s", self.group.config.name, error)


def about_process() -> Fields:
    """Who this process is, for people: host, process id, version of polystore."""
    try:
        release = version(CORE)
    except PackageNotFoundError:  # run from its source
        release = "source"
    return {"host": socket.gethostname(), "pid": os.getpid(), "version": release}
