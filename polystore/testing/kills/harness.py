"""A run with real kills: processes work on a few keys of a group that migrates under faults.

An operator takes the group through its stages forwards and backwards and turns the dial both ways,
a copier and a verifier run beside it; all of them are killed, paused and replaced, connections are
cut and engines stand still. At the end others recover what was left, both sides must be equal, and
the journals of all processes must be explained by one order of operations for each key.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import polystore
from polystore.driver import Write
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.stages import SOURCE, Stage
from polystore.runner import SyncRunner
from polystore.store import Store
from polystore.testing.kills.crew import Crew
from polystore.testing.kills.found import LAST, Found
from polystore.testing.kills.journal import Journal, Told
from polystore.testing.kills.killer import Killer, Server
from polystore.testing.kills.roles import REQUEST, Log, Operator
from polystore.testing.kills.settings import GROUP, ITEMS, Settings
from polystore.testing.kills.sides import differing
from polystore.testing.kills.work import Client
from polystore.testing.proxy import Proxy
from polystore.values import Fields

REST_SECONDS = 60.0
"""How long recovery at the end may take."""


def kill_run(
    settings: Settings, folder: Path, urls: Mapping[str, str], servers: Sequence[Server] = ()
) -> Found:
    """Make one run; what was found.

    Args:
        settings: of the run.
        folder: for journals, logs and configurations; kept.
        urls: of ``source``, ``target`` and ``control``; the databases are empty.
        servers: the engines behind those URLs, each on a port of its own; none for files.

    Raises:
        AssertionError: a process ended by itself, or the sides could not be brought to rest.
    """
    for name in ("direct", "run"):
        (folder / name).mkdir()
    direct = settings.write(folder / "direct", urls)[0]
    run = folder / "run"
    with ExitStack() as stack:
        proxies = [(server, stack.enter_context(Proxy(server.port))) for server in servers]
        configs = settings.write(run, _behind(urls, proxies))
        with polystore.open(direct, check=False) as store:
            prepared(store, settings, run)
        crew = Crew(run, configs, settings)
        killer = Killer(crew, proxies, settings)
        try:
            for role in ("worker",) * settings.workers + ("operator", "copier", "verifier"):
                crew.start(role)
            _wait_for_work(run, crew)
            killer.run(time.monotonic() + settings.seconds)
        finally:
            crew.end()
    with polystore.open(direct, check=False) as store:
        found = judged(store, settings, run)
    found.faults = killer.faults
    return found


def _behind(urls: Mapping[str, str], proxies: Sequence[tuple[Server, Proxy]]) -> dict[str, str]:
    """The URLs with the ports of the proxies."""
    found = dict(urls)
    for server, proxy in proxies:
        found = {
            name: url.replace(f":{server.port}", f":{proxy.port}") for name, url in found.items()
        }
    return found


def prepared(store: Store, settings: Settings, run: Path) -> None:
    """Collections, records from before the migration, and the stage prepare."""
    store.create()
    source = random.Random(settings.seed)
    with closing(Journal(run / "before.journal", "before")) as journal:
        _preload(store, settings, source, journal)
    with closing(Log(run / "operator0.log")) as log:
        Operator(store, log, source).begin()


def _preload(store: Store, settings: Settings, source: random.Random, journal: Journal) -> None:
    """About half of the records are there from before: no stamp, no write id."""
    group = store._databases.member(GROUP).group
    value = 0
    for owner in settings.owner_names():
        for item in settings.hot():
            if source.random() < 0.5:
                value += 1000
                fields: Fields = {"owner": owner, "item": item, "v": value}
                number = journal.asked((owner, item), "put", value)
                write = Write(group.collection(ITEMS), (owner, item), fields)
                group.sides[SOURCE].driver.write(write)
                journal.answered(number, "done")


def _wait_for_work(run: Path, crew: Crew) -> None:
    """Faults begin once somebody works."""
    until = time.monotonic() + 90
    while not any(path.stat().st_size for path in run.glob("worker*.journal")):
        crew.check()
        assert time.monotonic() < until, "no process began to work within 90 s"
        time.sleep(0.05)


def judged(store: Store, settings: Settings, run: Path) -> Found:
    """Bring everything to rest, and look."""
    found = Found(seed=settings.seed)
    _to_rest(store, found)
    with closing(Journal(run / "the-end.journal", LAST)) as journal:
        last = Client(store, journal, lambda: 0, settings, random.Random(0))
        for owner in settings.owner_names():
            for item in range(1, settings.hot().stop):
                last.get((owner, item))
            last.both(owner)
    told = Told()
    for path in sorted(run.glob("*.journal")):
        told.add(path)
    found.errors = told.errors
    for path in run.glob("*.log"):
        _logged(path, found)
    found.judge(told.history)
    return found


def _to_rest(store: Store, found: Found) -> None:
    """Others finish for all that are gone; then the mirror is whole, without any repair."""
    member = store._databases.member(GROUP)
    runner = SyncRunner()
    coordinator = Coordinator(member.group, patience=REST_SECONDS)
    missing = runner.run(coordinator.fleet.wait(lambda _: False, within=REST_SECONDS))
    found.missing = [one.id for one in missing]
    setting = runner.run(coordinator.finish())
    if not setting.stage.mirrored:
        setting = runner.run(coordinator.advance(REQUEST))
    if setting.stage is Stage.DUAL_WRITE:
        runner.run(Copier(member.group).run())
    found.different = list(differing(member, setting))
    runner.close()


def _logged(path: Path, found: Found) -> None:
    for moment, what, more in Log.lines(path):
        del moment
        if what == "at":
            found.steps += 1
            found.stages[more["stage"]] += 1
        elif what == "discrepancy":
            found.discrepancies.append(more["found"])
        elif what in ("copied", "verified"):
            found.stages[what] += 1
