"""What is done to the processes, the connections and the engines of a run, at random."""

from __future__ import annotations

import heapq
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count

import attrs

from polystore.testing.kills.crew import Crew, Running
from polystore.testing.kills.settings import Settings
from polystore.testing.proxy import Proxy

APART = 15.0
"""Seconds between two restarts of engines: one in Java is away for several, and all stand still."""


@attrs.frozen(kw_only=True, eq=False)
class Server:
    """An engine, as far as a run may do something to it.

    Attributes:
        port: where it listens on 127.0.0.1.
        pid: its process id just now.
        restart: ends it and starts it again with its data, on its port; ``None`` where its data
            would be gone.
        lag: most seconds from its answer until what it answered for survives its end. Nothing new
            reaches it for so long before a restart: what the engine loses is no finding.
    """

    port: int
    pid: Callable[[], int]
    restart: Callable[[], None] | None = None
    lag: float = 0.0


class Killer:
    """Does one thing after another, and sets right what it did after a while.

    Args:
        crew: the processes.
        servers: the engines, each with the proxy before it.
        settings: of the run.
    """

    def __init__(
        self, crew: Crew, servers: Sequence[tuple[Server, Proxy]], settings: Settings
    ) -> None:
        self._crew = crew
        self._servers = servers
        self._settings = settings
        self._random = random.Random(settings.seed)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._restarts = 0.0
        self._quiet: set[object] = set()
        self.faults: Counter[str] = Counter()

    def run(self, until: float) -> None:
        """Work until a moment of the monotonic clock; then everything is set right."""
        following = time.monotonic()
        while (now := time.monotonic()) < until:
            self._crew.check()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
            if now >= following:
                self._act()
                following = now + self._random.expovariate(1 / self._settings.pause)
            time.sleep(0.02)
        while self._due:
            heapq.heappop(self._due)[2]()

    def _act(self) -> None:
        acts = [self._kill, self._kill, self._pause, self._pause, self._long_pause]
        if self._servers:
            acts += [self._cut, self._delay, self._swallow, self._stop]
        if any(server.restart for server, _ in self._servers):
            acts.append(self._restart)
        self._random.choice(acts)()

    def _one(self) -> Running | None:
        """A process that is not paused: mostly an application."""
        awake = [one for one in self._crew.running if not one.paused]
        weights = [3 if one.role == "worker" else 1 for one in awake]
        return self._random.choices(awake, weights)[0] if awake else None

    def _kill(self) -> None:
        one = self._one()
        if one is not None:
            self._crew.kill(one)
            self.faults[f"SIGKILL of a {one.role}"] += 1

    def _pause(self) -> None:
        self._stopped(self._random.uniform(0.05, self._settings.lease), "short")

    def _long_pause(self) -> None:
        """Longer than it takes to be closed and recovered: it wakes up in another time."""
        if not any(one.paused for one in self._crew.running):
            self._stopped(self._settings.burial() + self._random.uniform(0, 2), "long")

    def _stopped(self, seconds: float, length: str) -> None:
        one = self._one()
        if one is not None:
            self._crew.pause(one)
            self.faults[f"{length} SIGSTOP"] += 1
            self._later(seconds, lambda: self._crew.resume(one))

    def _cut(self) -> None:
        self._random.choice(self._servers)[1].cut()
        self.faults["cuts"] += 1

    def _delay(self) -> None:
        _, proxy = self._random.choice(self._servers)
        proxy.delay = self._random.uniform(0.02, 0.3)
        self.faults["delays"] += 1
        self._later(self._random.uniform(0.3, 2.0), lambda: setattr(proxy, "delay", 0.0))

    def _swallow(self) -> None:
        _, proxy = self._random.choice(self._servers)
        proxy.swallow = True
        self.faults["swallowed answers"] += 1

        def enough() -> None:
            proxy.swallow = False
            proxy.cut()

        self._later(self._random.uniform(0.05, 0.5), enough)

    def _stop(self) -> None:
        server, _ = self._random.choice(self._servers)
        if server in self._quiet:
            return
        os.kill(server.pid(), signal.SIGSTOP)
        self._quiet.add(server)
        self.faults["engine SIGSTOP"] += 1

        def go_on() -> None:
            self._quiet.discard(server)
            os.kill(server.pid(), signal.SIGCONT)

        self._later(self._random.uniform(0.2, 2.5), go_on)

    def _restart(self) -> None:
        server, proxy = next(pair for pair in self._servers if pair[0].restart)
        if server in self._quiet or server.restart is None or time.monotonic() < self._restarts:
            return
        proxy.hold()
        time.sleep(server.lag)
        server.restart()
        proxy.release()
        self._restarts = time.monotonic() + APART
        self.faults["engine restarts"] += 1

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), what))
