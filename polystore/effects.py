"""The typed effects that procedures await. No I/O happens here.

A procedure is an ``async def`` that awaits effects and nothing else. Awaiting one yields it to the
runner and returns the reply: ``reply = await home.read(...)`` reads like plain code and is checked
like it. Runners: :mod:`polystore.runner` (synchronous, asyncio) and the simulator of the tests,
which owns time, order, faults and crashes. A procedure's state is a function of the replies it got.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

SECOND = 1_000_000
"""Microseconds, which a wall clock tells, of one second."""

T = TypeVar("T")
Procedure: TypeAlias = Coroutine["Effect[Any]", Any, T]
"""What an ``async def`` over effects returns when called."""


class Effect(Generic[T]):
    """Something that a procedure asks its runner for; the reply is a ``T``."""

    __slots__ = ()

    def __await__(self) -> Generator[Effect[T], T, T]:
        reply = yield self
        return reply


class Translates(Protocol):
    """What turns native exceptions into errors of the tree: a driver."""

    def translate(self, error: Exception) -> Exception:
        """The error of the tree that stands for ``error``."""


class Call(Effect[T]):
    """One call of one database.

    Attributes:
        side: who is called: ``source``, ``target`` or ``control``; for tests and traces.
        driver: translates what the call raises.
        method: the bound method of the driver.
        arguments: its arguments.
    """

    __slots__ = ("arguments", "driver", "method", "side")

    def __init__(
        self, side: str, driver: Translates, method: Callable[..., T], arguments: tuple[Any, ...]
    ) -> None:
        self.side = side
        self.driver = driver
        self.method = method
        self.arguments = arguments


class Sleep(Effect[None]):
    """Wait for ``seconds``."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Now(Effect[float]):
    """Seconds on this process's monotonic clock."""

    __slots__ = ()


class WallClock(Effect[int]):
    """Microseconds since 1970 on this machine's wall clock.

    What looks at it: the hiding of expired records, the history, and the gates that ask how many
    hours ago something was. No lease, order or record of the migration rests on it.
    """

    __slots__ = ()


class Uniform(Effect[float]):
    """A random number from 0 up to, not including, 1."""

    __slots__ = ()


class Changed(Effect[bool]):
    """Wait until ``ready()`` is true, at most ``seconds``; whether it is.

    ``ready`` reads state of this process that other tasks of it change while holding
    ``signal``; whoever changes it calls ``signal.notify()``.
    """

    __slots__ = ("ready", "seconds", "signal")

    def __init__(self, signal: Signal, ready: Callable[[], bool], seconds: float) -> None:
        self.signal = signal
        self.ready = ready
        self.seconds = seconds


class Signal(Protocol):
    """A lock and a bell of one process: hold it to change shared state, then notify."""

    def __enter__(self) -> object: ...

    def __exit__(self, *details: object) -> object: ...

    def notify(self) -> None:
        """Wake whoever waits for a change; called while holding the lock."""

    def another(self) -> Signal:
        """A second lock and bell of the same process, for state of its own."""

    def wait(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Block until ``ready()`` or for ``seconds``; whether it is ready."""


class Both(Effect[list[Any]]):
    """Run several procedures at once; their results in order.

    If any raises, all are waited for, and then the first exception in order is raised.
    """

    __slots__ = ("procedures",)

    def __init__(self, *procedures: Procedure[Any]) -> None:
        self.procedures = procedures
