"""What callers see, and what is kept, while the target is down for ten simulated minutes."""

from __future__ import annotations

import tracemalloc
from typing import Any

import attrs

from benchmarks.figures.figure import Figure, Outcome
from polystore.conditions import If
from polystore.effects import Now, Sleep
from polystore.errors import Declined, MirrorPending, PolystoreError, Unavailable
from polystore.migration.load import Load
from polystore.migration.stages import TARGET, Stage
from polystore.testing.simulator import (
    REQUEST,
    Choices,
    Fate,
    Operator,
    Sent,
    SimulatedFleet,
    SimulatedMember,
)
from polystore.testing.simulator.faults import refused

OUTAGE = 600.0
WRITES, CAN_TAKE = 500, 750
"""Writes a second that are asked for; and that the target takes afterwards."""

KEYS = 20_000
CLIENTS = 50
SHORT = 20.0
"""Seconds of an outage that show ``decline`` and ``fail``: nothing changes after the first."""


def mirror_down() -> list[Figure]:
    """The figures."""
    how = (
        f"one simulated process, {CLIENTS} clients, {WRITES} writes/s on {KEYS} keys, dual-write; "
        f"the target refuses every call, then is held to {CAN_TAKE} operations/s"
    )
    return [
        Figure(
            "target down 10 minutes: queue",
            "0 errors, memory + ≤ 20 MB, drained in ≤ 2 × the outage",
            how + "; memory: what migration/ and pacing/ hold at the end of the outage",
            _queue,
        ),
        Figure(
            "target down: decline", "no store call", f"{how}, after {SHORT:.0f} s of it", _decline
        ),
        Figure("target down: fail", "told that the write stands", how + ", one writer", _fail),
    ]


@attrs.define
class Seen:
    """What clients were told."""

    done: int = 0
    failed: list[PolystoreError] = attrs.field(factory=list)


class Down:
    """A fleet of one process whose target can be down."""

    def __init__(self, policy: str) -> None:
        self.fleet = SimulatedFleet(Choices.seeded(1), drift=0.0)
        self.member = self.fleet.member("p")
        self.operator = Operator(self.fleet)
        self.operator.reach(Stage.DUAL_WRITE, 0)
        self.seen = Seen()
        self.load(lambda load: load.overloaded("items", policy))

    def load(self, change: Any) -> None:
        coordinator = self.operator.coordinator
        self.fleet.do(self.operator.member, coordinator.set_load(change, "figures", REQUEST))
        self.fleet.pass_time(2.0)

    def down(self) -> None:
        self.fleet.network.rules.append(_down)

    def offer(self, seconds: float) -> None:
        for number in range(CLIENTS):
            client = _client(self.member, self.seen, number, seconds)
            self.fleet.spawn(self.member, client, f"client{number}")


def _down(sent: Sent) -> Fate | None:
    return refused(Unavailable("down")) if sent.call.side == TARGET else None


async def _client(member: SimulatedMember, seen: Seen, number: int, seconds: float) -> None:
    begun = await Now()
    for turn in range(int(seconds * WRITES / CLIENTS)):
        await Sleep(begun + (turn * CLIENTS + number) / WRITES - await Now())
        await _put(member, seen, (turn * CLIENTS + number) * 7 % KEYS)


async def _put(member: SimulatedMember, seen: Seen, number: int, timeout: float = 10.0) -> None:
    record = {"owner": f"o{number % 1000}", "item": number, "state": "a", "rank": 1}
    try:
        await member.operations["items"].put(record, If.any, timeout)
    except PolystoreError as error:
        seen.failed.append(error)
    else:
        seen.done += 1


def _queue(outage: float = OUTAGE) -> Outcome:
    scene = Down("queue")
    fleet = scene.fleet
    try:
        scene.offer(KEYS / WRITES)  # every key is there, on both sides
        fleet.pass_time(KEYS / WRITES + 2.0)
        scene.load(_held)
        tracemalloc.start()
        before = tracemalloc.take_snapshot()
        scene.down()
        scene.offer(3 * outage)
        fleet.pass_time(outage)
        after = tracemalloc.take_snapshot()
        tracemalloc.stop()
        grown = sum(
            stat.size_diff
            for stat in after.compare_to(before, "filename")
            if "/polystore/migration/" in stat.traceback[0].filename
            or "/polystore/pacing/" in stat.traceback[0].filename
        )
        incarnation = scene.member.session.incarnation
        assert incarnation is not None
        owed = incarnation.lacking(fleet.scheduler.now)
        fleet.network.rules.clear()
        begun = fleet.scheduler.now
        drained = fleet.scheduler.run(lambda: not incarnation.spilled, 2 * outage)
        took = fleet.scheduler.now - begun
    finally:
        fleet.close()
    failed = len(scene.seen.failed)
    value = (
        f"{scene.seen.done} done, {failed} errors; at the end of the outage {owed}; memory "
        f"{grown / 2**20:+.1f} MiB; {'' if drained else 'not '}drained in {took:.0f} s"
    )
    return Outcome(value, drained and not failed and grown <= 20e6 and scene.seen.done > 0)


def _held(load: Load) -> Load:
    return load.limited("target.rate", CAN_TAKE)


def _decline() -> Outcome:
    scene = Down("decline")
    try:
        scene.down()
        scene.offer(SHORT)
        scene.fleet.pass_time(1.0)
        calls: list[Sent] = []
        scene.fleet.network.rules.append(lambda s: _of_clients(s, calls))
        told = len(scene.seen.failed)
        scene.fleet.pass_time(SHORT)
    finally:
        scene.fleet.close()
    declined = scene.seen.failed[told:]
    other = [error for error in declined if not isinstance(error, Declined)]
    value = f"{len(declined)} declined, {len(other)} other errors, {len(calls)} calls of clients"
    return Outcome(value, bool(declined) and not other and not calls)


def _of_clients(sent: Sent, calls: list[Sent]) -> Fate | None:
    if sent.task.startswith("client"):
        calls.append(sent)
    return None


def _fail() -> Outcome:
    scene = Down("fail")
    try:
        scene.down()
        for number in range(20):
            scene.fleet.do(scene.member, _put(scene.member, scene.seen, number, 0.5))
        stored = scene.fleet.contents("source", "items")
    finally:
        scene.fleet.close()
    told = [e for e in scene.seen.failed if isinstance(e, MirrorPending) and e.applied]
    stands = {s.write_id for s in stored.values()}
    found = sum(getattr(e.version, "mark", None) in stands for e in told)
    value = f"20 writes: {len(told)} told MirrorPending(applied=True), {found} stand at the home"
    return Outcome(value, len(told) == found == 20)
