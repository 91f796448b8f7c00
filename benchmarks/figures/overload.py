"""What a declined write costs, while five times as many are offered as the target is held to."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

import polystore
from benchmarks.figures.figure import Figure, Outcome
from polystore import Collection, Config, Declined, Group
from polystore.capacity import DECLINE, Capacity
from polystore.driver import Driver
from polystore.migration.coordinator import Coordinator
from polystore.migration.request import Request

OFFERED, HELD = 500, 100
"""Writes a second that are asked for, and that the target may be asked for."""

SECONDS = 10
THREADS = 10
KEYS = 500
METHODS = ("read", "write", "write_many", "commit", "query", "scan")


class Calls(threading.local):
    """Calls of any database that this thread has made."""

    made = 0


@attrs.define
class Found:
    """What became of the offered writes."""

    done: int = 0
    declined: list[float] = attrs.field(factory=list)
    with_calls: int = 0
    failed: list[str] = attrs.field(factory=list)
    mirrored: list[float] = attrs.field(factory=list)
    resident: list[int] = attrs.field(factory=list)


def overload() -> Figure:
    """The figure."""
    return Figure(
        "decline under overload",
        "a declined call made no store call and was answered ≤ 5 ms after it was made (wall, "
        "p99); memory flat; counters add up",
        f"{OFFERED} writes/s offered for {SECONDS} s by {THREADS} threads in dual-write, SQLite to "
        f"memory, the target held to {HELD}/s, overload = decline; calls counted in the drivers",
        _measured,
    )


def _measured() -> Outcome:
    with TemporaryDirectory() as folder:
        config = Config(
            collections={"notes": Collection("notes", ["id:int"], overload=DECLINE)},
            groups={
                "g": Group(
                    name="g",
                    collections=("notes",),
                    source=f"sqlite:///{Path(folder) / 'source.db'}",
                    target="memory://figures-overload",
                    capacity={"target": Capacity(rate=HELD)},
                )
            },
        )
        with polystore.open(config) as store:
            store.create()
            return _offered(store)


def _offered(store: polystore.Store) -> Outcome:
    member, run = store._databases.member("g"), store._databases.runner.run
    request = Request("figures", "overload", sole=True)
    coordinator = Coordinator(member.group)
    run(coordinator.preflight(request))
    run(coordinator.start(request))
    for _ in ("prepare", "dual-write"):
        run(coordinator.advance(request))
    store["notes"].put({"id": 0})
    before = member.session.counters.snapshot()
    found, calls = Found(), Calls()
    for name, side in member.group.sides.items():
        told = found.mirrored.append if name == "target" else lambda _: None
        for method in METHODS:
            _count(side.driver, method, calls, told)
    began = time.monotonic()
    threads = [
        threading.Thread(target=_client, args=(store, i, began, calls, found))
        for i in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found.resident.append(_resident())
        time.sleep(0.25)
    after = member.session.counters.snapshot()
    return _outcome(found, {k: after[k] - before.get(k, 0) for k in after})


def _count(driver: Driver, method: str, calls: Calls, told: Callable[[float], object]) -> None:
    """Have the calls of a driver counted, by thread."""
    made = getattr(driver, method)

    def counted(*arguments: Any) -> Any:
        calls.made += 1
        told(time.monotonic())
        return made(*arguments)

    counted.__name__ = method
    setattr(driver, method, counted)


def _client(store: polystore.Store, number: int, began: float, calls: Calls, found: Found) -> None:
    """One thread, which asks at its moments whatever became of what it asked before."""
    notes = store["notes"]
    pause = THREADS / OFFERED
    for turn in range(OFFERED * SECONDS // THREADS):
        at = began + (turn + number / THREADS) * pause
        time.sleep(max(at - time.monotonic(), 0.0))
        calls.made = 0
        asked = time.perf_counter()
        try:
            notes.put({"id": (turn * THREADS + number) % KEYS, "text": "x" * 100})
        except Declined:
            found.declined.append(time.perf_counter() - asked)
            found.with_calls += calls.made > 0
        except polystore.PolystoreError as error:
            found.failed.append(error.code)
        else:
            found.done += 1


def _resident() -> int:
    """Bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _outcome(found: Found, counts: dict[str, int]) -> Outcome:
    declined = sorted(found.declined)
    p99 = declined[len(declined) * 99 // 100] if declined else float("inf")
    settled = found.resident[len(found.resident) // 4 :]
    grown = (settled[-1] - settled[0]) / 2**20
    offered = found.done + len(declined) + len(found.failed)
    adds_up = (
        offered == OFFERED * SECONDS
        and counts.get("declined:target", 0) == len(declined)
        and counts.get("acknowledged", 0) == found.done
        and counts.get("mirrored", 0) + counts.get("pending", 0) == found.done
    )
    rate = len(found.mirrored) / SECONDS
    value = (
        f"{offered} offered, {found.done} done, {len(declined)} declined, "
        f"{len(found.failed)} failed; target called {rate:.0f}/s; "
        f"{found.with_calls} declined with a call, p99 {p99 * 1000:.2f} ms, "
        f"memory {grown:+.1f} MiB, counters "
        f"{'add up' if adds_up else f'do not add up: {counts}'}"
    )
    holds = (
        found.with_calls == 0
        and p99 <= 0.005
        and grown <= 4.0
        and adds_up
        and not found.failed
        and found.done <= len(found.mirrored)  # they were counted at all
        and 0.9 * HELD <= rate <= 1.05 * HELD
    )
    return Outcome(value, holds)
