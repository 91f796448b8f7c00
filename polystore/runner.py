"""Runners: they carry out the effects that procedures await, synchronously or under asyncio.

Both give the same procedures the same answers. What a database raises is handed to its driver for
translation here, so that no driver can forget to.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from polystore.effects import Both, Call, Changed, Effect, Now, Procedure, Sleep, Uniform
from polystore.errors import PolystoreError

T = TypeVar("T")


class ThreadSignal:
    """A lock and a bell for the threads of one process."""

    def __init__(self) -> None:
        self._condition = threading.Condition()

    def __enter__(self) -> object:
        return self._condition.acquire()

    def __exit__(self, *details: object) -> None:
        self._condition.release()

    def notify(self) -> None:
        """Wake all who wait; the caller holds the lock."""
        self._condition.notify_all()

    def wait(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Block until ``ready()`` or for ``seconds``; whether it is ready."""
        with self._condition:
            return self._condition.wait_for(ready, max(seconds, 0.0))


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
    """

    def __init__(self, threads: int = 32) -> None:
        self._threads = threads
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

    def _carry_out(self, effect: Effect[Any]) -> Any:
        match effect:
            case Now():
                return time.monotonic()
            case Sleep():
                time.sleep(max(effect.seconds, 0.0))
                return None
            case Uniform():
                return random.random()  # jitter, not a secret
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
    """Runs procedures under asyncio; calls of databases go to a pool of ``threads`` threads."""

    def __init__(self, threads: int = 32) -> None:
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
            case Changed():
                if effect.ready():
                    return True
                wait = effect.signal.wait
                return await loop.run_in_executor(self._pool, wait, effect.ready, effect.seconds)
            case Both():
                return await self._both(effect.procedures)
        raise TypeError(f"unknown effect {type(effect).__name__}")

    async def _both(self, procedures: tuple[Procedure[Any], ...]) -> list[Any]:
        results = await asyncio.gather(*map(self.run, procedures), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False)
