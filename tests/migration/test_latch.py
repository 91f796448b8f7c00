"""Admission: who may run while what is being stopped."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from polystore.driver import Stored
from polystore.errors import DeadlineExceeded
from polystore.migration.latch import ALL, Latch
from polystore.migration.member import Incarnation
from polystore.migration.stages import Setting, Stage
from polystore.testing.simulator.choices import Choices
from polystore.testing.simulator.scheduler import Process, Scheduler, Task

READ = Setting(run=1, epoch=5, stage=Stage.DUAL_READ)


def _unused(*_: Any) -> None:
    raise AssertionError("no call is made here")


class Play:
    """A process with a latch, and tasks that ask for admission."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(Choices.seeded(1), _unused)
        self.process = Process("p", 1.0)
        self.latch = Latch(self.process.signal)

    def serve(self, setting: Setting) -> Incarnation:
        incarnation = Incarnation("i", Stored((), {}, 0), setting, self.process.signal)
        self.latch.serve(incarnation)
        return incarnation

    def spawn(self, procedure: Any) -> Task:
        task = self.scheduler.spawn(self.process, procedure, "t")
        self.scheduler.run(lambda: False, 0.01)
        return task

    def admit(self, lo: int, hi: int, seconds: float = 5.0) -> Task:
        return self.spawn(self.latch.admit((lo, hi), self.scheduler.now + seconds))


@pytest.fixture
def play() -> Play:
    return Play()


def test_nothing_is_admitted_before_something_is_served(play: Play) -> None:
    early = play.admit(3, 4)

    async def serve() -> None:
        assert not early.done
        play.serve(READ)

    play.spawn(serve())
    assert early.done
    assert early.result.setting is READ


@pytest.mark.rule("DIA-2")
def test_frozen_buckets_wait_and_others_do_not(play: Play) -> None:
    play.serve(attrs.evolve(READ, frozen=(16, 32)))
    assert not play.admit(20, 21).done
    assert not play.admit(0, 17).done, "a range that touches them waits too"
    assert not play.admit(*ALL).done
    assert play.admit(0, 16).done
    assert play.admit(32, 33).done


@pytest.mark.rule("EPO-4")
def test_stopping_waits_for_what_runs(play: Play) -> None:
    play.serve(READ)
    ticket = play.admit(7, 8).result
    play.latch.stop((0, 16))
    assert not play.admit(7, 8).done
    assert play.admit(16, 17).done
    waiting = play.spawn(play.latch.idle_within((0, 16), 1.0))
    assert not waiting.done
    play.latch.release(ticket)

    async def nothing() -> None:
        return None

    play.spawn(nothing())
    assert waiting.result is True


def test_waiting_has_an_end(play: Play) -> None:
    play.serve(READ)
    play.latch.stop(ALL)
    task = play.admit(7, 8, seconds=1.0)
    play.scheduler.run(lambda: task.done, 2.0)
    assert isinstance(task.error, DeadlineExceeded)
    play.serve(READ)
    running = play.admit(7, 8)
    assert running.done
    idle = play.spawn(play.latch.idle_within(ALL, 0.5))
    play.scheduler.run(lambda: idle.done, 1.0)
    assert idle.result is False


def test_a_ticket_keeps_the_incarnation_that_it_was_admitted_for(play: Play) -> None:
    first = play.serve(READ)
    ticket = play.admit(1, 2).result
    second = play.serve(attrs.evolve(READ, epoch=9, moved=256))
    assert ticket.incarnation is first
    assert play.admit(1, 2).result.incarnation is second
