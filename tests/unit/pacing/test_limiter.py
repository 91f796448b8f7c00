"""The limits of a side, in virtual time: who goes on when, who is declined, what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.capacity import Capacity
from polystore.effects import Now, Procedure, Sleep
from polystore.errors import Declined
from polystore.pacing.allowance import BURST_SECONDS
from polystore.pacing.limiter import ASKED, BACKGROUND, BEGUN, Limiter, Prepaid
from polystore.testing.simulator import Choices
from polystore.testing.simulator.scheduler import Process, Scheduler, Task


class Stage:
    """One process in virtual time, and one limiter in it."""

    def __init__(self, capacity: Capacity) -> None:
        self.scheduler = Scheduler(Choices.seeded(1), self.no_calls)
        self.process = Process("p", 1.0)
        self.counts: Counter[str] = Counter()
        self.limiter = Limiter(
            "target", self.process.signal, lambda name: self.counts.update([name]), capacity
        )

    def no_calls(self, task: Task, call: object) -> None:
        raise AssertionError("a limiter calls nothing")

    def spawn(self, procedure: Procedure[Any]) -> Task:
        return self.scheduler.spawn(self.process, procedure, "task", vital=True)

    def run(self, until: Callable[[], bool] = lambda: False, limit: float = 1e6) -> None:
        self.scheduler.run(until, limit)


@attrs.frozen
class Asking:
    """Somebody who asks: when, as what, for how much, and how long they would wait."""

    at: float
    rank: int
    amount: float
    patience: float


ASKINGS = st.lists(
    st.builds(
        Asking,
        at=st.floats(0, 3),
        rank=st.sampled_from([BEGUN, ASKED, BACKGROUND]),
        amount=st.integers(1, 30).map(float),
        patience=st.sampled_from([0.0, 0.5, 5.0, 1000.0]),
    ),
    min_size=1,
    max_size=40,
)


@pytest.mark.rule("THR-1", "THR-2")
@given(st.sampled_from([5.0, 50.0, 400.0]), ASKINGS)
def test_whoever_asks_the_rate_holds_and_a_decline_is_honest(
    rate: float, askings: list[Asking]
) -> None:
    stage = Stage(Capacity(rate=rate))
    gone: list[tuple[float, float]] = []
    declined = 0

    async def ask(asking: Asking) -> None:
        nonlocal declined
        await Sleep(asking.at)
        until = await Now() + asking.patience
        refused: Declined | None = None
        try:
            await stage.limiter.take(asking.rank, (asking.amount, 0.0), until)
        except Declined as error:
            refused = error
        if refused is not None:
            declined += 1
            assert refused.retry.seconds is not None
            assert await Now() + refused.retry.seconds > until
            return
        assert await Now() <= until + 1e-9
        gone.append((await Now(), asking.amount))

    tasks = [stage.spawn(ask(asking)) for asking in askings]
    stage.run(lambda: all(task.done for task in tasks))
    assert len(gone) + declined == len(askings)
    assert stage.limiter._queued == [[0, 0]] * 3
    burst = max(rate * BURST_SECONDS, 1.0)
    for first in range(len(gone)):
        total = 0.0
        for moment, amount in gone[first:]:
            total += amount
            debt = max(amount - burst, 0.0)
            assert total <= rate * (moment - gone[first][0]) + burst + debt + 1e-3


@pytest.mark.rule("THR-2")
def test_what_a_decline_says_is_when_there_is_room() -> None:
    stage = Stage(Capacity(rate=10))

    async def scene() -> None:
        await stage.limiter.take(ASKED, (10, 0), 0.0)  # a debt of nine
        with pytest.raises(Declined) as caught:
            await stage.limiter.take(ASKED, (1, 0), await Now())
        assert caught.value.retry.seconds == pytest.approx(1.0)
        await Sleep(caught.value.retry.seconds or 0.0)
        await stage.limiter.take(ASKED, (1, 0), await Now())

    stage.spawn(scene())
    stage.run()
    assert stage.counts == {"declined:target": 1}


@pytest.mark.rule("THR-3")
def test_what_was_begun_goes_first_and_the_background_last() -> None:
    stage = Stage(Capacity(rate=10))
    order: list[int] = []

    async def ask(rank: int) -> None:
        await stage.limiter.take(rank, (1, 0), 1e9)
        order.append(rank)

    async def scene() -> None:
        await stage.limiter.take(ASKED, (5, 0), 0.0)
        for rank in (BACKGROUND, ASKED, BACKGROUND, ASKED, BEGUN):
            stage.spawn(ask(rank))

    stage.spawn(scene())
    stage.run()
    assert order == [BEGUN, ASKED, ASKED, BACKGROUND, BACKGROUND]


@pytest.mark.rule("THR-3")
def test_the_background_takes_what_others_leave() -> None:
    stage = Stage(Capacity(rate=100))
    counted: Counter[str] = Counter()
    busy = True

    async def copy() -> None:
        while True:
            await stage.limiter.take(BACKGROUND, (1, 0), float("inf"))
            counted["copied busy" if busy else "copied idle"] += 1

    async def client() -> None:
        while busy:
            await stage.limiter.take(ASKED, (1, 0), float("inf"))
            counted["asked"] += 1

    stage.spawn(copy())
    for _ in range(2):
        stage.spawn(client())
    stage.run(limit=10)
    busy = False
    stage.run(limit=10)
    assert counted["asked"] == pytest.approx(1000, rel=0.02)
    assert counted["copied busy"] <= 10
    assert counted["copied idle"] == pytest.approx(1000, rel=0.02)


@pytest.mark.rule("THR-3")
def test_the_background_leaves_half_a_burst() -> None:
    stage = Stage(Capacity(rate=100))

    async def scene() -> None:
        await stage.limiter.take(BACKGROUND, (4, 0), 0.0)
        with pytest.raises(Declined):
            await stage.limiter.take(BACKGROUND, (1, 0), 0.0)
        await stage.limiter.take(ASKED, (4, 0), 0.0)

    stage.spawn(scene())
    stage.run()
    assert stage.counts == {}


@pytest.mark.rule("THR-5")
@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0, 2), st.floats(0.01, 1), st.integers(0, 2)), max_size=25),
    st.lists(st.integers(0, 24), max_size=5),
)
def test_never_more_calls_run_than_are_allowed_and_each_permit_comes_back(
    most: int, calls: list[tuple[float, float, int]], stopped: list[int]
) -> None:
    stage = Stage(Capacity(concurrency=most))
    running = ended = 0

    async def call(at: float, seconds: float, rank: int) -> None:
        nonlocal running, ended
        await Sleep(at)
        await stage.limiter.enter(rank, float("inf"))
        running += 1
        assert running <= most
        try:
            await Sleep(seconds)
        finally:
            running -= 1
            ended += 1
            stage.limiter.leave()

    tasks = [stage.spawn(call(*one)) for one in calls]
    stage.run(limit=1.0)
    for number in stopped:
        if number < len(tasks):
            tasks[number].procedure.close()
            tasks[number].done = True
    stage.run(lambda: all(task.done for task in tasks), limit=100)
    assert all(task.done for task in tasks)
    assert (stage.limiter._running, stage.limiter._waiting) == (0, [0, 0, 0])


@pytest.mark.rule("THR-5")
def test_a_place_that_does_not_come_in_time_is_declined() -> None:
    stage = Stage(Capacity(concurrency=1))

    async def scene() -> None:
        await stage.limiter.enter(ASKED, 0.0)
        with pytest.raises(Declined, match="1 calls at a time"):
            await stage.limiter.enter(ASKED, await Now() + 1)
        assert await Now() == pytest.approx(1.0)
        stage.limiter.leave()
        await stage.limiter.enter(ASKED, await Now())

    task = stage.spawn(scene())
    stage.run()
    assert task.done


@pytest.mark.rule("THR-1")
def test_bytes_are_limited_beside_operations() -> None:
    stage = Stage(Capacity(bytes=1000))
    moments: list[float] = []

    async def scene() -> None:
        for _ in range(11):
            await stage.limiter.take(BEGUN, (1, 100), 1e9)
            moments.append(await Now())

    stage.spawn(scene())
    stage.run()
    assert moments[0] == 0
    assert moments[-1] == pytest.approx(0.92, abs=0.15)


def test_a_change_counts_for_those_that_wait_already() -> None:
    stage = Stage(Capacity(rate=1))
    moments: list[float] = []

    async def ask() -> None:
        await stage.limiter.take(ASKED, (1, 0), 1e9)
        moments.append(await Now())

    for _ in range(5):
        stage.spawn(ask())
    stage.run(limit=0.1)
    stage.limiter.change(Capacity(rate=1000))
    stage.run(limit=2)
    assert len(moments) == 5
    stage.limiter.change(Capacity())
    assert not stage.limiter.active


@pytest.mark.rule("THR-2")
def test_what_was_taken_in_advance_and_not_spent_is_given_back() -> None:
    stage = Stage(Capacity(rate=100))
    limiter, prepaid = stage.limiter, Prepaid(3)

    async def scene() -> None:
        await limiter.take(ASKED, (8, 0), 0.0)
        assert limiter.look(0.0, 3) > 0
        assert limiter.spend(prepaid, 2) == 0
        assert limiter.spend(prepaid, 0.5) == 0
        limiter.give_back(prepaid)
        assert limiter.look(0.0, 0.5) == 0
        assert limiter.look(0.0, 0.6) > 0
        assert limiter.spend(prepaid, 2) == 2

    stage.spawn(scene())
    stage.run()


@pytest.mark.rule("THR-12")
@pytest.mark.parametrize("capacity", [Capacity(rate=10.0), Capacity(concurrency=1)])
def test_background_work_that_waits_is_no_pressure(capacity: Capacity) -> None:
    """A verification must not make a copy give way: only operations of the application do."""

    def waited(rank: int) -> int:
        stage = Stage(capacity)

        async def work() -> None:
            await stage.limiter.take(rank, (5.0, 0.0), 1000.0)
            await stage.limiter.enter(rank, 1000.0)
            await Sleep(1.0)
            stage.limiter.leave()

        tasks = [stage.spawn(work()) for _ in range(4)]
        stage.run(lambda: all(task.done for task in tasks))
        assert all(task.done and task.error is None for task in tasks)
        return stage.counts["waited:target"]

    assert waited(ASKED) > 0
    assert waited(BACKGROUND) == 0
