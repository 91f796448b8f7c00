"""A side that cannot keep up: what waits, is declined or is left for later, with nothing lost."""

from __future__ import annotations

import pytest

from polystore.capacity import Capacity
from polystore.driver import Write
from polystore.effects import Sleep
from polystore.errors import ConfigError, Declined, InvalidRequest, OutcomeUnknown, Unavailable
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.load import Load
from polystore.migration.request import Request
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.migration.status import status_of
from polystore.pacing.allowance import BURST_SECONDS
from polystore.testing.simulator import ITEMS, ROUGH, Fate, Sent, SimulatedMember
from polystore.testing.simulator.faults import lost
from polystore.values import Fields
from tests.migration.scene import Scene, mirrors

REQUEST = Request("tester", "to see what happens")
RATE = 20.0
"""Operations a second that the target is held to."""

OFFERED = 60
"""Writes that one process is asked for, at 100 a second."""


def set_load(scene: Scene, policy: str, **limits: float) -> None:
    """Set rates and a policy as an operator does, and let everybody see them."""

    def change(load: Load) -> Load:
        for name, value in limits.items():
            load = load.limited(name.replace("_", "."), value)
        return load.overloaded("items", policy)

    operator = scene.operator
    for again in (True, True, True, True, False):  # as an operator whom a store did not answer
        try:
            scene.fleet.do(operator.member, operator.coordinator.set_load(change, "rates", REQUEST))
            break
        except (Unavailable, OutcomeUnknown):
            if not again:
                raise
    scene.fleet.pass_time(2.0)


