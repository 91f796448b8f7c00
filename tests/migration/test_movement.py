"""The movement table: a mirror whose database has no conditional writes (MIR-9)."""

from __future__ import annotations

from contextlib import suppress

import pytest

from polystore.driver import Refused, Stored, Write, Written
from polystore.effects import Sleep
from polystore.errors import Contention, GateClosed, OutcomeUnknown
from polystore.migration.ledger import CONTROL
from polystore.migration.mirror import mirror_write
from polystore.migration.movement import ITEM, MovedSide, Movement, Row
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.testing.simulator import Fate, Sent, SimulatedMember
from polystore.testing.simulator.batch import TO_A_MIRROR, run_batch
from polystore.testing.simulator.faults import held, lost
from polystore.testing.simulator.fleet import ITEMS
from polystore.values import Fields
from tests.migration.scene import Scene
from tests.migration.seeds import seeds

KEY = ("ann", 1)
CHOSEN = seeds(100, 1000)


def scene(stage: Stage = Stage.DUAL_WRITE) -> Scene:
    """A fleet whose mirror is written by hand, with what its home never had."""
    found = Scene(stage, pair=TO_A_MIRROR)
    found.fleet.watch.ignored = frozenset({"P5"})
    return found


def moved(member: SimulatedMember) -> MovedSide:
    side = member.group.sides[TARGET]
    assert isinstance(side, MovedSide)
    return side


def table(member: SimulatedMember) -> Movement:
    return moved(member)._movement


def record(at: Scene, stamp: int) -> Write:
    """A mirror write of the key, as a drain would send it."""
    setting = at.fleet.setting
    fields: Fields = {"owner": "ann", "item": 1, "state": "a", "rank": 1, "v": stamp}
    stored = Stored(KEY, fields, None, f"w{stamp}", setting.floor() + stamp)
    return mirror_write(ITEMS, stored, setting)


def rows(at: Scene) -> list[Stored]:
    """The rows of the movement table."""
    driver = at.fleet.drivers[SOURCE]
    found = driver.native()[CONTROL.name].rows
    return [row.stored(key) for key, row in found.items() if key[1] == ITEM]


async def claimed(member: SimulatedMember, write: Write, tries: int) -> Row | None:
    """Try to get the row of a key, so many times."""
    for _ in range(tries):
        try:
            return await table(member).claim(write)
        except Contention:
            await Sleep(0.2)
    return None


@pytest.mark.slow
@pytest.mark.rule("MIR-9", "MIR-2", "WR-4", "VER-2", "RCV-6")
@pytest.mark.timeout(max(300, 3 * len(CHOSEN)))
def test_every_promise_holds_with_a_mirror_without_conditions() -> None:
    batch = run_batch(TO_A_MIRROR, CHOSEN)
    assert not batch.violations
    for what in ("held", "crash", "applied after its process died", "applied after a lease"):
        assert batch.happened[what]


@pytest.mark.rule("MIR-9")
def test_a_write_is_decided_at_the_mirror_and_leaves_no_row() -> None:
    with scene() as at:
        one = at.members[0]
        assert isinstance(at.fleet.do(one, moved(one).write(record(at, 9))), Written)
        refused = at.fleet.do(one, moved(one).write(record(at, 8)))
        assert isinstance(refused, Refused)
        assert refused.current is not None
        assert refused.current.write_id == "w9"
        assert rows(at) == []


@pytest.mark.rule("MIR-9")
def test_others_wait_and_give_up_while_a_row_is_used() -> None:
    with scene() as at:
        one, two = at.members[:2]
        write = record(at, 9)
        row = at.fleet.do(one, table(one).claim(write))
        with pytest.raises(Contention):
            at.fleet.do(two, moved(two).write(write))
        (outcome,) = at.fleet.do(two, moved(two).write_many([write]))
        assert isinstance(outcome.error, Contention)  # type: ignore[union-attr]
        at.fleet.do(one, table(one).release(row))
        assert isinstance(at.fleet.do(two, moved(two).write(write)), Written)


