"""What became of a call that failed, for every client library the same. For driver authors.

Whether a write may have been applied is decided by three questions, in this order: was anything
sent (:class:`NotSent`), did the database say that it refused it, did it change anything at all
(:func:`reading`). Native messages may hold values of fields, so none is ever repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from polystore.errors import DriverError, OutcomeUnknown, PolystoreError, Unavailable

Meanings: TypeAlias = Mapping[str, tuple[type[PolystoreError], str]]
"""Beginnings of a database's codes, with spaces between, and the error that they stand for."""


class NotSent(Exception):
    """No connection could be made: nothing was sent. The cause says why."""


class Silent(Exception):
    """A read had no answer: asking again does no harm. The cause says why."""


@contextmanager
def reading(*lost: type[Exception]) -> Iterator[None]:
    """Around what changes nothing, or as a decorator of it.

    Args:
        lost: what the client library raises where no answer came.

    Raises:
        Silent: no answer came.
    """
    try:
        yield
    except NotSent:  # which may be one of them
        raise
    except lost as error:
        raise Silent from error


def meaning(driver: str, code: str, meanings: Meanings) -> PolystoreError | None:
    """What a database's code stands for: the first row that has a beginning of it."""
    for beginnings, (kind, says) in meanings.items():
        if code.startswith(tuple(beginnings.split())):
            return kind(f"{says} ({code})", driver=driver)
    return None


def error_of(
    driver: str,
    error: BaseException,
    refused: Callable[[BaseException], PolystoreError | None],
    *lost: type[Exception],
) -> PolystoreError:
    """The error of the tree for what a client library raised.

    Args:
        driver: name of the driver.
        error: what was raised.
        refused: the error for what the database says that it did not do; ``None`` where it says no
            such thing. Also asked of the cause of :class:`NotSent`.
        lost: what the client library raises where a call was sent and no answer came.
    """
    if isinstance(error, PolystoreError):
        return error
    cause = error.__cause__ if isinstance(error, NotSent) else error
    told = None if cause is None else refused(cause)
    if told is not None:
        return told
    if isinstance(error, NotSent):
        return Unavailable("the database cannot be reached", driver=driver)
    if isinstance(error, Silent):
        return Unavailable("the database did not answer a read", driver=driver)
    if isinstance(error, lost):
        return OutcomeUnknown("the connection was lost before the answer", driver=driver)
    return DriverError(f"{driver} failed with {type(error).__name__}", driver=driver)
