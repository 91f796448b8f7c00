"""A copy that is stopped at any of its calls, beside writes of what it is at: nothing is undone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from polystore.conditions import If
from polystore.errors import PolystoreError
from polystore.migration.backfill import Copier
from polystore.migration.stages import SOURCE, TARGET
from polystore.records import Set
from polystore.testing.pairs import WAY, Stand
from polystore.testing.simulator.faults import Fate, Sent, held, lost, unanswered
from polystore.testing.suite.pairs.records import item, shown
from polystore.values import Fields, Key

pytestmark = [pytest.mark.share(40), pytest.mark.claims("transactions over the store")]

KEYS: list[Key] = [(owner, n) for owner in ("ann", "bob") for n in range(1, 5)]
HOWS = ("it is killed", "it is killed, its call arrives", "lost", "no answer", "applied later")
POINTS = range(0, 20, 2)


def fate_of(how: str, sent: Sent, kill: Callable[[], object]) -> Fate:
    """What becomes of the call at which the copy is stopped."""
    if how == "it is killed":
        kill()
        return lost(sent)
    if how == "it is killed, its call arrives":
        kill()
        return Fate(apply=1.0)
    fates = {"lost": lost, "no answer": unanswered}
    return fates[how](sent) if how in fates else held(sent, 3.0)


def written(stand: Stand, round_: int) -> None:
    """Everything that a copier may come too late for."""
    for owner in ("ann", "bob"):
        stand.put(0, item((owner, 1), v=round_))
        stand.delete(1, (owner, 2))
        stand.update(0, (owner, 3), Set(v=round_), when=If.any)
        stand.put(1, item((owner, 4 + round_), v=round_))


@pytest.mark.rule("BF-2", "BF-3", "BF-4", "BF-5", "MIR-1", "MIR-4", "MIR-6", "CNF-8")
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("how", HOWS)
def test_a_copy_that_is_stopped_goes_on_and_overwrites_nothing_newer(
    begin: Callable[..., Stand], how: str, point: int
) -> None:
    stand = begin(entry=WAY["dual-write before the copy"].entry)
    fleet = stand.fleet
    for key in KEYS:
        stand.plant(item(key, v=0))
    copier = fleet.member("copier")
    met: list[Sent] = []
    calls = 0

    def stopped(sent: Sent) -> Fate | None:
        nonlocal calls
        if sent.process != copier.name or not sent.task.startswith("copy"):
            return None
        calls += 1
        if calls != point + 1:
            return None
        met.append(sent)
        return fate_of(how, sent, lambda: fleet.crash(copier))

    fleet.network.rules.append(stopped)
    task = fleet.spawn(copier, Copier(copier.group, page=2, parallel=1).run(), "copy")
    fleet.run_until(lambda: bool(met) or task.done, 60.0, "the call")
    assert met, f"the copy made {calls} calls"
    written(stand, 1)
    if copier.process.alive:  # it goes on, or gives up and is begun again
        fleet.run_until(lambda: task.done, 60.0, "the copy to end")
        assert task.error is None or isinstance(task.error, PolystoreError)
    written(stand, 2)
    again = stand.operator.copy()
    assert all(summary.done for summary in again.values())
    fleet.pass_time(4.0)
    wanted: dict[Key, Fields] = {}
    for owner in ("ann", "bob"):
        known = [(1, 2), (3, 2), (4, 0), (5, 1), (6, 2)]
        wanted |= {(owner, n): item((owner, n), v=v) for n, v in known}
    stand.settled()
    for side in (SOURCE, TARGET):
        assert {key: fields for (_, key), fields in fleet.shown(side).items()} == wanted
    assert fleet.differences() == []
    stand.operator.advance()
    assert all(not verified.discrepancies for verified in stand.operator.verify().values())


@pytest.mark.rule("BF-2", "MIR-1", "MIR-4", "CNF-8")
@pytest.mark.parametrize("what", ["put", "delete", "delete and put"])
@pytest.mark.parametrize("late", [False, True], ids=["read late", "read early"])
def test_a_page_that_was_read_before_a_write_is_brought_after_it(
    begin: Callable[..., Stand], what: str, late: bool
) -> None:
    """The race that a blind copy loses: its page is of before, and arrives after."""
    stand = begin(entry=WAY["dual-write before the copy"].entry)
    fleet = stand.fleet
    key: Key = ("ann", 1)
    stand.plant(item(key, v=0))
    copier = fleet.member("copier")
    met: list[Sent] = []

    def slow(sent: Sent) -> Fate | None:
        reads = sent.method == "scan"
        if not sent.task.startswith("copy") or not (reads or sent.writes) or reads is late:
            return None
        if sent.call.side == "control" or met:
            return None
        met.append(sent)
        return Fate(apply=0.001, answer=2.0) if reads else Fate(apply=2.0)

    fleet.network.rules.append(slow)
    task = fleet.spawn(copier, Copier(copier.group, page=2, parallel=1).run(), "copy")
    fleet.run_until(lambda: bool(met), 60.0, "the page")
    fleet.pass_time(0.01)
    if what != "put":
        stand.delete(0, key)
    if what != "delete":
        stand.put(1, item(key, v=1))
    fleet.finish(task)
    assert shown(stand.get(0, key)) == (None if what == "delete" else item(key, v=1))
    stand.agree([key])


@pytest.mark.rule("BF-2", "STG-5", "MIR-4", "CNF-8")
def test_what_was_deleted_before_the_copy_is_a_tombstone_on_both_sides(
    begin: Callable[..., Stand],
) -> None:
    stand = begin(entry=WAY["prepare"].entry)
    for key in KEYS:
        stand.plant(item(key, v=0))
    for key in KEYS[:3]:
        stand.delete(0, key)
    stand.operator.preflight()
    stand.operator.advance()
    stand.operator.copy()
    assert stand.get_many(1, KEYS[:3]) == [None] * 3
    assert stand.fleet.differences() == []
    assert [stored is not None for stored in stand.stored(TARGET, KEYS)] == [True] * len(KEYS)