@pytest.mark.rule("MIR-9")
def test_a_call_without_an_answer_keeps_its_row_until_it_cannot_land() -> None:
    with scene() as at:
        one, two = at.members[:2]
        at.once(lambda s: held(s, 3.0) if writes_target(s, one) else None)
        with pytest.raises(OutcomeUnknown):
            at.fleet.do(one, moved(one).write(record(at, 5)))
        begun = at.fleet.scheduler.now
        row = at.fleet.do(two, claimed(two, record(at, 6), 100))
        times = at.fleet.times
        assert row is not None
        assert at.fleet.scheduler.now - begun >= times.lease + times.quarantine
        at.fleet.do(two, table(two).release(row))
        assert isinstance(at.fleet.do(two, moved(two).write(record(at, 6))), Written)
        assert at.stamp(TARGET, KEY) == 6


@pytest.mark.rule("MIR-9")
def test_a_row_that_was_taken_over_is_not_given_back_by_who_had_it() -> None:
    with scene() as at:
        one, two, three = at.members
        write = record(at, 9)
        old = at.fleet.do(one, table(one).claim(write))
        new = at.fleet.do(two, claimed(two, write, 100))
        assert new is not None
        at.fleet.do(one, table(one).release(old))
        assert [stored.fields for stored in rows(at)] == [new.stored.fields]
        assert at.fleet.do(three, claimed(three, write, 1)) is None


@pytest.mark.rule("MIR-9")
def test_who_stood_still_past_the_lease_of_its_row_writes_nothing() -> None:
    with scene() as at:
        one = at.members[0]
        seconds = at.fleet.times.lease + 0.1
        at.once(lambda s: Fate(answer=seconds) if reads_target(s, one) else None)
        with suppress(Contention):
            at.fleet.do(one, moved(one).write(record(at, 5)))
        assert at.stamp(TARGET, KEY) != 5
        assert rows(at) == []


@pytest.mark.rule("MIR-9")
def test_who_dies_while_it_takes_over_is_taken_over() -> None:
    with scene() as at:
        one, two, three = at.members
        write = record(at, 9)
        at.fleet.do(one, table(one).claim(write))
        times = at.fleet.times
        tries = int(1.3 * times.lease / 0.2)
        assert at.fleet.do(two, claimed(two, write, tries)) is None
        (row,) = rows(at)
        assert row.fields is not None
        assert row.fields["phase"] == "waiting"
        at.fleet.crash(two)
        begun = at.fleet.scheduler.now
        assert at.fleet.do(three, claimed(three, write, 1000), 600) is not None
        assert at.fleet.scheduler.now - begun >= times.lease + 2 * times.quarantine


@pytest.mark.rule("MIR-9")
def test_a_row_whose_making_had_no_answer_is_its_makers() -> None:
    with scene() as at:
        one = at.members[0]
        met = at.once(lambda s: lost(s) if makes_row(s) else None)
        assert isinstance(at.fleet.do(one, moved(one).write(record(at, 5))), Written)
        assert met
        assert rows(at) == []


@pytest.mark.rule("MIR-9", "GATE-2")
def test_no_bucket_moves_to_a_mirror() -> None:
    with scene(Stage.DUAL_READ) as at:
        with pytest.raises(GateClosed) as raised:
            at.operator.dial(10.0)
        assert "target-able" in raised.value.gates
        assert at.slots(TARGET) == {}
        at.put(at.members[0], KEY)
        at.operator.back()
        at.rest()
        at.no_failures()


def writes_target(sent: Sent, member: SimulatedMember) -> bool:
    return sent.call.side == TARGET and sent.writes and sent.process == member.name


def reads_target(sent: Sent, member: SimulatedMember) -> bool:
    return sent.call.side == TARGET and sent.method == "read" and sent.process == member.name


def makes_row(sent: Sent) -> bool:
    if sent.call.side != "control" or sent.method != "write":
        return False
    return bool(sent.call.arguments[0].key[1] == ITEM)
