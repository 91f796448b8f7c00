"""Stores through the life of their process: a fork opens them anew, its end closes them.

A child of a fork has none of its parent's threads, and its connections, slots and lease are the
parent's: it must use none of them (EPO-10).
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

_log = logging.getLogger("polystore.lifetime")


L = TypeVar("L")

_living: WeakKeyDictionary[object, tuple[Callable[[Any], None], Callable[[Any], None]]] = (
    WeakKeyDictionary()
)
_parents: list[object] = []
"""What belongs to the parent of a fork: kept, as closing it would end its connections."""


def watched(living: L, open_anew: Callable[[L], None], close: Callable[[L], None]) -> None:
    """Look after something from now on.

    Args:
        living: what is open as long as its process lives, or until it is closed.
        open_anew: in the child of a fork lets go of all that is the parent's, untouched.
        close: lets go of everything; done at the end of the process.
    """
    _living[living] = open_anew, close


def left_to_the_parent(thing: object) -> None:
    """Keep something of the parent's for ever, unused."""
    _parents.append(thing)


def _in_child() -> None:
    for living, (open_anew, _) in list(_living.items()):
        try:
            open_anew(living)
        except Exception:  # noqa: BLE001  # nobody is there to catch it
            _log.exception("a store could not be opened anew after a fork: open one in the child")


def _at_exit() -> None:
    for living, (_, close) in list(_living.items()):
        try:
            close(living)
        except Exception:  # noqa: BLE001  # the others are closed all the same
            _log.exception("a store could not be closed at the end of the process")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
atexit.register(_at_exit)
