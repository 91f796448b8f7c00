"""The runners: they give a procedure what it asks for, and end it where it is interrupted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from polystore.effects import Both, Call, Changed, Now, Procedure, Sleep, Uniform
from polystore.errors import DriverError, PolystoreError
from polystore.runner import AsyncRunner, Background, SyncRunner, ThreadSignal


class Translator:
    """Makes an error of the tree of everything."""

    def translate(self, error: Exception) -> PolystoreError:
        return DriverError(type(error).__name__)


def call(method: Callable[..., int], *arguments: object) -> Call[int]:
    return Call("source", Translator(), method, arguments)


async def everything() -> tuple[object, ...]:
    """Each effect once."""
    begun = await Now()
    await Sleep(0.01)
    answers = await Both(_one(1), _one(2))
    chance = await Uniform()
    return (await Now() - begun >= 0.009, answers, 0 <= chance < 1, await call(int, "7"))


async def _one(number: int) -> int:
    return await call(lambda n: n * 10, number)


@pytest.mark.rule("RUN-1")
async def test_both_runners_give_the_same_answers() -> None:
    expected = (True, [10, 20], True, 7)
    runner = AsyncRunner()
    assert SyncRunner().run(everything()) == expected
    assert await runner.run(everything()) == expected
    runner.close()


async def _fails() -> int:
    return await call(int, "x")


@pytest.mark.rule("ERR-1", "DRV-7")
async def test_what_a_call_raises_is_translated_with_its_cause() -> None:
    runner = AsyncRunner()
    with pytest.raises(DriverError, match="ValueError") as one:
        SyncRunner().run(_fails())
    with pytest.raises(DriverError, match="ValueError") as other:
        await runner.run(_fails())
    assert [type(c.value.__cause__) for c in (one, other)] == [ValueError, ValueError]
    runner.close()


async def _both_fail(done: list[int]) -> None:
    async def late() -> int:
        await Sleep(0.01)
        done.append(1)
        return await _fails()

    await Both(_fails(), late(), _one(3))


async def test_both_waits_for_all_before_it_raises() -> None:
    runner, done = AsyncRunner(), list[int]()
    with pytest.raises(DriverError):
        SyncRunner().run(_both_fail(done))
    with pytest.raises(DriverError):
        await runner.run(_both_fail(done))
    assert done == [1, 1]
    runner.close()


@pytest.mark.rule("RUN-2")
def test_an_interrupted_procedure_ends_where_it_stands() -> None:
    ended: list[str] = []

    def interrupt() -> int:
        raise KeyboardInterrupt

    async def procedure() -> None:
        try:
            await call(interrupt)
        finally:
            ended.append("released")

    with pytest.raises(KeyboardInterrupt) as caught:
        SyncRunner().run(procedure())
    assert ended == ["released"]
    del caught


async def _waits(signal: ThreadSignal, ready: Callable[[], bool], seconds: float) -> bool:
    return await Changed(signal, ready, seconds)


async def test_many_that_wait_keep_no_thread_from_a_call() -> None:
    runner, signal, state = AsyncRunner(threads=1), ThreadSignal(), list[int]()
    waiting = [
        asyncio.create_task(runner.run(_waits(signal, lambda: bool(state), 10))) for _ in range(50)
    ]
    await asyncio.sleep(0)
    assert await runner.run(_one(1)) == 10

    def change() -> None:
        with signal:
            state.append(1)
            signal.notify()

    threading.Thread(target=change).start()
    assert await asyncio.gather(*waiting) == [True] * 50
    assert await runner.run(_waits(signal, lambda: False, 0.01)) is False
    runner.close()


def test_a_background_task_begins_again_after_a_defect_and_stops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = threading.Event()
    runs: list[int] = []

    async def procedure() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise ZeroDivisionError
        begun.set()
        await Sleep(60)

    def made() -> Procedure[None]:
        return procedure()

    task = Background("a task", made)
    assert begun.wait(5)
    task.stop()
    assert task.ended_within(5)
    assert len(runs) == 2
    assert "a task failed" in caplog.text