class Offer:
    """Writes that one process is asked for at 100 a second, whatever becomes of those before.

    Attributes:
        done: numbers of those that were acknowledged.
        sent: numbers of those that made a call of a store.
        arrivals: when the target was called by this process, and for how many records.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.done: set[int] = set()
        self.sent: set[int] = set()
        self.arrivals: list[tuple[float, int]] = []
        scene.rule(self._look)
        self.began = scene.fleet.scheduler.now
        self._tasks = [
            scene.fleet.spawn(scene.members[0], self._one(i), f"offer{i}", vital=True)
            for i in range(OFFERED)
        ]

    def _look(self, sent: Sent) -> Fate | None:
        if sent.process == self.scene.members[0].name and sent.call.side != "control":
            if sent.task.startswith("offer"):
                self.sent.add(int(sent.task.removeprefix("offer").partition(".")[0]))
            if sent.call.side == TARGET:
                self.arrivals.append((self.scene.fleet.scheduler.now, 1))
        return None

    async def _one(self, number: int) -> None:
        await Sleep(number / 100)
        operation = await self.scene.load.put(self.scene.members[0], ("ann", 100 + number))
        if operation.outcome == "done":
            self.done.add(number)

    def finish(self) -> float:
        """Let them end; seconds that it took."""
        fleet = self.scene.fleet
        fleet.run_until(lambda: all(task.done for task in self._tasks), 600, "the offered writes")
        return fleet.scheduler.now - self.began

    def check_rate(self, lag: float = 0.1) -> None:
        """The target was called no more often than it may be, looked at from every call on.

        A turn is taken before the home is called, and the mirror is called after: up to ``lag``.
        """
        for first, (begun, _) in enumerate(self.arrivals):
            total = 0
            for moment, count in self.arrivals[first:]:
                total += count
                burst = max(RATE * BURST_SECONDS, 1.0)
                assert total <= RATE * (moment - begun + lag) + burst


def counts(scene: Scene) -> dict[str, int]:
    return scene.members[0].session.counters.snapshot()


@pytest.mark.rule("THR-2", "THR-7", "THR-9")
def test_declined_writes_have_sent_nothing_and_the_others_are_mirrored() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        set_load(scene, "decline", target_rate=RATE)
        offer = Offer(scene)
        assert offer.finish() < 1.0
        declined = [error for _, error in scene.load.failed]
        assert {type(error) for error in declined} == {Declined}
        assert offer.sent == offer.done
        assert len(offer.done) + len(declined) == OFFERED
        assert 10 <= len(offer.done) <= 16
        assert counts(scene)["declined:target"] == len(declined)
        assert "queued" not in counts(scene)
        offer.check_rate()
        scene.rest()


@pytest.mark.rule("THR-1", "THR-7", "THR-9")
def test_waiting_writes_are_all_done_at_the_rate_of_the_mirror() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        set_load(scene, "wait", target_rate=RATE)
        offer = Offer(scene)
        assert offer.finish() == pytest.approx(OFFERED / RATE, rel=0.1)
        assert len(offer.done) == OFFERED
        assert counts(scene)["waited:target"] >= OFFERED / 2
        offer.check_rate()
        scene.no_failures()
        scene.rest()


@pytest.mark.rule("THR-7", "THR-9", "MIR-7")
@pytest.mark.parametrize("crash", [False, True])
def test_queued_writes_wait_for_no_mirror_and_reach_it_all_the_same(crash: bool) -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        before = counts(scene).get("acknowledged", 0)
        set_load(scene, "queue", target_rate=RATE)
        offer = Offer(scene)
        assert offer.finish() < 1.5
        assert len(offer.done) == OFFERED
        queued = counts(scene)["queued"]
        assert queued >= OFFERED / 2
        assert counts(scene)["pending"] == queued
        assert counts(scene)["acknowledged"] == counts(scene)["mirrored"] + queued
        assert counts(scene)["acknowledged"] == before + OFFERED
        if crash:
            scene.fleet.crash(scene.members[0])
        else:
            scene.fleet.pass_time(10.0)
            offer.check_rate(lag=0.6)  # writes that wait for a slot to be made
        scene.no_failures()
        scene.rest()


@pytest.mark.rule("THR-7")
def test_the_home_is_waited_for_under_queue_and_declines_under_decline() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        # A write is three records there: a look, itself and a slot. Guesses and company save some.
        set_load(scene, "queue", source_rate=3 * RATE)
        offer = Offer(scene)
        assert 0.5 * OFFERED / RATE < offer.finish() < 1.1 * OFFERED / RATE
        assert len(offer.done) == OFFERED
        set_load(scene, "decline")
        offer = Offer(scene)
        offer.finish()
        assert offer.sent == offer.done
        assert counts(scene)["declined:source"] == OFFERED - len(offer.done) > 0
        scene.rest()


@pytest.mark.rule("THR-5")
def test_a_call_that_is_lost_on_its_way_gives_its_permit_back() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        set_load(scene, "wait", target_concurrency=1)
        gone = scene.once(lambda s: lost(s, 0.5) if mirrors(s) else None)
        for number in range(3):
            scene.put(scene.members[0], ("ann", 100 + number))
        assert len(gone) == 1
        scene.fleet.pass_time(2.0)
        scene.no_failures()
        scene.rest()


@pytest.mark.rule("THR-10")
def test_a_member_goes_by_the_rates_from_its_first_operation_on() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        set_load(scene, "decline", target_rate=RATE)
        late = SimulatedMember(scene.fleet, "late")
        scene.fleet.do(late, late.session.join())
        assert late.group.limiters[TARGET].capacity == Capacity(rate=RATE)
        scene.fleet.do(late, late.session.leave())


@pytest.mark.rule("THR-8")
def test_leases_and_epochs_need_nothing_of_what_is_limited() -> None:
    with Scene(Stage.DUAL_WRITE, clients=1) as scene:
        set_load(scene, "wait", source_rate=1.0, target_rate=1.0)
        incarnations = [scene.name(i) for i in range(3)]
        Offer(scene)
        scene.fleet.pass_time(20.0)
        assert [scene.name(i) for i in range(3)] == incarnations
        set_load(scene, "wait", source_rate=0, target_rate=0)
        scene.fleet.pass_time(10.0)
        scene.rest()


@pytest.mark.rule("THR-10")
def test_an_operators_rates_and_policies_reach_everybody_and_are_recorded() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        epoch = scene.fleet.setting.epoch
        set_load(scene, "decline", target_rate=RATE, source_concurrency=3, source_bytes=1e6)
        late = scene.fleet.member("late")
        scene.fleet.do(late, scene.load.put(late, ("bob", 1)))
        for member in [*scene.members, late]:
            group = member.group
            assert group.limiters[TARGET].capacity == Capacity(rate=RATE)
            assert group.limiters[SOURCE].capacity == Capacity(concurrency=3, bytes=1e6)
            assert group.overload(group.collections["items"]) == "decline"
            assert group.overload(group.collections["totals"]) == "queue"
        assert scene.fleet.setting.epoch == epoch
        history = scene.fleet.do(late, late.group.ledger.history())
        assert [(e["what"], e["who"], e["why"]) for e in history][-1] == (
            "rates", "tester", "to see what happens",
        )  # fmt: skip
        scene.operator.copy()
        scene.operator.advance()
        assert late.group.limiters[TARGET].capacity == Capacity(rate=RATE)
        set_load(scene, "queue", target_rate=0, source_concurrency=0, source_bytes=0)
        assert not any(member.group.limited for member in scene.members)
        scene.rest()


def plant(scene: Scene, records: int) -> None:
    """Records that were there before anything."""
    for number in range(records):
        key = (f"o{number}", 1)
        fields: Fields = {"owner": key[0], "item": 1, "v": number, "state": "open", "rank": 1}
        scene.fleet.plant(SOURCE, Write(ITEMS, key, fields))


def copied(scene: Scene) -> list[float]:
    """When each record of the copy was sent to the target, from now on."""
    sent_at: list[float] = []

    def look(sent: Sent) -> Fate | None:
        if sent.process == "operator" and sent.call.side == TARGET and sent.method == "write_many":
            (writes,) = sent.call.arguments
            sent_at.extend([scene.fleet.scheduler.now] * len(writes))
        return None

    scene.rule(look)
    return sent_at


def busiest(moments: list[float], seconds: float) -> int:
    """The most moments within so many seconds."""
    return max(sum(begun <= m < begun + seconds for m in moments) for begun in moments)


@pytest.mark.rule("THR-11")
def test_a_copy_keeps_to_its_rate_and_to_a_new_one() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        plant(scene, 3000)
        sent_at = copied(scene)
        member = scene.operator.member
        copier = Copier(member.group, page=200, parallel=4, rate=200)
        begun = scene.fleet.scheduler.now
        scene.fleet.do(member, copier.run())
        seconds = scene.fleet.scheduler.now - begun
        assert len(sent_at) == len(scene.fleet.contents(SOURCE, "items"))
        assert len(sent_at) / seconds >= 0.9 * 200
        assert busiest(sent_at, 5.0) <= 1.02 * 200 * 5.0


@pytest.mark.rule("THR-10", "THR-11")
def test_the_rate_of_a_copy_changes_while_it_runs() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        plant(scene, 1000)
        set_load(scene, "queue")
        operator = scene.operator
        fast = Load().limited("backfill", 500)
        slow = fast.limited("backfill", 20)
        scene.fleet.do(
            scene.members[0],
            Coordinator(scene.members[0].group).set_load(lambda _: slow, "slow", REQUEST),
        )
        sent_at = copied(scene)
        copying = scene.fleet.spawn(operator.member, operator.copier(page=50).run(), "copy")
        scene.fleet.pass_time(5.0)
        assert 80 <= len(sent_at) <= 105
        scene.fleet.do(
            scene.members[0],
            Coordinator(scene.members[0].group).set_load(lambda _: fast, "fast", REQUEST),
        )
        scene.fleet.finish(copying, 5.0)
        scene.rest()


@pytest.mark.rule("THR-3", "THR-11")
def test_copying_and_comparing_leave_applications_their_turn() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        plant(scene, 200)
        set_load(scene, "wait", target_rate=5 * RATE)
        sent_at = copied(scene)
        operator = scene.operator
        copying = scene.fleet.spawn(operator.member, operator.copier(page=50).run(), "copy")
        member = operator.member
        slowest = 0.0
        while not copying.done:
            begun = scene.fleet.scheduler.now
            scene.fleet.do(member, scene.load.put(member, ("bob", 1)))
            slowest = max(slowest, scene.fleet.scheduler.now - begun)
            scene.fleet.pass_time(0.05)
        scene.fleet.finish(copying)
        assert slowest <= 0.3
        assert busiest(sent_at, 1.0) <= 5 * RATE
        operator.advance()
        scene.fleet.do(member, operator.verifier().run())
        scene.rest()


@pytest.mark.rule("THR-9")
def test_the_status_shows_rates_and_what_was_counted() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        set_load(scene, "decline", target_rate=RATE)
        offer = Offer(scene)
        offer.finish()
        scene.fleet.pass_time(2.0)  # a beat
        status = scene.fleet.do(scene.operator.member, status_of(scene.operator.member.group))
        assert status.counts["declined:target"] == OFFERED - len(offer.done)
        assert status.data()["setting"]["load"]["limits"] == {"target.rate": RATE}
        scene.rest()


@pytest.mark.rule("THR-7", "WR-9", "MIR-6")
@pytest.mark.parametrize("policy", ["wait", "decline", "queue"])
def test_nothing_is_lost_where_sides_are_full_and_calls_go_wrong(policy: str) -> None:
    with Scene(Stage.DUAL_READ, 50, seed=7, clients=2, faults=ROUGH) as scene:
        set_load(scene, policy, target_rate=RATE, source_rate=2 * RATE, target_concurrency=2)
        scene.fleet.pass_time(8.0)
        scene.fleet.crash(scene.members[2])
        scene.fleet.pass_time(8.0)
        set_load(scene, policy, target_rate=0, source_rate=0, target_concurrency=0)
        scene.rest()


@pytest.mark.rule("THR-10")
def test_limits_that_cannot_be_are_refused() -> None:
    load = Load().limited("backfill", 5).limited("target.rate", 10).overloaded("a", "wait")
    assert Load.from_fields(load.to_fields()) == load
    assert load.limited("backfill", None).overloaded("a", None) == Load({"target.rate": 10}, {})
    assert load.capacity(TARGET, Capacity(rate=3, concurrency=2)) == Capacity(
        rate=10, concurrency=2
    )
    assert load.limited("target.rate", 0).capacity(TARGET, Capacity(rate=3)) == Capacity()
    assert (load.backfill(7), Load().backfill(7), load.limited("backfill", 0).backfill(7)) == (
        5, 7, None,
    )  # fmt: skip
    for name, value in (("target.speed", 1), ("target.rate", -1), ("source.concurrency", 1.5)):
        with pytest.raises(InvalidRequest):
            load.limited(name, value)
    with pytest.raises(ConfigError, match="wait, fail, decline, queue"):
        load.overloaded("a", "panic")


@pytest.mark.rule("STG-3", "THR-8")
def test_a_lease_that_cannot_be_refreshed_holds_no_read_beyond_its_deadline() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        member = scene.members[0]
        scene.rule(
            lambda s: (
                Fate(apply=None, answer=0.3, error=Unavailable("down"))
                if s.process == member.name and s.call.side == "control" and s.method == "write"
                else None
            )
        )
        scene.fleet.pass_time(3.0)  # the lease has run out
        begun = scene.fleet.scheduler.now
        get = member.operations["items"].get(("ann", 1), "strong", 1.0)
        with pytest.raises(Unavailable):
            scene.fleet.do(member, get)
        assert scene.fleet.scheduler.now - begun < 2.0
