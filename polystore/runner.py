"""Runners: they carry out the effects that procedures await, synchronously or under asyncio.

Both give the same procedures the same answers. What a database raises is handed to its driver for
translation here, so that no driver can forget to.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from polystore.effects import (
    Both,
    Call,
    Changed,
    Effect,
    Now,
    Procedure,
    Sleep,
    Uniform,
    WallClock,
)
from polystore.errors import PolystoreError

T = TypeVar("T")
_log = logging.getLogger("polystore.runner")


class ThreadSignal:
    """A lock and a bell for the threads of one process."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._listeners: set[Callable[[], None]] = set()

    def __enter__(self) -> object:
        return self._condition.acquire()

    def __exit__(self, *details: object) -> None:
        self._condition.release()

    def notify(self) -> None:
        """Wake all who wait; the caller holds the lock."""
        self._condition.notify_all()
        for listener in self._listeners:
            listener()

    def another(self) -> ThreadSignal:
        """A second one of the same process, for state of its own."""
        return ThreadSignal()

    @contextmanager
    def heard_by(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call ``listener`` at each change, from whatever thread makes it."""
        with self._condition:
            self._listeners.add(listener)
        try:
            yield
        finally:
            with self._condition:
                self._listeners.discard(listener)

    def wait(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Block until ``ready()`` or for ``seconds``; whether it is ready."""
        with self._condition:
            return self._condition.wait_for(ready, max(seconds, 0.0))


def wall_clock() -> int:
    """Microseconds since 1970, as this machine has it."""
    return time.time_ns() // 1000


def perform(call: Call[T]) -> T:
    """Carry out one call of a database.

    Raises:
        PolystoreError: what the driver makes of a native exception, which is its ``__cause__``.
    """
    try:
        return call.method(*call.arguments)
    except PolystoreError:
        raise
    except Exception as error:
        raise call.driver.translate(error) from error


class SyncRunner:
    """Runs procedures on the calling thread.

    Several procedures at once (:class:`~polystore.effects.Both`) share a pool of ``threads``
    worker threads, started when first needed; the first of them stays on the calling thread.
    ``sleep`` waits for so many seconds; ``wall`` tells microseconds since 1970.
    """

    def __init__(
        self,
        threads: int = 32,
        sleep: Callable[[float], object] = time.sleep,
        wall: Callable[[], int] = wall_clock,
    ) -> None:
        self.wall = wall
        self._threads = threads
        self._sleep = sleep
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def run(self, procedure: Procedure[T]) -> T:
        """The result of ``procedure``; what it raises is raised."""
        reply: Any = None
        failed: BaseException | None = None
        while True:
            try:
                effect = procedure.throw(failed) if failed else procedure.send(reply)
            except StopIteration as stop:
                result: T = stop.value
                return result
            reply, failed = None, None
            try:
                reply = perform(effect) if type(effect) is Call else self._carry_out(effect)
            except Exception as error:  # noqa: BLE001  # thrown into the procedure, which decides
                failed = error
            except BaseException:  # interrupted: the procedure ends where it stands
                procedure.close()
                raise

    def _carry_out(self, effect: Effect[Any]) -> Any:
        match effect:
            case Now():
                return time.monotonic()
            case Sleep():
                self._sleep(max(effect.seconds, 0.0))
                return None
            case Uniform():
                return random.random()  # jitter, not a secret
            case WallClock():
                return self.wall()
            case Changed():
                return effect.signal.wait(effect.ready, effect.seconds)
            case Both():
                return self._both(effect.procedures)
        raise TypeError(f"unknown effect {type(effect).__name__}")

    def _both(self, procedures: tuple[Procedure[Any], ...]) -> list[Any]:
        if not procedures:
            return []
        pool = self._workers()
        others = [pool.submit(self.run, procedure) for procedure in procedures[1:]]
        first: Future[Any] = Future()
        try:
            first.set_result(self.run(procedures[0]))
        except Exception as error:  # noqa: BLE001  # raised below, once the others are done
            first.set_exception(error)
        futures = [first, *others]
        for future in futures:
            future.exception()  # waits, and keeps the first error until all are done
        return [future.result() for future in futures]

    def _workers(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, "polystore")
            return self._pool

    def close(self) -> None:
        """Let the worker threads end."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)


class AsyncRunner:
    """Runs procedures under asyncio; calls of databases go to a pool of ``threads`` threads.

    ``wall`` tells microseconds since 1970.
    """

    def __init__(self, threads: int = 32, wall: Callable[[], int] = wall_clock) -> None:
        self._wall = wall
        self._pool = ThreadPoolExecutor(threads, "polystore-aio")

    async def run(self, procedure: Procedure[T]) -> T:
        """The result of ``procedure``; what it raises is raised."""
        reply: Any = None
        failed: BaseException | None = None
        while True:
            try:
                effect = procedure.throw(failed) if failed else procedure.send(reply)
            except StopIteration as stop:
                result: T = stop.value
                return result
            reply, failed = None, None
            try:
                reply = await self._carry_out(effect)
            except Exception as error:  # noqa: BLE001  # thrown into the procedure, which decides
                failed = error
            except BaseException:  # cancelled: the procedure ends where it stands
                procedure.close()
                raise

    async def _carry_out(self, effect: Effect[Any]) -> Any:
        loop = asyncio.get_running_loop()
        match effect:
            case Call():
                return await loop.run_in_executor(self._pool, perform, effect)
            case Now():
                return time.monotonic()
            case Sleep():
                return await asyncio.sleep(max(effect.seconds, 0.0))
            case Uniform():
                return random.random()  # jitter, not a secret
            case WallClock():
                return self._wall()
            case Changed():
                return await self._changed(effect)
            case Both():
                return await self._both(effect.procedures)
        raise TypeError(f"unknown effect {type(effect).__name__}")

    async def _changed(self, effect: Changed) -> bool:
        """Wait without a thread: those that wait must not keep others from their calls."""
        signal, loop = effect.signal, asyncio.get_running_loop()
        assert isinstance(signal, ThreadSignal)
        rung = asyncio.Event()
        deadline = loop.time() + effect.seconds

        def ring() -> None:
            loop.call_soon_threadsafe(rung.set)

        with signal.heard_by(ring):
            while True:
                rung.clear()
                with signal:
                    ready = effect.ready()
                if ready or loop.time() >= deadline:
                    return ready
                with suppress(TimeoutError):
                    await asyncio.wait_for(rung.wait(), deadline - loop.time())

    async def _both(self, procedures: tuple[Procedure[Any], ...]) -> list[Any]:
        results = await asyncio.gather(*map(self.run, procedures), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False)


class Background:
    """A daemon thread that runs one procedure until it ends or is told to stop.

    Args:
        name: of the thread, for people.
        procedure: makes the procedure; called again a second after one that failed.
    """

    def __init__(self, name: str, procedure: Callable[[], Procedure[None]]) -> None:
        self._procedure = procedure
        self._stopping = threading.Event()
        self._runner = SyncRunner(sleep=self._stopping.wait)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._runner.run(self._procedure())
            except Exception:  # noqa: BLE001  # whatever it is, it is logged
                # A defect of polystore: the fleet must not lose a member over it.
                _log.exception("%s failed and begins again", self._thread.name)
                self._stopping.wait(1.0)
            else:
                break
        self._runner.close()

    def stop(self) -> None:
        """Wake the procedure from its sleep, and never begin it again."""
        self._stopping.set()

    def ended_within(self, seconds: float) -> bool:
        """Wait until the thread has ended, at most so long; whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()
