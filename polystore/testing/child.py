"""Processes with a driver of their own each: ``python -m polystore.testing.child``.

The input of one has, pickled, an :class:`~polystore.testing.harness.Address`, which it opens, and
then functions of a driver. It says that it has a function, waits for a word, and answers with what
the function returns, until it is killed.
"""

from __future__ import annotations

import copyreg
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from signal import SIGKILL
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import IO, Any, TypeVar

import attrs

from polystore.driver import Driver
from polystore.testing.harness import Address

T = TypeVar("T")

SECONDS = 60.0
"""Within which a work must be done."""


def _mapping(held: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(held)


# Declarations of collections hold such mappings.
copyreg.pickle(MappingProxyType, lambda mapping: (_mapping, (dict(mapping),)))


@attrs.define
class _Child:
    """One process, and what it writes when something is wrong."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    @classmethod
    def started(cls, address: Address) -> _Child:
        errors = TemporaryFile()  # noqa: SIM115  # open as long as the process is
        process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "PYTHONHASHSEED": "random",  # tox gives all processes one, which real ones have not
            },
            start_new_session=True,  # with what it forks
        )
        child = cls(process, errors)
        child.send(address)
        return child

    def send(self, thing: object) -> None:
        assert self.process.stdin is not None
        pickle.dump(thing, self.process.stdin)
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return pickle.load(self.process.stdout)  # noqa: S301  # a process of ours wrote it

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, SIGKILL)

    def end(self) -> str:
        """End it; what it wrote."""
        self.kill()
        with suppress(BrokenPipeError), self.process:
            pass
        with self.errors as errors:
            errors.seek(0)
            return errors.read().decode(errors="replace")


class Processes:
    """Processes with a driver of their own each, started when they are needed.

    Args:
        address: what they open.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._children: list[_Child] = []

    def do(self, works: Sequence[Callable[[Driver], T]]) -> list[T]:
        """Let a process do each of these, all at once; what they return.

        Args:
            works: functions that can be pickled, as what they return.

        Raises:
            AssertionError: one failed, or did not end; with what it wrote.
        """
        while len(self._children) < len(works):
            self._children.append(_Child.started(self._address))
        children = self._children[: len(works)]
        limit = threading.Timer(SECONDS, self._kill)
        limit.start()
        try:
            for child, work in zip(children, works, strict=True):
                child.send(work)
            for child in children:
                child.answer()
            for child in children:  # all have imported what they need
                child.send(None)
            return [child.answer() for child in children]
        except (EOFError, OSError) as error:
            raise AssertionError(f"a process failed, or did not end: {self.end()}") from error
        finally:
            limit.cancel()

    def _kill(self) -> None:
        for child in self._children:
            child.kill()

    def end(self) -> str:
        """End them; what they wrote. More may be started."""
        children, self._children = self._children, []
        return "".join([child.end() for child in children])


def _answered(answers: IO[bytes], told: object) -> None:
    pickle.dump(told, answers)
    answers.flush()


def _main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints
    address = pickle.load(sys.stdin.buffer)  # noqa: S301  # the tests wrote it
    os.environ.update(address.env)  # a client looks for credentials again after a fork
    driver = address.open()
    while True:
        work = pickle.load(sys.stdin.buffer)  # noqa: S301
        _answered(answers, None)
        pickle.load(sys.stdin.buffer)  # noqa: S301
        _answered(answers, work(driver))


if __name__ == "__main__":
    _main()
